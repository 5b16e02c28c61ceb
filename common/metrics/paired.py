"""Paired image metrics by region, on a stated intensity scale.

The data range of a contrast is the span between two percentiles of the reference inside the region that the range is
declared for (the brain), so that a few bright voxels do not decide a decibel.
"""

from __future__ import annotations

import torch

from .ssim import ssim_terms


def percentile_range(
    reference: torch.Tensor, region: torch.Tensor, low: float = 0.1, high: float = 99.9
) -> torch.Tensor:
    """Span between two percentiles of each channel inside a region.

    Args:
        reference: (C, X, Y, Z).
        region: bool (X, Y, Z).

    Returns:
        (C,), in the units of the reference.
    """
    voxels = reference[:, region].double()
    quantiles = torch.tensor([low / 100, high / 100], dtype=torch.float64)
    bottom, top = torch.stack([torch.quantile(channel, quantiles) for channel in voxels], dim=1)
    return top - bottom


def mae(image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of each channel inside a region, (C,), in the images' units; NaN for an empty region."""
    return (image - reference)[:, region].abs().double().mean(dim=1)


def psnr(image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor, data_range: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each channel inside a region, (C,), in dB: 10 log10(range^2 / MSE)."""
    mse = (image - reference)[:, region].double().square().mean(dim=1)
    return 10 * torch.log10(data_range.double() ** 2 / mse)


def ssim(
    image: torch.Tensor, reference: torch.Tensor, region: torch.Tensor, data_range: torch.Tensor, window_size: int = 11
) -> torch.Tensor:
    """Mean SSIM of each channel over the window centres that lie inside a region, (C,).

    Centres closer than half a window to the border of the volume are left out.
    """
    map_, _ = ssim_terms(image[None].double(), reference[None].double(), data_range.double()[None], window_size)
    half = window_size // 2
    inner = region[tuple(slice(half, side - half) for side in region.shape)]
    return map_[0][:, inner].mean(dim=1)
