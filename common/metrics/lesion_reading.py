"""Whether a reader network finds the requested lesions of a MIP, and which BI-RADS class it reads them as.

The reader is a segmentation network with one output for background and one for each class, trained on real images
alone: detector and classifier in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from ..cohorts.lesion_classes import CLASSES
from ..cohorts.lesion_painting import NEIGHBOURS

DILATION_PX = 4
MIN_PIXELS = 4  # smaller components of the reader's marks are noise, neither a lesion nor a false one
MIN_SHARE = 0.25


def read_lesions(
    logits: torch.Tensor, instances: np.ndarray, classes: Mapping[int, int], dilation_px: float = DILATION_PX
) -> list[dict[str, Any]]:
    """What a reader makes of each requested lesion.

    A lesion's surroundings are the pixels within `dilation_px` of it that are not nearer to another lesion. It is found
    if the reader's marks (the largest logit is not the background's) inside them amount to a quarter of its area, and
    to 4 pixels, or to its area where that is less. Its extent as read is that of the components that reach into its
    surroundings, without those of other lesions.

    Args:
        logits: (6, X, Y), background, then classes 2 to 6.
        instances: (X, Y), number of the requested lesion at each pixel, 0 outside.
        classes: class by lesion number; each number occurs in `instances`.
        dilation_px: pixels.

    Returns:
        For each lesion, in the order of the numbers: `instance`; `birads`, the class asked for; `found`; `read`, the
        class with the largest sum of probabilities over the marks in the surroundings, None if not found; `dice` and
        `area_ratio` (read over requested) of its extent, 0 where nothing is marked; `centre_distance` in pixels between
        the centres of mass, NaN if not found.
    """
    parts, near = components(logits), _surroundings(instances, dilation_px)
    probabilities = logits.detach().float().cpu().softmax(0)[1:].numpy()
    readings = []
    for number in sorted(classes):
        lesion, hit = instances == number, (near == number) & (parts > 0)
        area = int(lesion.sum())
        found = bool(hit.sum() >= max(MIN_SHARE * area, min(MIN_PIXELS, area)))
        extent = np.isin(parts, np.unique(parts[hit])) & ((near == number) | (near == 0))
        distance = np.linalg.norm(np.argwhere(extent).mean(0) - np.argwhere(lesion).mean(0)) if found else float("nan")
        readings.append(
            {
                "instance": int(number),
                "birads": int(classes[number]),
                "found": found,
                "read": CLASSES[int(probabilities[:, hit].sum(1).argmax())] if found else None,
                "dice": 2 * int((lesion & extent).sum()) / (area + int(extent.sum())),
                "area_ratio": int(extent.sum()) / area,
                "centre_distance": float(distance),
            }
        )
    return readings


def false_lesions(logits: torch.Tensor, instances: np.ndarray, dilation_px: float = DILATION_PX) -> int:
    """Number of the reader's components that reach into no requested lesion's surroundings; see `read_lesions`."""
    parts = components(logits)
    touching = parts[_surroundings(instances, dilation_px) > 0]
    return len(set(np.unique(parts).tolist()) - set(np.unique(touching).tolist()) - {0})


def components(logits: torch.Tensor) -> np.ndarray:
    """Numbered components (X, Y) of what a reader marks as lesion of any class; those under 4 pixels are left out."""
    marked = logits.detach().argmax(0).cpu().numpy() > 0
    parts, _ = ndimage.label(marked, NEIGHBOURS)
    sizes = np.bincount(parts.ravel())
    return np.where(sizes[parts] >= MIN_PIXELS, parts, 0)


def confusion_matrix(asked: Sequence[int], read: Sequence[int | None]) -> np.ndarray:
    """Counts of lesions, (5, 6): a row for each class asked for, a column for each class read, the last for missed."""
    matrix = np.zeros((len(CLASSES), len(CLASSES) + 1), int)
    for wanted, seen in zip(asked, read, strict=True):
        matrix[CLASSES.index(wanted), len(CLASSES) if seen is None else CLASSES.index(seen)] += 1
    return matrix


def agreement(matrix: np.ndarray, among_found: bool = True) -> float:
    """Share of lesions that are read as the class asked for, among the found or among all; NaN where there is none."""
    total = matrix[:, : len(CLASSES)].sum() if among_found else matrix.sum()
    return float(np.trace(matrix) / total) if total else float("nan")


def quadratic_kappa(matrix: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968) of the found lesions; NaN where chance leaves no disagreement.

    Args:
        matrix: of `confusion_matrix`.
    """
    found = matrix[:, : len(CLASSES)].astype(float)
    weights = np.subtract.outer(np.arange(len(CLASSES)), np.arange(len(CLASSES))) ** 2
    expected = np.outer(found.sum(1), found.sum(0)) / max(found.sum(), 1)
    chance = float((weights * expected).sum())
    return 1 - float((weights * found).sum()) / chance if chance else float("nan")


def _surroundings(instances: np.ndarray, dilation_px: float) -> np.ndarray:
    """Number of the nearest lesion within `dilation_px` of each pixel (X, Y), 0 elsewhere."""
    if not instances.any():
        return np.zeros_like(instances)
    distance, nearest = ndimage.distance_transform_edt(instances == 0, return_indices=True)
    return np.where(distance <= dilation_px, instances[tuple(nearest)], 0)
