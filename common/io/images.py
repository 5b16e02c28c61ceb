"""Two-dimensional images in volume files: MIPs and what is drawn on them."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.data import MetaTensor

from ..errors import InputError
from .volumes import load_volume


def load_image(path: str | Path) -> MetaTensor:
    """Read a volume file whose last axis has one voxel.

    Returns:
        MetaTensor (1, X, Y), float32, with the 4x4 affine of the file.

    Raises:
        InputError: as `load_volume`, or the file holds more than one slice.
    """
    volume = load_volume(path, single_slice=True)
    if volume.shape[-1] != 1:
        raise InputError(f"{path}: has {volume.shape[-1]} slices, a single image is needed")
    return MetaTensor(torch.as_tensor(volume[..., 0]), meta=volume.meta)
