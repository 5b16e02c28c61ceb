"""The picture that goes with each synthetic case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor

from .pictures import mosaic, overlay, slice_through, window

PLANES = (2, 1, 0)  # axial, coronal, sagittal
HEIGHT = 192
PHASE_HEIGHT = 256


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


def phases_preview(
    pre: MetaTensor,
    phases: torch.Tensor,
    scale: Mapping[str, float],
    projections: Sequence[MetaTensor],
    numbers: Sequence[int],
    title: str,
) -> np.ndarray:
    """Two rows: axial slice with the strongest enhancement, pre-contrast and phases; MIPs of the subtractions.

    Args:
        pre: (1, X, Y, Z) in its own units.
        phases: (P, X, Y, Z), normalised; `scale` (offset, factor) brings them to the units of `pre`.
        projections: axial MIPs (1, X, Y, 1) of the subtractions; may be none.
        numbers: of the phases, for captions.
        title: first line; says that the image is synthetic.

    Returns:
        Picture (H, W, 3), uint8.
    """
    affine = np.asarray(pre.affine, float)
    before = _ras((pre[0].as_tensor().numpy() - scale["offset"]) / scale["factor"], affine)
    after = [_ras(phase.numpy(), affine) for phase in torch.as_tensor(phases)]
    # The mean of the brightest thousandth of each slice: a few bright voxels do not choose it.
    gain = np.sort((after[0] - before).reshape(-1, before.shape[2]), axis=0)[-max(1, before[..., 0].size // 1000) :]
    position = int(gain.mean(0).argmax())
    order = nibabel.orientations.io_orientation(affine)[:, 0].astype(int)
    spacing = nibabel.affines.voxel_sizes(affine)[np.argsort(order)]
    rows = [[volume[..., position : position + 1] for volume in (before, *after)]]
    flat = [_ras(p[0].as_tensor().numpy(), np.asarray(p.affine, float)) for p in projections]
    if flat:
        rows.append([np.zeros_like(flat[0]), *flat])
        title = f"{title}   below: MIP of the subtraction"
    pictures = []
    for row in rows:
        top = max(float(np.percentile(np.stack(row[1:]), 99.8)), 1e-6)
        scaled = [(np.clip(part / top, 0, 1) * 255).astype(np.uint8) for part in row]
        pictures.append([slice_through(part, 2, 0, spacing, PHASE_HEIGHT) for part in scaled])
    captions = ["pre-contrast (input)", *(f"phase {number}" for number in numbers)]
    return mosaic(pictures, captions, title)


def _ras(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A view of a volume (X, Y, Z) with axes nearest to right, anterior, superior."""
    orientation = nibabel.orientations.io_orientation(affine)
    return nibabel.orientations.apply_orientation(volume, orientation)
