"""Texture features of the grey level co-occurrence matrix (Haralick et al. 1973): which levels lie side by side."""

from __future__ import annotations

from itertools import product

import numpy as np

NAMES = (
    "contrast",
    "dissimilarity",
    "homogeneity",
    "inverse_difference",
    "asm",
    "max_probability",
    "entropy",
    "correlation",
    "average",
    "variance",
    "autocorrelation",
    "cluster_tendency",
    "cluster_shade",
    "cluster_prominence",
)


def directions(ndim: int) -> list[tuple[int, ...]]:
    """Half of the neighbours at distance 1: 4 directions in 2D, 13 in 3D; the other half is the same backwards."""
    middle = (0,) * ndim
    return [step for step in product((-1, 0, 1), repeat=ndim) if step > middle]


def cooccurrence(levels: np.ndarray, mask: np.ndarray | None, count: int) -> np.ndarray:
    """How often two grey levels are neighbours, one symmetric matrix a direction.

    Args:
        levels: 2D or 3D whole numbers, 0 to count - 1.
        mask: bool of the same shape or None; a pair counts where both pixels lie inside.
        count: number of grey levels.

    Returns:
        (directions, count, count) counts; each pair was counted both ways.
    """
    levels = np.asarray(levels, np.int64)
    matrices = np.zeros((len(directions(levels.ndim)), count, count), np.int64)
    for matrix, step in zip(matrices, directions(levels.ndim), strict=True):
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, levels.shape, strict=True))
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, levels.shape, strict=True))
        pairs = levels[here] * count + levels[there]
        if mask is not None:
            pairs = pairs[mask[here] & mask[there]]
        matrix += np.bincount(pairs.ravel(), minlength=count * count).reshape(count, count)
    return matrices + matrices.transpose(0, 2, 1)


def glcm_features(matrices: np.ndarray) -> dict[str, float]:
    """Features of each direction's matrix, averaged over the directions, as pyradiomics and IBSI (3.6) define them.

    With p(i, j) the matrix divided by its sum, levels i, j from 1, m = sum i p, v = sum (i - m)^2 p:
    contrast = sum (i - j)^2 p; dissimilarity = sum |i - j| p; homogeneity (inverse difference moment) =
    sum p / (1 + (i - j)^2); inverse_difference = sum p / (1 + |i - j|); asm (angular second moment, pyradiomics' joint
    energy) = sum p^2; max_probability = max p; entropy = -sum p log2 p; correlation = (sum i j p - m^2) / v;
    average = m; variance = v; autocorrelation = sum i j p; cluster tendency, shade and prominence =
    sum (i + j - 2m)^k p for k = 2, 3, 4.

    Args:
        matrices: (directions, L, L) symmetric counts.

    Returns:
        `NAMES` to value. Directions without any pair are left out; all NaN where none has one (a mask of one pixel).
        Correlation is NaN where only one level occurs; other tools call that 1.
    """
    totals = matrices.sum((1, 2))
    p = matrices[totals > 0] / totals[totals > 0, None, None]
    if len(p) == 0:
        return dict.fromkeys(NAMES, float("nan"))
    level = np.arange(1, matrices.shape[1] + 1, dtype=np.float64)
    i, j = level[:, None], level[None, :]

    def total(weights: np.ndarray) -> np.ndarray:
        return np.einsum("dij,ij->d", p, weights)

    marginal = p.sum(2)
    mean = marginal @ level
    variance = (marginal * (level - mean[:, None]) ** 2).sum(1)
    single = (marginal > 0).sum(1) == 1
    variance[single] = 0
    autocorrelation = total(i * j)
    # sum (i - m)(j - m) p: the same as the formula's difference, without its loss of digits
    covariance = np.einsum("dij,di,dj->d", p, level - mean[:, None], level - mean[:, None], optimize=True)
    # i + j takes 2L - 1 values: the moments about 2m come from its distribution.
    sums = np.stack([np.bincount((i + j).astype(int).ravel(), m.ravel(), 2 * len(level) + 1) for m in p])
    offset = np.arange(2 * len(level) + 1) - 2 * mean[:, None]
    values = {
        "contrast": total((i - j) ** 2),
        "dissimilarity": total(np.abs(i - j)),
        "homogeneity": total(1 / (1 + (i - j) ** 2)),
        "inverse_difference": total(1 / (1 + np.abs(i - j))),
        "asm": (p**2).sum((1, 2)),
        "max_probability": p.max((1, 2)),
        "entropy": -(p * np.log2(np.where(p > 0, p, 1))).sum((1, 2)) + 0.0,
        "correlation": np.divide(covariance, variance, out=np.full(len(p), np.nan), where=~single),
        "average": mean,
        "variance": variance,
        "autocorrelation": autocorrelation,
        "cluster_tendency": (sums * offset**2).sum(1),
        "cluster_shade": (sums * offset**3).sum(1),
        "cluster_prominence": (sums * offset**4).sum(1),
    }
    correlation = values["correlation"][~single]
    averages = {name: values[name].mean() for name in NAMES}
    averages["correlation"] = correlation.mean() if correlation.size else np.nan
    return {name: float(averages[name]) for name in NAMES}
