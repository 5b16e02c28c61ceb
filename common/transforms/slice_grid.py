"""Axial slices of a volume on the square grid of a two-dimensional network, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional


@dataclass(frozen=True)
class SliceGrid:
    """The way between slices of any matrix and pixel size and the network's grid.

    Slices are padded, centred, to a field of view that is square in millimetres and then resized, so that breasts keep
    their shape; square slices are only resized.

    Attributes:
        matrix: pixels (X, Y) of the volume's slices.
        spacing: pixel size (X, Y) in millimetres.
        size: pixels (X, Y) of the network's grid.
    """

    matrix: tuple[int, int]
    spacing: tuple[float, float]
    size: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Pixels (X, Y) of the square field of view at the volume's own pixel size."""
        field = max(n * s for n, s in zip(self.matrix, self.spacing, strict=True))
        return tuple(max(n, round(field / s)) for n, s in zip(self.matrix, self.spacing, strict=True))

    @property
    def before(self) -> tuple[int, int]:
        """Pixels (X, Y) of padding before the slices."""
        return tuple((wide - own) // 2 for wide, own in zip(self.padded, self.matrix, strict=True))

    def to_network(self, slices: torch.Tensor, background: float = 0.0, mode: str = "area") -> torch.Tensor:
        """Slices (N, C, X, Y) of the volume on the network's grid, (N, C, *size).

        Args:
            slices: any floating dtype.
            background: value of the padding.
            mode: `area` averages where slices shrink (and is bilinear where they grow); `mask` gives 1 wherever any
                part of a pixel is not 0, so that small lesions do not vanish.
        """
        (x0, y0), (width, height) = self.before, self.padded
        if (width, height) != self.matrix:
            right, below = width - self.matrix[0] - x0, height - self.matrix[1] - y0
            slices = functional.pad(slices, (y0, below, x0, right), value=background)
        if mode == "mask":
            return functional.adaptive_max_pool2d((slices != 0).to(slices.dtype), self.size)
        if tuple(slices.shape[2:]) == self.size:
            return slices
        shrinks = width >= self.size[0] and height >= self.size[1]
        return resize(slices, self.size, "area" if shrinks else "bilinear")

    def network_affine(self, affine: np.ndarray) -> np.ndarray:
        """Affine (4x4, millimetres) of the network's grid, from that of the slices."""
        change = np.eye(4)
        for axis, (before, wide, size) in enumerate(zip(self.before, self.padded, self.size, strict=True)):
            change[axis, axis] = wide / size
            change[axis, 3] = 0.5 * wide / size - 0.5 - before
        return np.asarray(affine, float) @ change

    def to_volume(self, slices: torch.Tensor) -> torch.Tensor:
        """Slices (N, C, *size) of the network's grid on that of the volume, (N, C, X, Y), bilinear."""
        (x0, y0), padded = self.before, self.padded
        if tuple(slices.shape[2:]) != padded:
            slices = resize(slices, padded, "bilinear")
        return slices[:, :, x0 : x0 + self.matrix[0], y0 : y0 + self.matrix[1]]


def resize(slices: torch.Tensor, size: Sequence[int], mode: str) -> torch.Tensor:
    """Resize (N, C, X, Y) by `area` or `bilinear` (smoothed before it is shrunk)."""
    if mode == "area":
        return functional.interpolate(slices, tuple(size), mode="area")
    return functional.interpolate(slices, tuple(size), mode="bilinear", align_corners=False, antialias=True)
