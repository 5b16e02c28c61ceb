"""How much synthetic images differ: samples of one condition, and images of different conditions, beside real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.feature_set import FeatureSet
from ..metrics.uncertainty import clustered_with_interval
from ..reports.report import Report
from .image_stream import ImageStream
from .paired_scores import scales_of, similarity

NAME = "Diversity"
PAIRS, VOLUME_PAIRS = 200, 40  # of each kind, at most; MS-SSIM of one pair of volumes takes seconds


def add_diversity(
    report: Report,
    real: ImageStream,
    synthetic: ImageStream,
    cases: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]],
    features: tuple[FeatureSet, FeatureSet] | None = None,
    seed: int = 0,
) -> None:
    """Append the table.

    Args:
        report: gets it.
        real, synthetic: the sets.
        cases: real images of each case, and synthetic images of each condition.
        features: of real and synthetic images, on one scale; None to leave distances of features out.
        seed: of the pairs that are drawn, and of the bootstrap.
    """
    rng = np.random.default_rng([seed, 5])
    owners = [{index: case for case, group in part.items() for index in group} for part in cases]
    most = PAIRS if real.survey.spatial_dims == 2 else VOLUME_PAIRS
    pairs = {
        "synthetic, one condition": (synthetic, 1, _alike(list(cases[1].values()), most, rng)),
        "synthetic, different conditions": (synthetic, 1, _different(owners[1], most, rng)),
        "real, different cases": (real, 0, _different(owners[0], most, rng)),
    }
    rows: list[dict[str, Any]] = []
    for name, (stream, place, chosen) in pairs.items():
        row: dict[str, Any] = {"pairs": name, "n pairs": len(chosen)}
        if chosen:
            shapes = [stream.size or look.shape for look in stream.survey.looks]
            same_size = [(a, b) for a, b in chosen if shapes[a] == shapes[b]]
            row["MS-SSIM"] = _mean(same_size, [similarity(stream[a], stream[b]) for a, b in same_size], seed)
            if features is not None:
                vectors = features[place].means()
                distances = [float((vectors[a] - vectors[b]).norm()) for a, b in chosen]
                row["distance of features"] = _mean(chosen, distances, seed)
        else:
            row["MS-SSIM"] = "not defined: no such pair"
        rows.append(row)
    note = (
        f"MS-SSIM ({scales_of(real[0].shape)} of 5 scales) is lower, and the distance of features higher, where images "
        "differ more. Samples of one condition that are as alike as copies (MS-SSIM near 1) show a model that ignores "
        "its noise; different conditions that are more alike than real cases show a narrowed set. Intervals: bootstrap "
        "over the first image of the pairs."
    )
    columns = ["pairs", "MS-SSIM", "distance of features", "n pairs"]
    report.add(NAME, [c for c in columns if any(c in row for row in rows)], rows, note)


def _alike(groups: Sequence[Sequence[int]], most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of images of one case, spread over the cases, at random where there are more."""
    several = [group for group in groups if len(group) > 1]
    found: dict[tuple[int, int], None] = {}
    for _ in range(10 * most if several else 0):
        group = several[int(rng.integers(len(several)))]
        a, b = sorted(int(v) for v in rng.choice(len(group), 2, replace=False))
        found[group[a], group[b]] = None
        if len(found) == most:
            break
    return sorted(found)


def _different(owner: Mapping[int, str], most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random pairs whose images are of different cases."""
    indices = sorted(owner)
    found: dict[tuple[int, int], None] = {}
    for _ in range(10 * most if len(indices) > 1 else 0):
        first, second = (indices[k] for k in sorted(int(v) for v in rng.choice(len(indices), 2, replace=False)))
        if owner[first] != owner[second]:
            found[first, second] = None
        if len(found) == most:
            break
    return list(found)


def _mean(pairs: Sequence[tuple[int, int]], values: Sequence[float], seed: int) -> dict[str, float]:
    array = np.asarray(values)
    return clustered_with_interval([a for a, _ in pairs], lambda chosen: float(array[chosen].mean()), seed)
