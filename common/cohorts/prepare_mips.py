"""From dynamic breast MRI to exams of the MIP bundle: subtraction MIP, lesion classes on it, breast outline.

First phase after contrast minus pre-contrast volume, losses of signal set to 0, maximum intensity projection along the
cranio-caudal axis, robust scaling to [-1, 1], padded to a square and resized. The paper's supplement on preprocessing
is not public; the choices and their reasons stand in the bundle's docs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ..errors import InputError
from ..io.dicom_series import load_series
from ..io.files import make_output_dir, sha256_of_json, write_json
from ..io.label_images import PICTURE_SUFFIX
from ..io.volumes import describe_grid, find_volumes, load_volume, same_grid, save_nifti
from ..knobs import check_choice
from ..transforms.breast_mask import breast_mask
from ..transforms.lesion_frame import fit_labels
from ..transforms.projection import project
from ..transforms.registration import METHODS, register_phase
from ..transforms.slice_grid import SliceGrid
from ..transforms.subtraction import subtract
from .checked_cases import check_cases, file_stamp, write_checked
from .datalist import SECTIONS, load_datalist
from .duke import DukeCase, find_patients, find_phases
from .duke_boxes import AnnotationBox, box_on_grid, read_boxes
from .duke_splits import LEAK_FREE, section_of_patients
from .lesion_annotations import MEANINGS, LesionAnnotation, read_annotation
from .lesion_classes import HEALTHY, check_class, class_file_of, read_class_table
from .lesion_masks import load_mask, read_sidecar
from .mama_mia import MamaMiaCase, find_cases, is_phase_file

MIPS_FOLDER = "mips"
NUM_FOLDS = 5
SPLITS = (LEAK_FREE, *(f"fold{k}" for k in range(NUM_FOLDS)))
PERCENTILES = (0.1, 99.9)
ANNOTATION_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".png")


@dataclass(frozen=True)
class ListedCase:
    """A case of a datalist that `prepare_data.py duke` or `mama_mia` wrote."""

    name: str
    patient: str
    paths: tuple[Path, Path]
    mask: Path | None
    lesions: tuple[Mapping[str, Any], ...] | None
    box: Sequence[Sequence[int]] | None

    @property
    def files(self) -> list[Path]:
        """All files of the case."""
        return [*self.paths, *([self.mask] if self.mask else [])]


Exam = DukeCase | MamaMiaCase | ListedCase


@dataclass(frozen=True)
class MipOptions:
    """How exams are made.

    Attributes:
        size: pixels along each side of a MIP.
        percentiles: of the exam's MIP, that become -1 and 1.
        registration: `none`, `rigid` or `demons`.
        masks: folder of lesion annotations by case, or None.
        label_meaning, classes: see `read_annotation`.
        box_class: BI-RADS class of annotation boxes.
    """

    size: int = 256
    percentiles: tuple[float, float] = PERCENTILES
    registration: str = "none"
    masks: Path | None = None
    label_meaning: str = "auto"
    classes: Any = None
    box_class: int | None = None


def prepare_mips(
    source: str,
    output: str,
    masks: str | None = None,
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
    low, high = _check_percentiles(percentiles)
    if not isinstance(size, int) or size < 32 or size % 8:
        raise InputError(f"size={size}: give pixels along a side, 32 or more and a multiple of 8")
    if boxes is not None and box_class is None:
        raise InputError("boxes: say with --box_class which BI-RADS class (2 to 6) the lesions in the boxes have")
    if box_class is not None and boxes is None and not is_datalist(source):
        raise InputError(f"box_class={box_class}: give the boxes too, with --boxes")
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


def find_exams(source: str | Path) -> list[Exam]:
    """Cases of a `datalist.json`, of Duke-Breast-Cancer-MRI in DICOM, or of a folder laid out as MAMA-MIA.

    Raises:
        InputError: nothing of the kind.
    """
    source = Path(source)
    if is_datalist(source):
        return [_listed(item, source) for item in load_datalist(source)]
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder or datalist")
    # The masks of a cohort in DICOM are volumes, too.
    return find_cases(source) if any(is_phase_file(path) for path in find_volumes(source)) else find_patients(source)


def is_datalist(source: str | Path) -> bool:
    """Whether a source is a datalist, by its name."""
    return Path(source).suffix == ".json"


def _listed(item: Mapping[str, Any], source: Path) -> ListedCase:
    if not isinstance(item.get("image"), str) or not item.get("phases"):
        raise InputError(
            f"{source}: case {item.get('case', '?')} has no pre-contrast image and phases; give a datalist of "
            "scripts/prepare_data.py duke or mama_mia"
        )
    mask = Path(item["label"]) if "label" in item else None
    lesions = tuple(item["lesions"]) if "lesions" in item else None
    paths = (Path(item["image"]), Path(item["phases"][0]))
    return ListedCase(item["case"], item.get("patient", item["case"]), paths, mask, lesions, item.get("box"))


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
    pre, post, box = _load(case, options, boxes)
    mip = project(subtract(post, pre, clip=True))
    low, high = (float(v) for v in np.percentile(mip.numpy(), options.percentiles))
    if high <= low:
        raise InputError(f"{case.name}: the subtraction is empty, no contrast has arrived; check the phases")
    grid = SliceGrid(tuple(mip.shape[1:3]), tuple(float(s) for s in mip.pixdim[:2]), (options.size, options.size))
    annotation = _annotation(case, options, pre, mip, grid, box)
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


def find_annotation(folder: Path, name: str) -> Path | None:
    """The lesion annotation of a case in a folder: `<case>` or `<case>_mask` with any suffix that can be read."""
    names = [f"{name}{ending}{suffix}" for ending in ("", "_mask", "_seg") for suffix in ANNOTATION_SUFFIXES]
    return next((folder / n for n in names if (folder / n).is_file()), None)


def _load(
    case: Exam, options: MipOptions, boxes: Mapping[str, AnnotationBox]
) -> tuple[MetaTensor, MetaTensor, MetaTensor | None]:
    """Pre-contrast volume, first phase after contrast and filled annotation box, (1, X, Y, Z) in RAS orientation."""
    box = None
    same_frame = True
    if isinstance(case, DukeCase):
        series = find_phases(case, 1)
        pre, post = (load_series(entry) for entry in series[:2])
        names = [entry.title for entry in series[:2]]
        same_frame = series[0].frame_of_reference == series[1].frame_of_reference
        if case.name in boxes:
            box = box_on_grid(boxes[case.name], series[0], pre.affine.numpy())
    else:
        paths = case.paths if isinstance(case, ListedCase) else _phase_files(case)
        pre, post = (load_volume(path) for path in paths)
        names = [path.name for path in paths]
        box = case.box if isinstance(case, ListedCase) and options.box_class is not None else None
    if options.registration != "none":
        post = register_phase(post, pre, options.registration)
    elif not same_frame or not same_grid(pre, post):
        raise InputError(
            f"{case.name}: {names[1]} ({describe_grid(post)}) is not on the grid of {names[0]} ({describe_grid(pre)}); "
            "pass --registration rigid"
        )
    filled = None
    if box is not None:
        filled = torch.zeros_like(pre)
        filled[(0, *(slice(int(a), int(b)) for a, b in zip(*box, strict=True)))] = 1
    to_ras = Orientation(axcodes="RAS", labels=None)
    return to_ras(pre), to_ras(post), None if filled is None else to_ras(filled)


def _phase_files(case: MamaMiaCase) -> tuple[Path, Path]:
    missing = [number for number in (0, 1) if number not in case.phases]
    if missing:
        raise InputError(f"{case.name}: phase {missing[0]:04d} is missing; download it")
    return case.phases[0], case.phases[1]


def _annotation(
    case: Exam, options: MipOptions, pre: MetaTensor, mip: MetaTensor, grid: SliceGrid, box: MetaTensor | None
) -> tuple[np.ndarray, dict[int, int]] | None:
    """Lesion numbers (size, size) on the exam and their classes: from the folder of masks, else the case's own mask,
    else its box; None if unknown."""
    if options.masks is not None:
        path = find_annotation(options.masks, case.name)
        if path is None:
            raise InputError(
                f"no annotation in {options.masks}; where there is no lesion, give an empty mask with the JSON file "
                '{"instances": {}} beside it'
            )
        annotation = read_annotation(path, options.label_meaning, options.classes, project=True)
        return _present(_on_exam(annotation, mip, grid), annotation.classes)
    mask = None if isinstance(case, DukeCase) else case.mask
    lesions = None
    if mask is not None:
        lesions = case.lesions if isinstance(case, ListedCase) else read_sidecar(mask).get("lesions")
    if lesions is None or any("birads" not in lesion for lesion in lesions):
        # Lesions may be drawn, but nobody says of which class.
        return None if box is None else _projected(box[0].numpy(), {1: options.box_class}, grid)
    if not lesions:
        return np.zeros(grid.size, np.uint16), {}
    classes = {int(le["instance"]): check_class(le["birads"], f"{mask}: instance {le['instance']}") for le in lesions}
    values = load_mask(mask, pre)
    for instance in set(np.unique(values).tolist()) - {0} - set(classes):
        raise InputError(f"{mask}: instance {instance} has no class in the JSON file beside it")
    return _projected(values, classes, grid)


def _projected(values: np.ndarray, classes: Mapping[int, int], grid: SliceGrid) -> tuple[np.ndarray, dict[int, int]]:
    """Lesion numbers of a volume (X, Y, Z) seen along Z; of lesions behind one another, the higher class shows."""
    shown = np.zeros(values.shape[:2], np.uint16)
    for instance in sorted(classes, key=lambda instance: (classes[instance], instance)):
        shown[(values == instance).any(axis=2)] = instance
    return _present(fit_labels(shown, grid), classes)


def _present(instances: np.ndarray, classes: Mapping[int, int]) -> tuple[np.ndarray, dict[int, int]]:
    """Lesion numbers, and classes of those that occur."""
    return instances, {number: classes[number] for number in sorted(set(np.unique(instances).tolist()) - {0})}


def _on_exam(annotation: LesionAnnotation, mip: MetaTensor, grid: SliceGrid) -> np.ndarray:
    """Lesion numbers (size, size) on the exam, of an annotation on the exam or on the MIP before it is padded.

    A picture has no place in space; its size alone decides.

    Raises:
        InputError: the annotation lies on another grid.
    """
    values = torch.from_numpy(annotation.instances.astype(np.int32))[None, ..., None]
    turned = Orientation(axcodes="RAS", labels=None)(MetaTensor(values, affine=torch.from_numpy(annotation.affine)))
    instances = turned[0, ..., 0].numpy().astype(np.uint16)
    picture = annotation.path.lower().endswith(PICTURE_SUFFIX)

    def lies_on(size: tuple[int, int], affine: np.ndarray) -> bool:
        placed = np.allclose(turned.affine[:2, [0, 1, 3]], affine[:2, [0, 1, 3]], atol=1e-2)
        return instances.shape == size and (picture or placed)

    if lies_on(grid.matrix, mip.affine.numpy()):
        return fit_labels(instances, grid)
    if lies_on(grid.size, grid.network_affine(mip.affine.numpy())):
        return instances
    raise InputError(
        f"{annotation.path}: the mask ({describe_grid(turned)}) is not on the grid of the MIP ({describe_grid(mip)}); "
        "draw it on the MIP, or on the volume that it comes from"
    )


def _check_percentiles(percentiles: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in percentiles)
    except (TypeError, ValueError) as error:
        raise InputError(f"percentiles={percentiles}: give two, such as (0.1, 99.9)") from error
    if not 0 <= low < high <= 100:
        raise InputError(f"percentiles={percentiles}: give two rising numbers from 0 to 100")
    return low, high
