"""How well a predicted mask fits the true one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics import compute_hausdorff_distance

from .adherence import dice


def hausdorff95(predicted: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float]) -> float:
    """95th percentile of the distances between two surfaces, the larger of both directions, in millimetres.

    Args:
        predicted, truth: bool (X, Y, Z).
        spacing: millimetres along X, Y, Z.

    Returns:
        NaN where either mask is empty: there is no surface.
    """
    if not predicted.any() or not truth.any():
        return float("nan")
    # Only the voxels around both masks matter.
    both = (predicted | truth).nonzero()
    box = tuple(slice(max(0, int(a) - 1), int(b) + 2) for a, b in zip(both.amin(0), both.amax(0), strict=True))
    pair = [mask[box].float()[None, None] for mask in (predicted, truth)]
    distance = compute_hausdorff_distance(
        *pair, include_background=True, percentile=95, spacing=[float(s) for s in spacing]
    )
    return float(distance)


def mask_scores(predicted: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float]) -> dict[str, float]:
    """`dice` and `hd95` of two bool masks (X, Y, Z)."""
    return {"dice": dice(predicted, truth), "hd95": hausdorff95(predicted, truth, spacing)}
