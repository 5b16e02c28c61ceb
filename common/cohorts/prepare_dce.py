"""Check dynamic breast MRI cohorts case by case and write their datalist; what was checked once is not read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from ..errors import InputError
from ..io.dicom_headers import DicomSeries
from ..io.dicom_series import load_series
from ..io.files import make_output_dir, sha256_of_json
from ..io.volumes import describe_grid, same_grid, save_nifti
from ..knobs import check_choice
from ..transforms.registration import METHODS, register_phase
from .checked_cases import check_cases, file_stamp, write_checked
from .datalist import SECTIONS
from .duke import DukeCase, find_patients, find_phases, seconds_after_pre
from .duke_boxes import AnnotationBox, box_on_grid, read_boxes
from .duke_splits import LEAK_FREE, SPLITS, section_of_patients
from .lesion_masks import find_mask, load_mask, mask_box, read_sidecar, sidecar_of
from .mama_mia import MamaMiaCase, check_case, find_cases

NIFTI_FOLDER = "nifti"


def prepare_duke(
    source: str,
    output: str,
    boxes: str | None = None,
    masks: str | None = None,
    split: str = LEAK_FREE,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    num_phases: int = 3,
    registration: str = "none",
    workers: int = 2,
) -> Path:
    """Convert, check and split Duke-Breast-Cancer-MRI; see `scripts/prepare_data.py duke` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument is unusable, or no case at all is.
    """
    _check_arguments(split, num_phases)
    check_choice("registration", registration, METHODS)
    known_boxes = read_boxes(boxes) if boxes else {}
    mask_folder = Path(masks) if masks else None
    if mask_folder and not mask_folder.is_dir():
        raise InputError(f"masks {masks}: no such folder")
    cases = find_patients(source)
    folder = make_output_dir(output)

    def key(case: DukeCase) -> str:
        mask = find_mask(mask_folder, case.name) if mask_folder else None
        beside = [path for path in ((mask, sidecar_of(mask)) if mask else ()) if path.is_file()]
        box = known_boxes.get(case.name)
        files = [file_stamp(path) for path in [*case.files, *beside]]
        return sha256_of_json([case.name, files, box and [box.rows, box.columns, box.slices], num_phases, registration])

    check = partial(
        convert_case,
        folder=folder / NIFTI_FOLDER,
        boxes=known_boxes,
        masks=mask_folder,
        num_phases=num_phases,
        registration=registration,
    )
    return _prepare("duke", source, folder, cases, key, check, split, fractions, seed, workers)


def prepare_mama_mia(
    source: str,
    output: str,
    split: str = LEAK_FREE,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    num_phases: int = 3,
    workers: int = 2,
) -> Path:
    """Check and split a cohort laid out as MAMA-MIA; see `scripts/prepare_data.py mama_mia` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument is unusable, or no case at all is.
    """
    _check_arguments(split, num_phases)
    cases = find_cases(source)
    folder = make_output_dir(output)

    def key(case: MamaMiaCase) -> str:
        return sha256_of_json([case.name, [file_stamp(path) for path in case.files], num_phases])

    check = partial(check_case, num_phases=num_phases)
    return _prepare("mama_mia", source, folder, cases, key, check, split, fractions, seed, workers)


def convert_case(
    case: DukeCase,
    folder: Path,
    boxes: dict[str, AnnotationBox],
    masks: Path | None,
    num_phases: int,
    registration: str = "none",
) -> dict[str, Any]:
    """Read the phases of one patient, write them as NIfTI and return the datalist item.

    Args:
        case: from `find_patients`.
        folder: gets a subfolder a case with `<case>_0000.nii.gz` (pre-contrast), `_0001` and on, and the mask.
        boxes: tumour boxes by patient.
        masks: folder of `<patient>` volumes with a `<patient>.json` beside them, if any.
        num_phases: how many post-contrast phases it must have, and how many are used.
        registration: `rigid` or `demons` moves the phases onto the pre-contrast volume, see `register_phase`.

    Returns:
        `case`, `patient`, `image`, `phases`, `seconds`, and where known `box`, `label` and `lesions`.

    Raises:
        InputError: phases are missing, unreadable, or not on one grid; box or mask do not belong to them.
    """
    phases = find_phases(case, num_phases)
    seconds = seconds_after_pre(phases)
    volumes = _load_on_one_grid(phases, registration)
    pre = volumes[0]
    affine = pre.affine.numpy()
    item: dict[str, Any] = {"case": case.name, "patient": case.patient}
    box = box_on_grid(boxes[case.name], phases[0], affine) if case.name in boxes else None
    mask_path = find_mask(masks, case.name) if masks else None
    mask = load_mask(mask_path, pre) if mask_path else None
    lesions = read_sidecar(mask_path).get("lesions") if mask_path else None

    home = make_output_dir(folder / case.name)
    paths = [home / f"{case.name}_{number:04d}.nii.gz" for number in range(len(phases))]
    for path, volume in zip(paths, volumes, strict=True):
        save_nifti(path, _smallest_type(volume[0].numpy()), affine)
    item |= {"image": str(paths[0].resolve()), "phases": [str(p.resolve()) for p in paths[1:]], "seconds": seconds}
    if box is None and mask is not None:
        box = mask_box(mask)
    if box is not None:
        item["box"] = box
    if mask is not None:
        item["label"] = str((home / f"{case.name}_mask.nii.gz").resolve())
        save_nifti(item["label"], mask, affine)
    if lesions is not None:
        item["lesions"] = lesions
    return item


def _check_arguments(split: str, num_phases: int) -> None:
    check_choice("split", split, SPLITS)
    if not isinstance(num_phases, int) or isinstance(num_phases, bool) or num_phases < 1:
        raise InputError(f"num_phases={num_phases}: give how many post-contrast phases a case must have, 1 or more")


def _prepare(
    cohort: str,
    source: str,
    folder: Path,
    cases: Sequence[Any],
    key: Callable[[Any], str],
    check: Callable[[Any], dict[str, Any]],
    split: str,
    fractions: Sequence[float],
    seed: int,
    workers: int,
) -> Path:
    section_of = section_of_patients(split, (case.patient for case in cases), fractions, seed)
    listed = [case for case in cases if case.patient in section_of]
    checked = check_cases(folder, [(key(case), case) for case in listed], check, workers)
    others = [case.name for case in cases if case.patient not in section_of]
    skipped = [*checked.skipped, *({"case": name, "reason": f"not a patient of split {split}"} for name in others)]
    facts = {"seed": seed, "fractions": list(fractions)} if split == LEAK_FREE else {}

    def divide(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {s: [item for item in items if section_of[item["patient"]] == s] for s in SECTIONS}

    return write_checked(folder, source, replace(checked, skipped=skipped), divide, cohort=cohort, split=split, **facts)


def _load_on_one_grid(phases: Sequence[DicomSeries], registration: str) -> list[MetaTensor]:
    first = phases[0]
    if registration != "none":
        volumes = [load_series(entry) for entry in phases]
        return [volumes[0], *(register_phase(volume, volumes[0], registration) for volume in volumes[1:])]
    for entry in phases[1:]:
        if entry.frame_of_reference != first.frame_of_reference:
            raise InputError(
                f"{entry.title} and {first.title} have different frames of reference, their voxels do not belong "
                "together; pass --registration rigid"
            )
    volumes = [load_series(entry) for entry in phases]
    for entry, volume in zip(phases[1:], volumes[1:], strict=True):
        if not same_grid(volume, volumes[0]):
            raise InputError(
                f"{entry.title} ({describe_grid(volume)}) is not on the grid of {first.title} "
                f"({describe_grid(volumes[0])}); pass --registration rigid"
            )
    return volumes


def _smallest_type(values: np.ndarray) -> np.ndarray:
    """Whole numbers as 16 bit where they fit, else float32."""
    if np.array_equal(values, np.rint(values)):
        for kind in (np.int16, np.uint16):
            if np.iinfo(kind).min <= values.min() and values.max() <= np.iinfo(kind).max:
                return values.astype(kind)
    return values.astype(np.float32)
