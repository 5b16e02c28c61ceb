"""Distances between two sets of feature vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def frechet_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to feature vectors (Heusel et al. 2017, equation 6).

    |m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2)), in double precision. Biased upward for few samples: only comparable
    at equal n, and to be read beside the floor that two real samples of that size give.

    Args:
        first, second: (N, F) and (M, F); N and M have to exceed F for full-rank covariances.
    """
    first, second = first.double(), second.double()
    covariance_1, covariance_2 = (torch.atleast_2d(torch.cov(f.T)) for f in (first, second))
    # The square root's trace is the sum of the square roots of the product's eigenvalues, real and not negative.
    roots = torch.linalg.eigvals(covariance_1 @ covariance_2).real.clamp(min=0).sqrt().sum()
    difference = first.mean(0) - second.mean(0)
    return float(difference @ difference + covariance_1.trace() + covariance_2.trace() - 2 * roots)


def kernel_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / F + 1)^3 (KID, Binkowski et al. 2018).

    Zero on average for two samples of one distribution, whatever their size; single values may be negative.

    Args:
        first, second: (N, F) and (M, F), at least two each.
    """
    first, second = first.double(), second.double()

    def mean_off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        n = len(matrix)
        return (matrix.sum() - matrix.trace()) / (n * (n - 1))

    within = mean_off_diagonal(_kernel(first, first)) + mean_off_diagonal(_kernel(second, second))
    return float(within - 2 * _kernel(first, second).mean())


def kernel_distance_with_interval(
    first: torch.Tensor,
    second: torch.Tensor,
    cases: Sequence[int] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, float]:
    """`kernel_distance` with a percentile bootstrap interval over cases.

    A vector that is drawn twice is never paired with its copy, which would look like a mode of the distribution and
    move the whole interval upward.

    Args:
        first: (N, F), one vector a case.
        second: (M, F).
        cases: for each of `second` the index in `first` of the case that it was made from, to draw both together; None
            where they are cases of their own.
        seed, resamples, level: see `mean_with_interval`.

    Returns:
        `mean` (the distance), `low`, `high`, `n` (of `second`).
    """
    first, second = first.double(), second.double()
    rng = np.random.default_rng(seed)

    def draws(count: int) -> torch.Tensor:
        return torch.from_numpy(rng.multinomial(count, [1 / count] * count, size=resamples)).double()

    def within(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        matrix = _kernel(features, features).fill_diagonal_(0)
        return ((weights @ matrix) * weights).sum(1) / (weights.sum(1) ** 2 - (weights**2).sum(1))

    weights = draws(len(first))
    others = draws(len(second)) if cases is None else weights[:, list(cases)]
    matrix = _kernel(first, second)
    total, pairs = ((weights @ matrix) * others).sum(1), weights.sum(1) * others.sum(1)
    if cases is not None:  # of a case drawn w times, w of the w * w pairs with its own vectors are real
        copies = others**2 - others
        total, pairs = total - copies @ matrix[list(cases), torch.arange(len(second))], pairs - copies.sum(1)
    values = within(first, weights) + within(second, others) - 2 * total / pairs
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=values.dtype)
    low, high = torch.nanquantile(values, ends).tolist()
    return {"mean": kernel_distance(first, second), "low": low, "high": high, "n": len(second)}


def _kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def standardize(reference: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All sets scaled by the reference's mean and deviation per feature, so that no feature dominates by its unit."""
    mean, std = reference.mean(0), reference.std(0).clamp(min=1e-8)
    return tuple((features - mean) / std for features in (reference, *others))
