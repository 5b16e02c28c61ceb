"""What is known of an examination's lesions, brought onto its MIP: drawn masks, a cohort's own masks, or boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ..errors import InputError
from ..io.label_images import PICTURE_SUFFIX
from ..io.volumes import describe_grid
from ..transforms.lesion_frame import fit_labels
from ..transforms.slice_grid import SliceGrid
from .dce_exams import Exam, ListedCase
from .duke import DukeCase
from .lesion_annotations import LesionAnnotation, read_annotation
from .lesion_classes import check_class
from .lesion_masks import load_mask, read_sidecar

ANNOTATION_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".png")


@dataclass(frozen=True)
class AnnotationOptions:
    """Where annotations are and how they are read.

    Attributes:
        masks: folder of lesion annotations by case, or None.
        keep_unlabelled: whether the lesions of a case without an annotation in `masks` are unknown, else it is refused.
        label_meaning, classes: see `read_annotation`.
        box_class: BI-RADS class of annotation boxes.
    """

    masks: Path | None = None
    keep_unlabelled: bool = False
    label_meaning: str = "auto"
    classes: Any = None
    box_class: int | None = None


def find_annotation(folder: Path, name: str) -> Path | None:
    """The lesion annotation of a case in a folder: `<case>` or `<case>_mask` with any suffix that can be read."""
    names = [f"{name}{ending}{suffix}" for ending in ("", "_mask", "_seg") for suffix in ANNOTATION_SUFFIXES]
    return next((folder / n for n in names if (folder / n).is_file()), None)


def annotate_exam(
    case: Exam, options: AnnotationOptions, pre: MetaTensor, mip: MetaTensor, grid: SliceGrid, box: MetaTensor | None
) -> tuple[np.ndarray, dict[int, int]] | None:
    """Lesion numbers (size, size) on the exam and their classes, or None where the lesions are unknown.

    From the folder of masks; where none is given, from the case's own mask, else its box.

    Args:
        case: from `find_exams`.
        options: see `AnnotationOptions`.
        pre: pre-contrast volume (1, X, Y, Z), RAS.
        mip: its projection (1, X, Y, 1).
        grid: from the projection to the exam.
        box: filled annotation box on the grid of `pre`, from `load_exam`.

    Raises:
        InputError: the folder lacks the case, or an annotation is unusable or lies on another grid.
    """
    if options.masks is not None:
        path = find_annotation(options.masks, case.name)
        if path is None and options.keep_unlabelled:
            return None
        if path is None:
            raise InputError(
                f"no annotation in {options.masks}; where there is no lesion, give an empty mask with the JSON file "
                '{"instances": {}} beside it; to keep cases without lesions known, pass --keep_unlabelled True'
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
