"""Every distribution score of a synthetic set with its interval, and beside it what real images score at equal n."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from .distribution import Kernel, frechet_distance, gaussian_kernel, polynomial_kernel
from .distribution_intervals import frechet_with_interval, kernel_value, kernel_with_interval
from .feature_set import FeatureSet
from .manifold import NEIGHBOURS, judged_by_neighbours, manifold_scores, memorization_penalty

FRECHET, KID, MMD, MIFID = "FD", "KID", "MMD", "MiFD"
MANIFOLD = ("precision", "recall", "density", "coverage")
SCORES = (FRECHET, KID, MMD, *MANIFOLD, MIFID)
# A mean cosine distance that is rounding alone: every synthetic vector is that of a training image.
ALL_COPIES = 1e-12
# Beyond this width a single Fréchet distance takes seconds.
WIDE = 512


@dataclass
class Score:
    """One score.

    Attributes:
        name: one of `FRECHET`, `KID`, `MMD`, `MIFID`, `MANIFOLD`.
        value: of all synthetic against all real images, as `mean_with_interval`; None where it is not defined.
        at_floor_n: synthetic images at the floor's numbers: the mean over splits with the range of 95 % of them, or,
            against a floor set of its own, as `value`.
        floor: real against other real images at these numbers, in the same form.
        floor_n: how many real images, and how many others, a split compares.
        warning: why to be careful with it, or why there is none.
    """

    name: str
    value: dict[str, float] | None = None
    at_floor_n: dict[str, float] | None = None
    floor: dict[str, float] | None = None
    floor_n: tuple[int, int] | None = None
    warning: str = ""


@dataclass
class DistributionScores:
    """All scores by one extractor.

    Attributes:
        scores: in the order of the report.
        n_real, n_synthetic: images.
        width: numbers in a feature vector.
        bandwidth: of the Gaussian kernel of MMD, the median distance of real vectors.
        training_n: images that MiFD's penalty looks for copies of; None where it looks among the real images.
    """

    n_real: int
    n_synthetic: int
    width: int
    bandwidth: float
    training_n: int | None
    scores: list[Score] = field(default_factory=list)


def distribution_scores(
    real: FeatureSet,
    synthetic: FeatureSet,
    floor: FeatureSet | None = None,
    training: FeatureSet | None = None,
    seed: int = 0,
    resamples: int | None = None,
    splits: int = 20,
) -> DistributionScores:
    """Score a synthetic set.

    The floor needs two disjoint real sets. With `floor` given these are `real` and `floor`; otherwise halves of `real`,
    drawn anew in each split. Synthetic images are scored at the very same numbers beside it, since most scores change
    with n even where the distribution does not.

    Args:
        real: held-out real images.
        synthetic: what is judged.
        floor: further real images; None to halve `real`.
        training: images that the model was trained on, for MiFD.
        seed: of bootstrap and splits.
        resamples: of the bootstrap; None for as many as the width allows in reasonable time.
        splits: of the floor.
    """
    wide = real.width > WIDE
    resamples = resamples or (20 if wide else 200)
    splits = min(splits, 5) if wide else splits
    bandwidth = _median_distance(real.rows, seed)
    found = DistributionScores(
        real.count, synthetic.count, real.width, bandwidth, training.count if training is not None else None
    )
    values = _values(real, synthetic, training, bandwidth, seed, resamples)
    at_n, floors, numbers = (
        _halves(real, synthetic, training, bandwidth, seed, splits)
        if floor is None
        else _against(real, synthetic, floor, training, bandwidth, seed, resamples)
    )
    for name in SCORES:
        score = Score(name, values.get(name), warning=_warning(name, real, synthetic))
        if name == MIFID and values and name not in values:
            score.warning = "not defined: every synthetic image has the features of a training or real one"
        if name in at_n and name in floors:
            score.floor_n, score.at_floor_n, score.floor = numbers, at_n[name], floors[name]
        found.scores.append(score)
    return found


def _values(
    real: FeatureSet,
    synthetic: FeatureSet,
    training: FeatureSet | None,
    bandwidth: float,
    seed: int,
    resamples: int,
) -> dict[str, dict[str, float]]:
    if min(real.count, synthetic.count) < 2:
        return {}
    frechet = frechet_with_interval(real, synthetic, seed, resamples)
    kernels: dict[str, Kernel] = {KID: polynomial_kernel, MMD: gaussian_kernel(bandwidth)}
    found = {FRECHET: frechet}
    found |= {name: kernel_with_interval(real, synthetic, kernel, seed) for name, kernel in kernels.items()}
    if min(real.count, synthetic.count) > NEIGHBOURS:
        found |= manifold_scores(real.means(), synthetic.means(), NEIGHBOURS, seed)
    penalty = memorization_penalty(synthetic.rows, (training or real).rows)
    if penalty > ALL_COPIES:
        found[MIFID] = {key: value if key == "n" else value / penalty for key, value in frechet.items()}
    return found


def _plain(real: FeatureSet, other: FeatureSet, training: FeatureSet | None, bandwidth: float) -> dict[str, float]:
    """The scores without intervals."""
    if min(real.count, other.count) < 2:
        return {}
    frechet = frechet_distance(real.rows, other.rows)
    found = {FRECHET: frechet}
    for name, kernel in ((KID, polynomial_kernel), (MMD, gaussian_kernel(bandwidth))):
        found[name] = kernel_value(real, other, kernel)
    if min(real.count, other.count) > NEIGHBOURS:
        judged = judged_by_neighbours(real.means(), other.means())
        found |= {name: float(values.mean()) for name, values in judged.items()}
    penalty = memorization_penalty(other.rows, (training or real).rows)
    found[MIFID] = frechet / penalty if penalty > ALL_COPIES else math.nan
    return found


Named = dict[str, dict[str, float]]


def _halves(
    real: FeatureSet, synthetic: FeatureSet, training: FeatureSet | None, bandwidth: float, seed: int, splits: int
) -> tuple[Named, Named, tuple[int, int]]:
    """Scores of synthetic, and of the other real half, against one half of the real images, over splits."""
    half = real.count // 2
    count = min(half, synthetic.count)
    if count < 2:
        return {}, {}, (half, count)
    rng = np.random.default_rng([seed, 1])
    found: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for _ in range(splits):
        order = rng.permutation(real.count)
        kept, other = real.take(order[:half]), real.take(order[half : half + count])
        chosen = synthetic.take(rng.choice(synthetic.count, count, replace=False))
        for part, values in zip((chosen, other), found, strict=True):
            values.append(_plain(kept, part, training, bandwidth))
    at_n, floors = ({name: _over_splits([v[name] for v in values]) for name in values[0]} for values in found)
    return at_n, floors, (half, count)


def _against(
    real: FeatureSet,
    synthetic: FeatureSet,
    floor: FeatureSet,
    training: FeatureSet | None,
    bandwidth: float,
    seed: int,
    resamples: int,
) -> tuple[Named, Named, tuple[int, int]]:
    """Scores of as many synthetic, and as many further real, images against all real ones, with intervals."""
    count = min(floor.count, synthetic.count)
    rng = np.random.default_rng([seed, 1])
    parts = [
        part if part.count == count else part.take(np.sort(rng.choice(part.count, count, replace=False)))
        for part in (synthetic, floor)
    ]
    at_n, floors = (_values(real, part, training, bandwidth, seed, resamples) for part in parts)
    if training is not None and _share_vectors(
        floor, training
    ):  # further real images that were trained on copy themselves
        floors.pop(MIFID, None)
    return at_n, floors, (real.count, count)


def _share_vectors(first: FeatureSet, second: FeatureSet) -> bool:
    known = {row.tobytes() for row in second.rows.numpy()}
    return any(row.tobytes() in known for row in first.rows.numpy())


def _over_splits(values: list[float]) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high)}


def _median_distance(rows: torch.Tensor, seed: int, most: int = 500) -> float:
    chosen = np.sort(np.random.default_rng([seed, 2]).permutation(len(rows))[:most])
    distances = torch.pdist(rows[torch.from_numpy(chosen)].double())
    median = float(distances.median()) if len(distances) else 1.0
    return median or 1.0


def _warning(name: str, real: FeatureSet, synthetic: FeatureSet) -> str:
    least = min(real.count, synthetic.count)
    if least < 2:
        return "not defined: needs at least 2 images in each set"
    if name in MANIFOLD and least <= NEIGHBOURS:
        return f"not defined: needs more than {NEIGHBOURS} images in each set"
    rows = min(len(real.rows), len(synthetic.rows))
    if name in (FRECHET, MIFID) and rows <= real.width:
        return (
            f"{rows} vectors are not more than {real.width} features: the covariances are singular and the value is "
            "biased upward; read it beside its floor alone, or KID"
        )
    return ""
