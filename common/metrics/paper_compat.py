"""The published MAE, MSE and PSNR of Osuala et al. 2024 as they were computed: artefacts, for comparison alone.

The authors gave 8-bit slices to torchmetrics without a cast, so that differences wrap round modulo 256, and so do
their squares. What comes out measures mainly how many pixels of the first image are darker than the second
(MAE) and how differences spread below 16 grey values (MSE). It says nothing about how far images are apart: use
`paired` for that, and these functions only to stand beside the numbers in the paper's tables.

Their LPIPS cannot be compared either, and is not reproduced: scaling an 8-bit tensor to [-1, 1] without a cast left
each pixel 0 or 1 before it reached the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..errors import InputError


@dataclass(frozen=True)
class PublishedErrors:
    """One value a slice, each a float64 tensor (Z,); the paper gives mean and standard deviation over slices.

    Attributes:
        mae: mean of (first - second) mod 256, in [0, 255], 8-bit grey values.
        mse: mean of (first - second)^2 mod 256, in [0, 255].
        psnr: 10 log10(range^2 / mse) in dB, range that of the second image; infinite where `mse` is 0.
    """

    mae: torch.Tensor
    mse: torch.Tensor
    psnr: torch.Tensor


def published_errors(first: torch.Tensor, second: torch.Tensor, size: int = 512) -> PublishedErrors:
    """Wrapped errors of two images, slice by slice.

    The order of the arguments matters, since the wrapped MAE is not symmetric: MAE(a, b) + MAE(b, a) is 256 times the
    share of pixels that differ. Single-phase figures (Tables 1 and 2) have the synthetic or pre-contrast image first,
    the real one second, and size 512; joint figures (Table 4) have the real one first and size 224.

    Args:
        first, second: (X, Y), or (X, Y, Z) with axial slices along Z; any unit, as each slice is stretched by itself.
        size: side of the square that slices are resized to.

    Raises:
        InputError: other or different shapes, a size below 1, or values that are not finite.
    """
    if first.shape != second.shape or first.ndim not in (2, 3):
        raise InputError(
            f"images of {tuple(first.shape)} and {tuple(second.shape)}: give two slices (X, Y) or two volumes (X, Y, Z)"
        )
    if size < 1:
        raise InputError(f"size={size}: give a side of at least 1 pixel, 512 or 224 as the paper's")
    rows = [
        _wrapped(published_slice(a, size), published_slice(b, size))
        for a, b in zip(
            *(torch.atleast_3d(torch.as_tensor(image)).unbind(-1) for image in (first, second)), strict=True
        )
    ]
    return PublishedErrors(*torch.tensor(rows, dtype=torch.float64).unbind(-1))


def published_slice(image: torch.Tensor, size: int) -> torch.Tensor:
    """A slice as the authors' metrics saw it: own minimum to 0, own maximum to 255, 8 bits, bilinear to a square.

    Args:
        image: (X, Y), any real data type; a constant one becomes 0.
        size: side of the square.

    Returns:
        uint8 (size, size). Rounded, half to even, before and after resizing; no smoothing before shrinking.
    """
    values = image.detach().as_subclass(torch.Tensor).double()
    low, high = values.min(), values.max()
    if not torch.isfinite(high - low):
        raise InputError("a slice holds NaN or infinite values; repair or re-export the image")
    stretched = ((values - low) / (high - low) * 255 if high > low else torch.zeros_like(values)).round()
    resized = functional.interpolate(stretched[None, None], (size, size), mode="bilinear", align_corners=False)
    return resized[0, 0].round().to(torch.uint8)


def _wrapped(first: torch.Tensor, second: torch.Tensor) -> tuple[float, float, float]:
    difference = first - second  # uint8: modulo 256
    mse = (difference * difference).double().mean()  # the square as well
    span = second.double().max() - second.double().min()
    return float(difference.double().mean()), float(mse), float(10 * torch.log10(span**2 / mse))
