"""Fidelity and coverage of a synthetic set by nearest neighbours among feature vectors."""

from __future__ import annotations

import torch

from .uncertainty import mean_with_interval, share_with_interval

NEIGHBOURS = 5
CHUNK = 512  # rows of a distance matrix that are in memory at a time


def manifold_scores(
    real: torch.Tensor, synthetic: torch.Tensor, neighbours: int = NEIGHBOURS, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Args:
        real, synthetic, neighbours: see `judged_by_neighbours`.
        seed: of the bootstrap over the vectors that are judged; the balls stay as they are, since a vector that is
            drawn twice would be its own neighbour.

    Returns:
        `precision`, `recall`, `density`, `coverage`, each as `mean_with_interval`.

    Raises:
        ValueError: fewer than k + 1 vectors in a set.
    """
    judged = judged_by_neighbours(real, synthetic, neighbours)
    found = {name: mean_with_interval(values.tolist(), seed) for name, values in judged.items()}
    for name in ("precision", "recall", "coverage"):
        if found[name]["mean"] in (0.0, 1.0):  # a bootstrap of equal values knows no uncertainty
            found[name] = share_with_interval(judged[name].int().tolist(), [1] * len(judged[name]), seed)
    return found


def judged_by_neighbours(
    real: torch.Tensor, synthetic: torch.Tensor, neighbours: int = NEIGHBOURS
) -> dict[str, torch.Tensor]:
    """What each vector contributes to the four scores, which are the means.

    Around each vector lies a ball that reaches to its k-th neighbour in its own set. Precision: share of synthetic
    vectors inside a ball of a real one. Recall: share of real ones inside a ball of a synthetic one. Density: how many
    real balls hold a synthetic vector, over k; may exceed 1. Coverage: share of real vectors whose ball holds a
    synthetic one. For two samples of one distribution density is 1 on average, and coverage 1 - 2^-k at equal, large n.

    Args:
        real, synthetic: (N, F) and (M, F), one vector an image.
        neighbours: k, below N and M.

    Returns:
        `precision` and `density` (M,), `recall` and `coverage` (N,).

    Raises:
        ValueError: fewer than k + 1 vectors in a set.
    """
    if min(len(real), len(synthetic)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {neighbours} images in each set")
    radius_real, radius_synthetic = neighbour_radii(real, neighbours), neighbour_radii(synthetic, neighbours)
    balls, precise, nearest = [], [], torch.full((len(real),), float("inf"))
    recalled = torch.zeros(len(real), dtype=torch.bool)
    for part, radii in zip(synthetic.split(CHUNK), radius_synthetic.split(CHUNK), strict=True):
        distances = exact_distances(part, real)
        inside = distances <= radius_real
        balls.append(inside.sum(1) / neighbours)
        precise.append(inside.any(1))
        recalled |= (distances <= radii[:, None]).any(0)
        nearest = torch.minimum(nearest, distances.min(0).values)
    return {
        "precision": torch.cat(precise).float(),
        "recall": recalled.float(),
        "density": torch.cat(balls),
        "coverage": (nearest <= radius_real).float(),
    }


def neighbour_radii(rows: torch.Tensor, neighbours: int) -> torch.Tensor:
    """(N,): distance of each vector to its k-th neighbour, itself not counted."""
    parts = [exact_distances(part, rows).kthvalue(neighbours + 1, dim=1).values for part in rows.split(CHUNK)]
    return torch.cat(parts)


def exact_distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(N, M) Euclidean distances; a vector's distance to its copy is 0, which the faster product form does not give."""
    return torch.cdist(first.float(), second.float(), compute_mode="donot_use_mm_for_euclid_dist")


def memorization_penalty(synthetic: torch.Tensor, training: torch.Tensor, threshold: float = 0.1) -> float:
    """Mean smallest cosine distance of synthetic to training vectors, and 1 from a threshold on (Bai et al. 2021).

    The search is from each synthetic vector among the training ones, as in the paper; torchmetrics goes from each real
    vector among the generated ones.

    The Fréchet distance over this number is MiFID, which punishes sets that repeat their training images.

    Args:
        synthetic, training: (N, F) and (M, F); vectors of zeros have no direction and are left out. Nothing is
            punished where none are left.
        threshold: from which on nothing is punished.
    """
    first, second = (
        torch.nn.functional.normalize(rows[rows.abs().sum(1) > 0].double(), dim=1) for rows in (synthetic, training)
    )
    if not len(first) or not len(second):
        return 1.0
    nearest = torch.cat([(1 - (part @ second.T).abs()).min(1).values for part in first.split(CHUNK)])
    mean = float(nearest.mean())
    return mean if mean < threshold else 1.0
