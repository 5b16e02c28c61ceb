"""The picture that goes with each synthetic case: three planes through the tumour, the mask in colour."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel
import numpy as np

from .pictures import mosaic, overlay, slice_through, window

PLANES = (2, 1, 0)  # axial, coronal, sagittal
HEIGHT = 192


def case_preview(
    image: np.ndarray, regions: np.ndarray, affine: np.ndarray, contrasts: Sequence[str], title: str
) -> np.ndarray:
    """Rows axial, coronal, sagittal through the slice with most tumour; columns contrasts, then the mask over the last.

    Args:
        image: (C, X, Y, Z), background 0, any orientation.
        regions: canonical mask (X, Y, Z) on the same grid.
        affine: 4x4, voxel to RAS millimetres; turned to the nearest RAS axes for display.
        contrasts: captions.
        title: first line; says that the image is synthetic.

    Returns:
        Picture (H, W, 3), uint8.
    """
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.moveaxis(image, 0, -1), affine))
    volume = np.moveaxis(np.asarray(canonical.dataobj), -1, 0)
    mask = np.asarray(nibabel.as_closest_canonical(nibabel.Nifti1Image(regions.astype(np.uint8), affine)).dataobj)
    spacing = canonical.header.get_zooms()[:3]
    volume, mask = _crop_to_content(volume, mask)
    channels = [window(channel) for channel in volume]
    rows = []
    for axis in PLANES:
        others = tuple(a for a in range(3) if a != axis)
        position = int(np.argmax((mask > 0).sum(others)))
        pictures = [slice_through(channel, axis, position, spacing, HEIGHT) for channel in channels]
        size = pictures[-1].shape
        flat = slice_through(mask * 40, axis, position, spacing, HEIGHT)  # 40 apart: survives interpolation
        rows.append([*pictures, overlay(pictures[-1], np.rint(flat / 40).reshape(size))])
    return mosaic(rows, [*contrasts, f"mask on {contrasts[-1]}"], title)


def _crop_to_content(volume: np.ndarray, mask: np.ndarray, margin: int = 3) -> tuple[np.ndarray, np.ndarray]:
    occupied = np.argwhere((volume != 0).any(axis=0) | (mask > 0))
    if len(occupied) == 0:
        return volume, mask
    box = tuple(
        slice(max(0, a - margin), b + 1 + margin) for a, b in zip(occupied.min(0), occupied.max(0), strict=True)
    )
    return volume[(slice(None), *box)], mask[box]
