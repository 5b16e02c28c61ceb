"""Segments of 3D Slicer's `.seg.nrrd` files, in the form that those of DICOM take too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .label_images import LabelImage
from .terminology import Code

_SEGMENT = re.compile(r"Segment(\d+)_\w+$")
_TERMINOLOGY = "TerminologyEntry:"


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        name: as shown in Slicer.
        value: its label value within its layer.
        tags: the text of all its tags, parted by `|`.
        mask: (X, Y, Z), bool.
        type: the code of what it is, where the file says one.
        colour: RGB, 0 to 255, where the file says one.
    """

    name: str
    value: int
    tags: str
    mask: np.ndarray
    type: Code | None = None
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Segmentation:
    """The segments of a file on one grid; those that overlap are masks of their own.

    Attributes:
        segments: those with a voxel, in the order of the file.
        shape: (X, Y, Z).
        affine: 4x4, voxel to millimetres (RAS).
    """

    segments: list[Segment]
    shape: tuple[int, int, int]
    affine: np.ndarray


def has_segments(image: LabelImage) -> bool:
    """Whether a label image comes with a table of segments."""
    return any(_SEGMENT.match(key) for key in image.fields)


def read_segments(image: LabelImage, path: Path) -> list[Segment]:
    """Segments of a label image that have a voxel, in the order of the file.

    Segments that overlap lie in different layers (channels). Files of older versions have a layer for each segment
    and say neither layer nor value.

    Raises:
        InputError: voxels but no table of segments, or a segment in a layer that is not there.
    """
    numbers = sorted({int(found[1]) for key in image.fields if (found := _SEGMENT.match(key))})
    if not numbers and "Segmentation_MasterRepresentation" in image.fields and not image.values.any():
        return []
    if not numbers:
        raise InputError(f"{path}: holds no segments; save the segmentation from 3D Slicer as .seg.nrrd again")
    offset = str(image.fields.get("Segmentation_ReferenceImageExtentOffset", "0 0 0"))
    if any(int(steps) for steps in offset.split()):
        raise InputError(
            f"{path}: was cropped on saving from 3D Slicer and covers a part of the image only; save it again without "
            "cropping to the segments, or export it as a label map"
        )
    layers = image.values.shape[3]
    segments = []
    for number in numbers:
        layer = int(image.fields.get(f"Segment{number}_Layer", number if layers > 1 else 0))
        value = int(image.fields.get(f"Segment{number}_LabelValue", 1))
        name = str(image.fields.get(f"Segment{number}_Name", f"Segment_{number + 1}")).strip()
        if layer >= layers:
            raise InputError(f"{path}: segment {name} is in layer {layer} of {layers}; save it again from 3D Slicer")
        mask = image.values[..., layer] == value
        if mask.any():
            tags = str(image.fields.get(f"Segment{number}_Tags", ""))
            colour = _colour(str(image.fields.get(f"Segment{number}_Color", "")))
            segments.append(Segment(name, value, tags, mask, _type(tags), colour))
    return segments


def _type(tags: str) -> Code | None:
    """The type of a terminology entry: its third part of seven, `scheme^value^meaning`."""
    entry = next((tag.strip() for tag in tags.split("|") if tag.strip().startswith(_TERMINOLOGY)), "")
    parts = [part.split("^") for part in entry.split("~")]
    return Code(*parts[2]) if len(parts) > 2 and len(parts[2]) == 3 and parts[2][1] else None


def _colour(text: str) -> tuple[int, int, int] | None:
    """RGB of shares of 1 such as `0.5 0.25 1`."""
    try:
        red, green, blue = (round(255 * float(part)) for part in text.split())
    except ValueError:
        return None
    return red, green, blue
