"""Distances between two sets of feature vectors."""

from __future__ import annotations

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
    features = first.shape[1]

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / features + 1) ** 3

    def mean_off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        n = len(matrix)
        return (matrix.sum() - matrix.trace()) / (n * (n - 1))

    within = mean_off_diagonal(kernel(first, first)) + mean_off_diagonal(kernel(second, second))
    return float(within - 2 * kernel(first, second).mean())


def standardize(reference: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All sets scaled by the reference's mean and deviation per feature, so that no feature dominates by its unit."""
    mean, std = reference.mean(0), reference.std(0).clamp(min=1e-8)
    return tuple((features - mean) / std for features in (reference, *others))
