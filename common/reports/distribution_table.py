"""The table of distribution scores, the same in every evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..metrics.distribution import standardize
from ..metrics.distribution_scores import FRECHET, MIFID, SCORES, DistributionScores, distribution_scores
from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor, RandomConvolutionFeatures
from ..metrics.manifold import NEIGHBOURS
from .report import Report

NAME = "Distribution"


@dataclass(frozen=True)
class ComparedSets:
    """Features of the sets of one comparison.

    Attributes:
        real: held-out real images.
        synthetic: what is judged.
        floor: further real images; None to halve `real`.
        training: what the model was trained on; None where unknown.
    """

    real: FeatureSet
    synthetic: FeatureSet
    floor: FeatureSet | None = None
    training: FeatureSet | None = None

    def by_case(self, cases: Mapping[str, Sequence[int]]) -> ComparedSets:
        """The sets with vectors of one case drawn together; `cases` as numbers by `real`, `synthetic`, ..."""
        named = {"real": self.real, "synthetic": self.synthetic, "validation": self.floor, "training": self.training}
        return ComparedSets(*(part and part.grouped(cases[title]) for title, part in named.items()))

    def standardized(self) -> ComparedSets:
        """All sets by the mean and deviation of the real one."""
        others = (part and part.standardized_by(self.real) for part in (self.synthetic, self.floor, self.training))
        return ComparedSets(self.real.standardized_by(self.real), *others)


def add_distribution(
    report: Report,
    compared: Mapping[str, Mapping[str, ComparedSets]],
    extractors: Mapping[str, FeatureExtractor],
    group: str = "images",
    seed: int = 0,
) -> None:
    """Score every comparison by every extractor, and append the table, its warnings and the extractors' hashes.

    Args:
        report: gets the table.
        compared: by name of the extractor, then by name of the comparison (a contrast, a phase, a plane).
        extractors: by name.
        group: heading of the comparisons' names.
        seed: of bootstrap and floor.
    """
    rows: list[dict[str, Any]] = []
    warnings: dict[str, list[str]] = {}
    for extractor_name, comparisons in compared.items():
        extractor = extractors[extractor_name]
        own_units = not isinstance(extractor, RandomConvolutionFeatures)
        for name, sets in comparisons.items():
            scores = distribution_scores_of(sets if own_units else sets.standardized(), seed)
            rows += [{"extractor": extractor_name, group: name, **row} for row in score_rows(scores)]
            for score in scores.scores:
                if score.warning:
                    warnings.setdefault(f"{score.warning} ({extractor_name})", []).append(score.name)
        report.facts[f"extractor {extractor_name}"] = describe_extractor(extractor, sets.real.width)
    if any(isinstance(extractor, RandomConvolutionFeatures) for extractor in extractors.values()):
        warnings.setdefault("random convolutions are not pretrained: compare with nothing but this report", [])
    for text, names in warnings.items():
        report.warnings.append(f"{', '.join(dict.fromkeys(names))}: {text}" if names else text)
    first = next((sets for comparisons in compared.values() for sets in comparisons.values()), None)
    report.add(NAME, ["extractor", group, "n real", "n synthetic", *SCORES], rows, _note(first))


def distribution_scores_of(sets: ComparedSets, seed: int = 0) -> DistributionScores:
    """`distribution_scores` of compared sets."""
    return distribution_scores(sets.real, sets.synthetic, sets.floor, sets.training, seed)


def scaled(extractor: FeatureExtractor, real: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of features as they are compared: a pretrained network's own units are part of its published distances,
    those of random filters mean nothing and are standardised."""
    return standardize(real, other) if isinstance(extractor, RandomConvolutionFeatures) else (real, other)


def score_rows(scores: DistributionScores) -> list[dict[str, Any]]:
    """One row of all images, and one at the floor's numbers where these are others: `n real`, `n synthetic`, scores."""
    numbers = {"n real": scores.n_real, "n synthetic": scores.n_synthetic}
    whole: dict[str, Any] = numbers | {score.name: score.value or score.warning for score in scores.scores}
    at_floor: dict[str, Any] = {}
    for score in scores.scores:
        if score.floor is not None and score.at_floor_n is not None and score.floor_n is not None:
            at_floor |= dict(zip(numbers, score.floor_n, strict=True))
            at_floor[score.name] = score.at_floor_n | {"floor": score.floor}
    if not at_floor:
        return [whole]
    same = all(at_floor[name] == value for name, value in numbers.items())
    return [whole | at_floor] if same else [whole, at_floor]


def describe_extractor(extractor: FeatureExtractor, width: int) -> str:
    """Name, hash, width and scale of an extractor in words."""
    scaled = ", standardised by the real images" if isinstance(extractor, RandomConvolutionFeatures) else ""
    return f"{extractor.name}, sha256 {extractor.sha256}, {width} numbers{scaled}"


def _note(sets: ComparedSets | None) -> str:
    source = "the real set against as many further real images"
    if sets is None or sets.floor is None:
        source = "halves of the real set, drawn anew; the row of fewer images is the mean of the draws and 95 % of them"
    copies = "the training images" if sets is not None and sets.training is not None else "the real images"
    return (
        f"Lower is better: {FRECHET}, the Fréchet distance, which is FID with the Inception network, biased upward for "
        "few images; KID, cubic kernel, unbiased, around 0 for equal distributions; MMD, squared, Gaussian kernel with "
        "the median distance of real vectors for bandwidth, unbiased; "
        f"{MIFID}, {FRECHET} over the mean smallest cosine distance to {copies} where that is below 0.1 (MiFID). "
        f"Higher is better: precision, recall, density, coverage with {NEIGHBOURS} neighbours. "
        f"Intervals: 95 % bootstrap over images, of {FRECHET} around its own mean; above 1000 images the kernels' "
        f"spread over subsets of 1000. Floor: {source}. Compare a value with the floor of its own row."
    )
