"""Structural similarity with a separable Gaussian window and an explicit data range.

Wang et al. 2004, equation 13, with K1 = 0.01, K2 = 0.03 and population covariances; equal to scikit-image's
`structural_similarity(gaussian_weights=True, use_sample_covariance=False)` away from the border. The window is applied
one axis at a time, which makes it cheap enough for a training loss in three dimensions.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def gaussian_window(size: int, sigma: float, like: torch.Tensor) -> torch.Tensor:
    """Normalised Gaussian of odd length `size`."""
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


def _filter(volume: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Valid separable filtering of the spatial axes of (B, C, ...)."""
    convolve = functional.conv3d if volume.ndim == 5 else functional.conv2d
    axes = volume.ndim - 2
    batch, channels = volume.shape[:2]
    volume = volume.reshape(batch * channels, 1, *volume.shape[2:])
    for axis in range(axes):
        shape = [1] * axes
        shape[axis] = len(window)
        volume = convolve(volume, window.view(1, 1, *shape))
    return volume.reshape(batch, channels, *volume.shape[2:])


def ssim_terms(
    first: torch.Tensor,
    second: torch.Tensor,
    data_range: float | torch.Tensor,
    window_size: int = 11,
    sigma: float = 1.5,
) -> tuple[torch.Tensor, torch.Tensor]:
    """SSIM and its contrast-structure factor at every position where the window fits.

    Args:
        first, second: (B, C, X, Y) or (B, C, X, Y, Z), float.
        data_range: span of the intensities, a number or a tensor that broadcasts to (B, C).
        window_size, sigma: of the Gaussian window; every side must be at least `window_size`.

    Returns:
        Two maps (B, C, ...) smaller than the input by `window_size - 1` along each axis.
    """
    window = gaussian_window(window_size, sigma, first)
    span = torch.as_tensor(data_range, dtype=first.dtype, device=first.device)
    span = span.reshape(*span.shape, *[1] * (first.ndim - span.ndim)) if span.ndim else span
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_1, mean_2 = _filter(first, window), _filter(second, window)
    variance_1 = _filter(first * first, window) - mean_1**2
    variance_2 = _filter(second * second, window) - mean_2**2
    covariance = _filter(first * second, window) - mean_1 * mean_2
    structure = (2 * covariance + c2) / (variance_1 + variance_2 + c2)
    return (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1) * structure, structure


def ms_ssim(
    first: torch.Tensor,
    second: torch.Tensor,
    data_range: float | torch.Tensor,
    window_size: int = 7,
    weights: tuple[float, ...] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
) -> torch.Tensor:
    """Multi-scale SSIM (Wang et al. 2003) per image and channel, (B, C).

    Small volumes have fewer scales: as many as keep every side at `window_size` or more, their weights renormalised.
    """
    side = min(first.shape[2:])
    scales = 1
    while scales < len(weights) and side // 2**scales >= window_size:
        scales += 1
    chosen = torch.tensor(weights[:scales], dtype=first.dtype, device=first.device)
    chosen = chosen / chosen.sum()
    pool = functional.avg_pool3d if first.ndim == 5 else functional.avg_pool2d
    result = torch.ones(first.shape[:2], dtype=first.dtype, device=first.device)
    for scale, weight in enumerate(chosen):
        similarity, structure = ssim_terms(first, second, data_range, window_size)
        term = similarity if scale == scales - 1 else structure
        result = result * term.flatten(2).mean(-1).clamp(min=0) ** weight
        first, second = pool(first, 2), pool(second, 2)
    return result
