"""Bootstrap intervals of the distances between two sets of feature vectors, over images."""

from __future__ import annotations

import numpy as np
import torch

from .distribution import Kernel, frechet_distance, polynomial_kernel, weighted_frechet
from .feature_set import FeatureSet

SUBSET = 1000  # images whose kernel matrix is computed whole; larger sets are compared in subsets of this size
VECTORS = 2000  # the same for vectors, where an image has several
SUBSETS = 50


def frechet_with_interval(
    first: FeatureSet, second: FeatureSet, seed: int = 0, resamples: int = 200, level: float = 0.95
) -> dict[str, float]:
    """Fréchet distance with a bootstrap interval over images that is freed from the bootstrap's own bias.

    Images that are drawn twice narrow the covariances, so that the distances of bootstrap samples lie above the
    estimate as a whole. Their spread round their own mean is what the estimate's uncertainty is taken from; no
    distance is below 0.

    Args:
        first, second: one or several vectors an image.
        seed, resamples, level: of the bootstrap.

    Returns:
        `mean` (the distance), `low`, `high`, `n` (images of `second`); NaN ends where a set has one image.
    """
    distance = frechet_distance(first.rows, second.rows)
    found = {"mean": distance, "low": float("nan"), "high": float("nan"), "n": second.count}
    if min(first.count, second.count) < 2:
        return found
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for k in range(resamples):
        sets = [(part.rows, draw_images(part, rng)) for part in (first, second)]
        values[k] = weighted_frechet(*sets[0], *sets[1])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) - values.mean()
    return found | {"low": max(0.0, distance + float(low)), "high": distance + float(high)}


def draw_images(part: FeatureSet, rng: np.random.Generator) -> torch.Tensor:
    """(R,) how often each row occurs when as many images are drawn as there are, with replacement."""
    drawn = rng.multinomial(part.count, [1 / part.count] * part.count)
    return torch.from_numpy(drawn[part.images]).double()


def kernel_with_interval(
    first: FeatureSet,
    second: FeatureSet,
    kernel: Kernel = polynomial_kernel,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, float]:
    """Unbiased kernel distance (KID with the default kernel) with a percentile bootstrap interval over images.

    Vectors of one image are never compared with each other, nor an image that is drawn twice with its copy: both would
    look like modes of the distribution. Above 1000 images (or 2000 vectors) the value is the mean over random
    subsets, and the interval their spread, which is wider than that of the whole.

    Args:
        first, second: at least two images each.
        kernel: see `kernel_distance`.
        seed, resamples, level: of the bootstrap.

    Returns:
        `mean` (the distance), `low`, `high`, `n` (images of `second`).
    """
    if _is_large(first, second):
        values = _of_subsets(first, second, kernel, seed)
        mean = float(values.mean())
    else:
        rng = np.random.default_rng(seed)
        sums = _sums(first, second, kernel)
        mean = float(_distance(*sums, torch.ones(1, first.count), torch.ones(1, second.count)))
        weights = [
            torch.from_numpy(rng.multinomial(p.count, [1 / p.count] * p.count, size=resamples)) for p in (first, second)
        ]
        values = _distance(*sums, *weights).numpy()
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": mean, "low": float(low), "high": float(high), "n": second.count}


def kernel_value(first: FeatureSet, second: FeatureSet, kernel: Kernel = polynomial_kernel, seed: int = 0) -> float:
    """The `mean` of `kernel_with_interval` alone."""
    if _is_large(first, second):
        return float(_of_subsets(first, second, kernel, seed).mean())
    weights = (torch.ones(1, part.count) for part in (first, second))
    return float(_distance(*_sums(first, second, kernel), *weights))


def _is_large(first: FeatureSet, second: FeatureSet) -> bool:
    return max(first.count, second.count) > SUBSET or max(len(first.rows), len(second.rows)) > VECTORS


def _of_subsets(first: FeatureSet, second: FeatureSet, kernel: Kernel, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    most = max(int(np.bincount(part.images).max()) for part in (first, second))
    size = max(2, min(SUBSET, VECTORS // most))
    values = np.empty(SUBSETS)
    for k in range(SUBSETS):
        parts = [p.take(np.sort(rng.choice(p.count, min(p.count, size), False))) for p in (first, second)]
        values[k] = float(_distance(*_sums(*parts, kernel), *(torch.ones(1, p.count) for p in parts)))
    return values


Sums = tuple[torch.Tensor, torch.Tensor]


def _sums(first: FeatureSet, second: FeatureSet, kernel: Kernel) -> tuple[Sums, Sums, Sums]:
    """Sums of the kernel over the vectors of each pair of images, and numbers of such pairs: within both, between."""
    return (
        _pair_sums(first, first, kernel, within=True),
        _pair_sums(second, second, kernel, within=True),
        _pair_sums(first, second, kernel, within=False),
    )


def _pair_sums(first: FeatureSet, second: FeatureSet, kernel: Kernel, within: bool) -> Sums:
    values = kernel(first.rows.double(), second.rows.double())
    rows, columns = torch.from_numpy(first.images), torch.from_numpy(second.images)
    by_row = torch.zeros(first.count, len(columns), dtype=torch.float64).index_add_(0, rows, values)
    sums = torch.zeros(first.count, second.count, dtype=torch.float64).index_add_(1, columns, by_row)
    counts = torch.outer(torch.bincount(rows), torch.bincount(columns)).double()
    if within:
        sums.fill_diagonal_(0)
        counts.fill_diagonal_(0)
    return sums, counts


def _distance(
    first: Sums, second: Sums, between: Sums, first_weights: torch.Tensor, second_weights: torch.Tensor
) -> torch.Tensor:
    """(B,) distances, for B draws of images given as weights (B, N) and (B, M)."""
    u, v = first_weights.double(), second_weights.double()

    def mean(sums: Sums, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return ((left @ sums[0]) * right).sum(1) / ((left @ sums[1]) * right).sum(1)

    return mean(first, u, u) + mean(second, v, v) - 2 * mean(between, u, v)
