"""A picture of a volume with its segmentation, for a look rather than a reading."""

from __future__ import annotations

import nibabel
import numpy as np
from monai.data import MetaTensor

from .pictures import mosaic, slice_through, window

LARGEST_SIDE = 420
COLOUR = np.array([255.0, 90.0, 80.0])
ALPHA = 0.45
PLANES = ("sagittal", "coronal", "axial")


def mask_preview(volume: MetaTensor, mask: np.ndarray, title: str) -> np.ndarray:
    """Axial, coronal and sagittal slice through the most marked voxels: as it is, and with the mask in colour.

    Args:
        volume: (1, X, Y, Z) in its own units.
        mask: (X, Y, Z), bool, on its grid; through the volume's middle where it is empty.
        title: first line.

    Returns:
        Picture (H, W, 3), uint8.
    """
    affine = np.asarray(volume.affine, float)
    stored = nibabel.orientations.io_orientation(affine)
    gray, marked = (
        nibabel.orientations.apply_orientation(array, stored)
        for array in (window(volume[0].as_tensor().cpu().numpy()), np.asarray(mask, bool))
    )
    spacing = np.empty(3)
    spacing[stored[:, 0].astype(int)] = nibabel.affines.voxel_sizes(affine)
    # One scale for all planes: a thin slab stays thin.
    extent = np.array(gray.shape) * spacing
    scale = LARGEST_SIDE / extent.max()
    rows: list[list[np.ndarray]] = [[], []]
    for axis in (2, 1, 0):
        others = tuple(k for k in range(3) if k != axis)
        position = int(marked.sum(axis=others).argmax()) if marked.any() else marked.shape[axis] // 2
        height = max(1, round(float(extent[1 if axis == 2 else 2]) * scale))
        plain = slice_through(gray, axis, position, spacing, height)
        over = slice_through(marked.astype(np.uint8) * 255, axis, position, spacing, height)[..., None] / 255
        rows[0].append(plain)
        rows[1].append((plain[..., None] * (1 - ALPHA * over) + ALPHA * over * COLOUR).astype(np.uint8))
    return mosaic(rows, [PLANES[axis] for axis in (2, 1, 0)], title)
