"""Lesions with BI-RADS classes drawn on a 2D image, from any of the forms in which readers save them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage

from ..errors import InputError
from ..io.files import write_json
from ..io.label_images import LabelImage, flat_affine, flat_axis, read_label_image
from ..io.segment_files import is_dicom_file, read_segment_file
from ..io.segmentation_writer import save_segmentation
from ..io.segmentations import Segment, read_segments
from ..io.terminology import birads_lesion, lesion_number
from ..io.volumes import GRID_TOLERANCE, save_nifti
from ..knobs import as_path, check_choice
from ..transforms.projection import project as project_volume
from .label_meanings import (
    TOLERANCE,
    automatic_meaning,
    colour_masks,
    instance_classes,
    is_segmentation,
    is_soft,
    value_classes,
    whole_numbers,
)
from .lesion_classes import (
    CLASSES,
    IGNORED,
    check_class,
    class_file_of,
    class_of_segment,
    read_class_file,
    read_class_table,
)
from .lesion_painting import NEIGHBOURS, Lesion, components, paint

MEANINGS = ("auto", "birads", "instance", "segment", "soft")


@dataclass(frozen=True)
class LesionAnnotation:
    """Lesions of one 2D image; none is a BI-RADS 1 examination.

    Where lesions overlap, a pixel belongs to the one of the higher class, among equals to the later one.

    Attributes:
        path: the file, for messages.
        instances: (X, Y), uint16, number of the lesion at each pixel, 0 outside.
        classes: class 2 to 6 by lesion number; exactly the numbers that occur in `instances`.
        affine: 4x4, millimetres (RAS), of the image seen as a volume (X, Y, 1).
        fractions: of soft masks only, (5, X, Y), float32, share of raters for class 2 to 6.
    """

    path: str
    instances: np.ndarray
    classes: dict[int, int]
    affine: np.ndarray
    fractions: np.ndarray | None = None

    def class_map(self) -> np.ndarray:
        """Class of each pixel, (X, Y), uint8, 0 outside lesions."""
        table = np.zeros(max(self.classes, default=0) + 1, np.uint8)
        for number, birads in self.classes.items():
            table[number] = birads
        return table[self.instances]


def read_annotation(
    path: str | Path,
    label_meaning: str = "auto",
    classes: dict | str | Path | None = None,
    project: bool = False,
) -> LesionAnnotation:
    """Read the lesions of one mask file.

    Axes keep the file's order and direction; the one of length 1 is dropped and becomes the third of the affine.

    Args:
        path: NIfTI, NRRD, MetaImage or PNG (see `read_label_image` for its geometry), or a DICOM SEG of one image.
        label_meaning: what values mean. `birads`: the class itself, or what `classes` makes of it; each connected
            component is a lesion. `instance`: a lesion's number, its class from the JSON file of the same name (see
            `read_class_file`) or `classes`, which comes first. `segment`: 3D Slicer's or DICOM's segments (see
            `class_of_segment`), each component a lesion, or each segment where all have the tag of a lesion's number.
            `soft`: shares of raters, channels for class 2 to 6; each component a lesion of the class with the largest
            sum. `auto`: the one of these that is possible.
        classes: see `read_class_table`; for a colour PNG, a table of its colours.
        project: look along the cranio-caudal axis through a 3D mask instead of refusing it.

    Raises:
        InputError: unreadable, three-dimensional, of unknown or ambiguous meaning, or with a class that lesions lack.
    """
    path = as_path(path)
    check_choice("label_meaning", label_meaning, MEANINGS)
    table = read_class_table(classes)
    if is_dicom_file(path):
        return _from_dicom(path, label_meaning, table)
    image = read_label_image(path)
    shape, affine = image.values.shape[:3], image.affine
    if image.colours is not None:
        if label_meaning not in ("auto", "birads"):
            raise InputError(f"{path}: colours can only mean classes; use --label_meaning birads and --classes")
        lesions = [(None, birads, mask) for birads, mask in colour_masks(image.colours, table, path)]
        return _annotate(path, shape, affine, lesions, project)
    if label_meaning == "segment" or (label_meaning == "auto" and is_segmentation(image, path)):
        lesions = _lesions_of(read_segments(image, path), table, path)
        return _annotate(path, shape, affine, lesions, project)
    if label_meaning == "soft" or (label_meaning == "auto" and is_soft(image, project, path)):
        return _from_shares(path, image)
    if image.values.shape[3] > 1:
        raise InputError(
            f"{path}: has {image.values.shape[3]} channels; give one label map, or shares of raters for classes 2 to 6"
        )
    labels = whole_numbers(image.values[..., 0], path)
    values = {int(value) for value in np.unique(labels)} - {0}
    known = read_class_file(path)
    if label_meaning == "auto":
        label_meaning = automatic_meaning(values, known, table, path)
    if label_meaning == "instance":
        found = instance_classes(values, known, table, path)
        lesions = [(value, birads, labels == value) for value, birads in found.items()]
    else:
        found = value_classes(values, table, path)
        lesions = [(None, birads, labels == value) for value, birads in found.items()]
    return _annotate(path, shape, affine, lesions, project)


def _from_dicom(path: Path, label_meaning: str, table: Mapping[str, int]) -> LesionAnnotation:
    if label_meaning not in ("auto", "segment"):
        raise InputError(f"{path}: a DICOM file of segments; use --label_meaning segment")
    found = read_segment_file(path)
    if flat_axis(found.shape) is None:
        raise InputError(
            f"{path}: has {found.shape[2]} slices and leaves out those without a lesion; draw lesions on the MIP, or "
            "save the volume's segmentation as .seg.nrrd and pass --project True"
        )
    return _annotate(path, found.shape, found.affine, _lesions_of(found.segments, table, path), False)


def _lesions_of(segments: Sequence[Segment], table: Mapping[str, int], path: Path) -> list[Lesion]:
    """Lesions of segments; numbered where each segment has a number of its own."""
    numbers = [lesion_number(segment.tags) for segment in segments]
    if None in numbers or len(set(numbers)) < len(numbers):
        numbers = [None] * len(segments)
    return [(n, class_of_segment(s, table, path), s.mask) for n, s in zip(numbers, segments, strict=True)]


def _from_shares(path: Path, image: LabelImage) -> LesionAnnotation:
    values = image.values
    if values.shape[2:] == (len(CLASSES), 1):
        values = values.swapaxes(2, 3)
    if values.shape[3] != len(CLASSES) or flat_axis(values.shape[:3]) is None:
        raise InputError(
            f"{path}: has shape {' x '.join(map(str, image.values.shape))}; a soft mask has shape X x Y x 1 x 5, "
            "shares of raters for classes 2 to 6"
        )
    shares = np.asarray(values, np.float32)
    if shares.min() < -TOLERANCE or shares.sum(-1).max() > 1 + TOLERANCE:
        raise InputError(f"{path}: shares of raters lie from 0 to 1 and sum to at most 1 at each pixel; correct them")
    axis = flat_axis(shares.shape[:3])
    fractions = np.moveaxis(np.take(shares, 0, axis=axis).clip(0, 1), -1, 0)
    marked = fractions.sum(0) > 0
    numbers, count = ndimage.label(marked, NEIGHBOURS)
    lesions: list[Lesion] = []
    for number in range(1, count + 1):
        mask = numbers == number
        totals = fractions[:, mask].sum(1)
        # Among equals the higher class, as where lesions overlap.
        lesions.append((None, CLASSES[len(CLASSES) - 1 - int(totals[::-1].argmax())], mask))
    instances, classes = paint(lesions, marked.shape, str(path))
    return LesionAnnotation(str(path), instances, classes, flat_affine(image.affine, axis), fractions)


def _annotate(
    path: Path, shape: tuple[int, int, int], affine: np.ndarray, lesions: list[Lesion], project: bool
) -> LesionAnnotation:
    """Lesions (X, Y, Z) to an annotation of the plane."""
    lesions = [lesion for lesion in lesions if lesion[1] != IGNORED]
    if flat_axis(shape) is None:
        if not project:
            raise InputError(
                f"{path}: a three-dimensional mask of shape {' x '.join(map(str, shape))}; draw lesions on the MIP, or "
                "pass --project True to project it along the cranio-caudal axis"
            )
        # The empty mask comes last: it alone gives the geometry where there is no lesion.
        flat = [
            project_volume(MetaTensor(torch.from_numpy(mask[None]), affine=torch.from_numpy(affine)))
            for mask in [*(mask for _, _, mask in lesions), np.zeros(shape, bool)]
        ]
        lesions = [(number, birads, m[0].numpy()) for (number, birads, _), m in zip(lesions, flat, strict=False)]
        shape, affine = tuple(flat[-1].shape[1:]), flat[-1].affine.numpy()
    axis = flat_axis(shape)
    plane = tuple(side for k, side in enumerate(shape) if k != axis)
    parts: list[Lesion] = []
    for number, birads, mask in lesions:
        mask = mask.any(axis=axis)
        parts += [(number, birads, mask)] if number else [(None, birads, part) for part in components(mask, str(path))]
    instances, classes = paint(parts, plane, str(path))
    return LesionAnnotation(str(path), instances, classes, flat_affine(affine, axis))


def save_annotation(
    path: str | Path, annotation: LesionAnnotation, description: str = "", facts: Mapping[str, Any] | None = None
) -> None:
    """Write lesions in the form that `read_annotation` knows without being told.

    NIfTI (X, Y, 1) of lesion numbers, uint8 or uint16, and `{"instances": {"1": 4}}` in the JSON file of the same name;
    soft masks as NIfTI (X, Y, 1, 5), float32, alone. The mask appears last: it never lies there without its classes.

    Args:
        path: file ending in `.nii` or `.nii.gz`.
        annotation: the lesions.
        description: header text, at most 79 characters.
        facts: further entries of the JSON file, for example what made the mask.
    """
    path = Path(path)
    path.unlink(missing_ok=True)  # or an old mask would stand beside new classes for a moment
    if annotation.fractions is not None:
        class_file_of(path).unlink(missing_ok=True)
        array = np.moveaxis(annotation.fractions, 0, -1)[:, :, None].astype(np.float32)
    else:
        classes = {str(number): annotation.classes[number] for number in sorted(annotation.classes)}
        write_json(class_file_of(path), {"instances": classes, **(facts or {})})
        kind = np.uint8 if annotation.instances.max(initial=0) < 256 else np.uint16
        array = annotation.instances[..., None].astype(kind)
    save_nifti(path, array, annotation.affine, description)


def save_annotation_segments(
    path: str | Path,
    annotation: LesionAnnotation,
    colours: Mapping[int, tuple[int, int, int]],
    description: str = "",
) -> None:
    """Write lesions as `.seg.nrrd` of 3D Slicer, a segment a lesion, so that `read_annotation` gives them back.

    Args:
        path: file ending in `.seg.nrrd`.
        annotation: the lesions; shares of raters are no segments and get lost.
        colours: RGB by class.
        description: header text.
    """
    classes = annotation.classes
    kinds = {number: birads_lesion(classes[number], number, colours[classes[number]]) for number in sorted(classes)}
    save_segmentation(path, annotation.instances[..., None], annotation.affine, kinds, description)


def soft_from_raters(annotations: Sequence[LesionAnnotation]) -> np.ndarray:
    """Share of raters for each class at each pixel, (5, X, Y), float32.

    Raises:
        InputError: no rater, or raters on different grids.
    """
    if not annotations:
        raise InputError("raters: no annotation is given; give one of each rater")
    first = annotations[0]
    for other in annotations[1:]:
        if first.instances.shape != other.instances.shape or not np.allclose(
            first.affine, other.affine, atol=GRID_TOLERANCE
        ):
            raise InputError(f"{other.path}: is not on the grid of {first.path}; raters have to draw on one image")
    maps = np.stack([annotation.class_map() for annotation in annotations])
    return np.stack([(maps == birads).mean(0) for birads in CLASSES]).astype(np.float32)


def boxes_annotation(
    boxes: Sequence[Sequence[int]], shape: tuple[int, int], affine: np.ndarray, path: str = "boxes"
) -> LesionAnnotation:
    """Lesions from boxes: the ellipse inscribed in each, since lesions are rounder than boxes.

    Args:
        boxes: (x0, y0, x1, y1, class), pixels, half-open.
        shape: of the image, (X, Y).
        affine: 4x4, millimetres (RAS), of the image as a volume (X, Y, 1).
        path: where the boxes are from, for messages.

    Raises:
        InputError: a box that is empty or leaves the image, or a class that is not 2 to 6.
    """
    x, y = np.meshgrid(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5, indexing="ij")
    lesions: list[Lesion] = []
    for x0, y0, x1, y1, birads in boxes:
        where = f"{path}: box {x0}, {y0}, {x1}, {y1}"
        if not (0 <= x0 < x1 <= shape[0] and 0 <= y0 < y1 <= shape[1]):
            raise InputError(f"{where} is empty or leaves the image of {shape[0]} x {shape[1]} pixels; correct it")
        inside = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
        lesions.append((None, check_class(birads, where), inside))
    instances, classes = paint(lesions, shape, path)
    return LesionAnnotation(path, instances, classes, np.asarray(affine, float))
