"""Paired metrics of volumes that were made slice by slice: computed in axial slices, averaged inside a region."""

from __future__ import annotations

import torch

from .learned_distance import LearnedDistance
from .ssim import ms_ssim, ssim_terms


def slice_ssim(
    image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor, data_range: torch.Tensor, window_size: int = 11
) -> torch.Tensor:
    """Two-dimensional SSIM of each channel, averaged over the window centres that lie inside a region, (C,).

    Args:
        image, reference: (C, X, Y, Z).
        region: bool (X, Y, Z).
        data_range: (C,), in the images' units.
        window_size: of the Gaussian window (sigma 1.5); centres nearer than half of it to a border are left out.
    """
    half = window_size // 2
    inner = region[half : region.shape[0] - half, half : region.shape[1] - half]
    total = torch.zeros(image.shape[0], dtype=torch.float64)
    for z in torch.nonzero(inner.any(0).any(0))[:, 0].tolist():
        pair = (volume[..., z][None].double() for volume in (image, reference))
        map_, _ = ssim_terms(*pair, data_range.double()[None], window_size)
        total += map_[0][:, inner[..., z]].sum(1)
    return total / inner.sum()


def slice_ms_ssim(
    image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor, data_range: torch.Tensor
) -> torch.Tensor:
    """Two-dimensional MS-SSIM of each channel, (C,): mean over the slices that a region reaches, outside it set to 0.

    Args:
        image, reference: (C, X, Y, Z).
        region: bool (X, Y, Z).
        data_range: (C,), in the images' units.
    """
    reached = torch.nonzero(region.any(0).any(0))[:, 0].tolist()
    values = []
    for z in reached:
        mask = region[..., z]
        pair = ((volume[..., z] * mask)[None].float() for volume in (image, reference))
        values.append(ms_ssim(*pair, data_range.float()[None], window_size=11)[0])
    return torch.stack(values).double().mean(0)


def slice_learned_distance(
    distance: LearnedDistance, image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor
) -> torch.Tensor:
    """LPIPS of each channel, averaged over the slices that a region reaches, (C,).

    The 0.1 and 99.9 percentiles of the reference inside the region are shown as 0 and 1, clipped; outside the region
    both images are 0.

    Args:
        distance: see `LearnedDistance`.
        image, reference: (C, X, Y, Z).
        region: bool (X, Y, Z).
    """
    ends = torch.tensor([0.001, 0.999], dtype=torch.float64)
    low, high = torch.stack([torch.quantile(c, ends) for c in reference[:, region].double()], dim=1).float()
    low, span = low[:, None, None], (high - low).clamp(min=1e-6)[:, None, None]
    values = []
    for z in torch.nonzero(region.any(0).any(0))[:, 0].tolist():
        pair = [((volume[..., z].float() - low) / span).clamp(0, 1) for volume in (image, reference)]
        values.append(distance(*[torch.where(region[..., z], part, 0.0)[:, None] for part in pair]))
    return torch.stack(values).double().mean(0)
