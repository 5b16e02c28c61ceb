"""Random fields and soft edges that all phantoms are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: float | Sequence[float], scale_mm: float
) -> np.ndarray:
    """Smooth random field of unit variance whose features are about `scale_mm` wide, shape `shape`, float32."""
    spacing = np.broadcast_to(np.asarray(spacing_mm, float), len(shape))
    coarse = [max(4, int(np.ceil(n * s / scale_mm)) + 3) for n, s in zip(shape, spacing, strict=True)]
    noise = rng.standard_normal(coarse).astype(np.float32)
    grids = [np.linspace(1.0, c - 2.0, n, dtype=np.float32) for c, n in zip(coarse, shape, strict=True)]
    field = ndimage.map_coordinates(noise, np.meshgrid(*grids, indexing="ij"), order=1, mode="nearest")
    field = ndimage.gaussian_filter(field, 0.35 * scale_mm / spacing)
    return (field - field.mean()) / (field.std() + 1e-6)


def cones(offset: np.ndarray, directions: np.ndarray, start: float, width: float) -> np.ndarray:
    """Narrow cones from the origin: 1 on their axes, 0 where the cosine to the nearest axis is `start` or less.

    Args:
        offset: (3, X, Y, Z), from the origin.
        directions: (N, 3), of unit length.
        start, width: of the cosine's range.
    """
    unit = offset / np.maximum(np.sqrt((offset**2).sum(0)), 1e-3)
    cosine = np.tensordot(directions, unit, 1).max(0)
    return np.clip((cosine - start) / width, 0, 1)


def soft(value: np.ndarray) -> np.ndarray:
    """Partial volume: a logistic step from 0 to 1 around 0."""
    return 1 / (1 + np.exp(-np.clip(value, -20, 20)))
