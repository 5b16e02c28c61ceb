"""Segments of 3D Slicer's `.seg.nrrd` files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .label_images import LabelImage

_SEGMENT = re.compile(r"Segment(\d+)_\w+$")


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        name: as shown in Slicer.
        value: its label value within its layer.
        tags: the text of all its tags, parted by `|`.
        mask: (X, Y, Z), bool.
    """

    name: str
    value: int
    tags: str
    mask: np.ndarray


def has_segments(image: LabelImage) -> bool:
    """Whether a label image comes with a table of segments."""
    return any(_SEGMENT.match(key) for key in image.fields)


def read_segments(image: LabelImage, path: Path) -> list[Segment]:
    """Segments of a label image that have a voxel, in the order of the file.

    Segments that overlap lie in different layers (channels). Files of older versions have a layer for each segment
    and say neither layer nor value.

    Raises:
        InputError: no table of segments, or a segment in a layer that is not there.
    """
    numbers = sorted({int(found[1]) for key in image.fields if (found := _SEGMENT.match(key))})
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
            segments.append(Segment(name, value, str(image.fields.get(f"Segment{number}_Tags", "")), mask))
    return segments
