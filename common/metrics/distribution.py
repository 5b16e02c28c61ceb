"""Distances between two sets of feature vectors: the plain estimates."""

from __future__ import annotations

from collections.abc import Callable

import torch

CHUNK = 1024  # rows that are in memory in double precision at a time
Kernel = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def frechet_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to feature vectors (Heusel et al. 2017, equation 6).

    |m1 - m2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2)), in double precision. Biased upward for few samples: only comparable
    at equal n, and to be read beside the floor that two real samples of that size give.

    Args:
        first, second: (N, F) and (M, F); N and M have to exceed F for full-rank covariances.
    """
    return weighted_frechet(first, torch.ones(len(first)), second, torch.ones(len(second)))


def weighted_frechet(
    first: torch.Tensor, first_weights: torch.Tensor, second: torch.Tensor, second_weights: torch.Tensor
) -> float:
    """`frechet_distance` of sets in which vectors occur as often as their weights say.

    Args:
        first, second: (N, F) and (M, F).
        first_weights, second_weights: (N,) and (M,), 0 or more.

    Returns:
        NaN where a set has no more than one vector, and so no covariance.
    """
    if min(float(first_weights.sum()), float(second_weights.sum())) <= 1:
        return float("nan")
    mean_1, mean_2 = weighted_mean(first, first_weights), weighted_mean(second, second_weights)
    if min(len(first), len(second)) < first.shape[1]:
        # With S = A'A, the root's trace is the sum of the singular values of A1 A2', far smaller than S here.
        roots = [
            (part.double() - mean) * (weights.double() / (weights.sum() - 1)).sqrt()[:, None]
            for part, weights, mean in ((first, first_weights, mean_1), (second, second_weights, mean_2))
        ]
        spread = sum(float((root**2).sum()) for root in roots)
        shared = float(torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    else:
        covariances = [_covariance(first, first_weights, mean_1), _covariance(second, second_weights, mean_2)]
        spread = sum(float(covariance.trace()) for covariance in covariances)
        values, vectors = torch.linalg.eigh(covariances[0])
        root = vectors * values.clamp(min=0).sqrt()
        shared = float(torch.linalg.eigvalsh(root.T @ covariances[1] @ root).clamp(min=0).sqrt().sum())
    distance = float((mean_1 - mean_2) @ (mean_1 - mean_2)) + spread - 2 * shared
    return max(distance, 0.0)  # rounding alone brings it below


def weighted_mean(rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(F,), in double precision."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for part, share in zip(rows.split(CHUNK), weights.double().split(CHUNK), strict=True):
        total += share @ part.double()
    return total / float(weights.sum())


def _covariance(rows: torch.Tensor, weights: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for part, share in zip(rows.split(CHUNK), weights.double().split(CHUNK), strict=True):
        centred = part.double() - mean
        total += (centred * share[:, None]).T @ centred
    return total / (float(weights.sum()) - 1)


def polynomial_kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(x.y / F + 1)^3, the kernel of KID (Binkowski et al. 2018)."""
    return (first @ second.T / first.shape[1] + 1) ** 3


def gaussian_kernel(bandwidth: float) -> Kernel:
    """exp(-|x - y|^2 / (2 bandwidth^2)), the usual kernel of the maximum mean discrepancy (Gretton et al. 2012)."""

    def kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(torch.cdist(first, second) ** 2) / (2 * bandwidth**2))

    return kernel


def kernel_distance(first: torch.Tensor, second: torch.Tensor, kernel: Kernel = polynomial_kernel) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, equation 3); KID with the default kernel.

    Zero on average for two samples of one distribution, whatever their size; single values may be negative.

    Args:
        first, second: (N, F) and (M, F), at least two each.
        kernel: of two sets of vectors, to (N, M).
    """
    first, second = first.double(), second.double()

    def mean_off_diagonal(matrix: torch.Tensor) -> torch.Tensor:
        n = len(matrix)
        return (matrix.sum() - matrix.trace()) / (n * (n - 1))

    within = mean_off_diagonal(kernel(first, first)) + mean_off_diagonal(kernel(second, second))
    return float(within - 2 * kernel(first, second).mean())


def standardize(reference: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All sets scaled by the reference's mean and deviation per feature, so that no feature dominates by its unit."""
    mean, std = reference.mean(0), reference.std(0).clamp(min=1e-8)
    return tuple((features - mean) / std for features in (reference, *others))
