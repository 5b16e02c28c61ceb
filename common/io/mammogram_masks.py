"""Masks drawn on mammograms, from the formats that drawing tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from ..knobs import as_path
from .images import load_image
from .volumes import volume_suffix

LARGEST_LABEL = 32


def load_mask(path: str | Path) -> np.ndarray:
    """A mask as bool (H, W), row 0 on top.

    Pictures (PNG, TIFF, BMP, PGM) whose largest value is small are label maps, set where they are not 0; others are set
    where they are brighter than half of their largest value, so that soft masks keep their outline. NIfTI and NRRD
    files, `.seg.nrrd` of 3D Slicer too, are set where a voxel is not 0.

    Raises:
        InputError: missing, unreadable, or a volume of several slices.
    """
    path = as_path(path)
    if not path.is_file():
        raise InputError(f"mask {path}: no such file")
    if volume_suffix(path):
        return np.asarray(load_image(path)[0]).T > 0
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture if picture.mode in ("1", "L", "I", "I;16", "F") else picture.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"mask {path}: cannot be read; give PNG, TIFF, NIfTI or NRRD") from error
    array = array.astype(np.float32)
    largest = array.max(initial=0)
    return array > (0 if largest <= LARGEST_LABEL else largest / 2)
