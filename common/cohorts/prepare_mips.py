"""From dynamic breast MRI to exams of the MIP bundle: subtraction MIP, lesion classes on it, breast outline.

First phase after contrast minus pre-contrast volume, losses of signal set to 0, maximum intensity projection along the
cranio-caudal axis, robust scaling to [-1, 1], padded to a square and resized. The paper's supplement on preprocessing
is not public; the choices and their reasons stand in the bundle's docs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_json
from ..io.volumes import save_nifti
from ..knobs import check_choice, check_knob
from ..transforms.breast_mask import breast_mask
from ..transforms.lesion_frame import fit_labels
from ..transforms.projection import project
from ..transforms.registration import METHODS
from ..transforms.slice_grid import SliceGrid
from ..transforms.subtraction import subtract
from .checked_cases import check_cases, file_stamp, write_checked
from .datalist import SECTIONS
from .dce_exams import Exam, ListedCase, find_exams, is_datalist, load_exam
from .duke_boxes import AnnotationBox, read_boxes
from .duke_splits import LEAK_FREE, section_of_patients
from .exam_annotations import AnnotationOptions, annotate_exam, find_annotation
from .lesion_annotations import MEANINGS
from .lesion_classes import HEALTHY, check_class, class_file_of, read_class_table

MIPS_FOLDER = "mips"
NUM_FOLDS = 5
SPLITS = (LEAK_FREE, *(f"fold{k}" for k in range(NUM_FOLDS)))
PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class MipOptions(AnnotationOptions):
    """How exams are made, their annotations included.

    Attributes:
        size: pixels along each side of a MIP.
        percentiles: of the exam's MIP, that become -1 and 1.
        registration: `none`, `rigid` or `demons`.
    """

    size: int = 256
    percentiles: tuple[float, float] = PERCENTILES
    registration: str = "none"


def prepare_mips(
    source: str,
    output: str,
    masks: str | None = None,
    keep_unlabelled: bool = False,
    label_meaning: str = "auto",
    classes: Any = None,
    boxes: str | None = None,
    box_class: int | None = None,
    size: int = 256,
    percentiles: Sequence[float] = PERCENTILES,
    registration: str = "none",
    split: str = LEAK_FREE,
    fractions: Sequence[float] = (0.8, 0.2, 0.0),
    seed: int = 0,
    workers: int = 2,
) -> Path:
    """Make exams of a cohort and divide them; see `scripts/prepare_data.py breast_mips` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument is unusable, or no case at all is.
    """
    check_choice("split", split, SPLITS)
    check_choice("registration", registration, METHODS)
    check_knob("seed", seed)
    _check_workers(workers)
    _check_fractions(fractions)
    low, high = _check_percentiles(percentiles)
    if not isinstance(size, int) or size < 32 or size % 8:
        raise InputError(f"size={size}: give pixels along a side, 32 or more and a multiple of 8")
    if boxes is not None and box_class is None:
        raise InputError("boxes: say with --box_class which BI-RADS class (2 to 6) the lesions in the boxes have")
    if box_class is not None and boxes is None and not is_datalist(source):
        raise InputError(f"box_class={box_class}: give the boxes too, with --boxes")
    if not isinstance(keep_unlabelled, bool):
        raise InputError(f"keep_unlabelled={keep_unlabelled}: give True or False")
    check_choice("label_meaning", label_meaning, MEANINGS)
    read_class_table(classes)
    folder_of_masks = None if masks is None else Path(masks)
    if folder_of_masks and not folder_of_masks.is_dir():
        raise InputError(f"masks {masks}: no such folder")
    options = MipOptions(
        size=size,
        percentiles=(low, high),
        registration=registration,
        masks=folder_of_masks,
        keep_unlabelled=keep_unlabelled,
        label_meaning=label_meaning,
        classes=classes,
        box_class=None if box_class is None else check_class(box_class, "box_class"),
    )
    known_boxes = read_boxes(boxes) if boxes else {}
    cases = find_exams(source)
    section_of = divide_patients(split, [case.patient for case in cases], fractions, seed)
    folder = make_output_dir(output)

    def key(case: Exam) -> str:
        annotation = find_annotation(folder_of_masks, case.name) if folder_of_masks else None
        beside = [p for p in (annotation, class_file_of(annotation)) if p.is_file()] if annotation else []
        box = known_boxes.get(case.name)
        files = [file_stamp(path) for path in [*case.files, *beside]]
        told = [case.lesions, case.box] if isinstance(case, ListedCase) else None
        used = {k: str(v) for k, v in vars(options).items() if k != "masks"}
        return sha256_of_json([case.name, files, told, box and [box.rows, box.columns, box.slices], used])

    make = partial(make_exam, folder=folder / MIPS_FOLDER, options=options, boxes=known_boxes)
    checked = check_cases(folder, [(key(case), case) for case in cases], make, workers)

    def divide(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {s: [item for item in items if section_of[item["patient"]] == s] for s in SECTIONS}

    facts = {"size": size, "percentiles": [low, high], "seed": seed}
    facts |= {"fractions": list(fractions)} if split == LEAK_FREE else {}
    return write_checked(folder, source, checked, divide, cohort="breast_mips", split=split, **facts)


def divide_patients(split: str, patients: Sequence[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Section of each patient.

    `leak_free` divides as for every other task, by fractions. `fold0` to `fold4` cut the same order of patients into
    five: one is validation, the others are training.
    """
    if split == LEAK_FREE:
        return section_of_patients(LEAK_FREE, patients, fractions, seed)
    fold = int(split[-1])
    shares = [count / NUM_FOLDS for count in (fold, 1, NUM_FOLDS - 1 - fold)]
    first = section_of_patients(LEAK_FREE, patients, shares, seed)
    return {patient: "validation" if section == "validation" else "training" for patient, section in first.items()}


def make_exam(case: Exam, folder: Path, options: MipOptions, boxes: Mapping[str, AnnotationBox]) -> dict[str, Any]:
    """Make one exam and return its datalist item.

    Args:
        case: from `find_exams`.
        folder: gets `<case>_mip.nii.gz` (size, size, 1), float32 in [-1, 1]; `<case>_mask.nii.gz`, lesion numbers, with
            their classes in the JSON file beside it; `<case>_breast.nii.gz`, where the breasts are.
        options: see `MipOptions`.
        boxes: annotation boxes by patient.

    Returns:
        `case`, `patient`, `image`, `breast`, `scale` (the subtraction's values that became -1 and 1), and where lesions
        are known `label`, `instances` (lesion number to class) and `birads`, the highest class, 1 without lesions.

    Raises:
        InputError: phases are missing, unreadable or on different grids, or the annotation does not belong to them.
    """
    pre, post, box = load_exam(case, options.registration, boxes, listed_box=options.box_class is not None)
    mip = project(subtract(post, pre, clip=True))
    low, high = (float(v) for v in np.percentile(mip.numpy(), options.percentiles))
    if high <= low:
        raise InputError(f"{case.name}: the subtraction is empty, no contrast has arrived; check the phases")
    grid = SliceGrid(tuple(mip.shape[1:3]), tuple(float(s) for s in mip.pixdim[:2]), (options.size, options.size))
    annotation = annotate_exam(case, options, pre, mip, grid, box)
    breast = breast_mask(pre[0].numpy(), [float(s) for s in pre.pixdim])
    outline = project(MetaTensor(torch.from_numpy(breast.astype(np.uint8))[None], meta=pre.meta))

    affine = grid.network_affine(mip.affine.numpy())
    scaled = ((mip[..., 0].as_tensor() - low) / (high - low) * 2 - 1).clamp(-1, 1)
    image = grid.to_network(scaled[None], background=-1.0)[0, 0].numpy().astype(np.float32)
    home = make_output_dir(folder)
    paths = {name: home / f"{case.name}_{name}.nii.gz" for name in ("mip", "mask", "breast")}
    save_nifti(paths["breast"], fit_labels(outline[0, ..., 0].numpy(), grid)[..., None], affine)
    item: dict[str, Any] = {
        "case": case.name,
        "patient": case.patient,
        "image": str(paths["mip"].resolve()),
        "breast": str(paths["breast"].resolve()),
        "scale": [low, high],
    }
    if annotation is not None:
        instances, classes = annotation
        named = {str(instance): birads for instance, birads in sorted(classes.items())}
        write_json(class_file_of(paths["mask"]), {"instances": named})
        save_nifti(paths["mask"], instances[..., None], affine)
        item |= {"label": str(paths["mask"].resolve()), "instances": named}
        item["birads"] = max(classes.values(), default=HEALTHY)
    save_nifti(paths["mip"], image[..., None], affine)
    return item


def _check_workers(workers: int) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise InputError(f"workers={workers}: give a whole number of processes")


def _check_fractions(fractions: Sequence[float]) -> None:
    if not isinstance(fractions, (list, tuple)) or not all(isinstance(share, Number) for share in fractions):
        raise InputError(f"fractions={fractions}: give three shares that sum to 1, such as (0.8, 0.2, 0.0)")


def _check_percentiles(percentiles: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in percentiles)
    except (TypeError, ValueError) as error:
        raise InputError(f"percentiles={percentiles}: give two, such as (0.1, 99.9)") from error
    if not 0 <= low < high <= 100:
        raise InputError(f"percentiles={percentiles}: give two rising numbers from 0 to 100")
    return low, high
