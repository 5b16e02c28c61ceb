"""SAMe, the Scaled Aggregate Measure: one figure for a checkpoint out of several metrics of different kind and unit.

Osuala et al. 2024 (arXiv 2409.18872): every metric is scaled to [0, 1] over the candidates, turned round where higher
is better, and the parts are averaged; lower is better.

The figure is relative. It depends on which candidates it was scaled over, and adding or leaving out one can reverse
the order of the others, so that it never travels without its scaling set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..knobs import check_choice

CANDIDATE = "candidate"
LOWER, HIGHER = "lower", "higher"

_HIGHER_WORDS = {"ssim", "msssim", "psnr"}
_LOWER_WORDS = {"mae", "mse", "rmse", "lpips", "kid", "fd"}


@dataclass(frozen=True)
class ScaledAggregate:
    """Scores of candidates, with all that they were made from.

    Attributes:
        scores: candidate to SAMe, in the order of the table; lower is better.
        parts: candidate to metric to scaled part, already turned round: 0 is best.
        ranges: metric to its (minimum, maximum) over the scaling set, in the metric's unit.
        metrics: metric to `lower` or `higher`, whichever is better.
        scaling_set: names of the candidates that the ranges were taken over.
    """

    scores: dict[str, float]
    parts: dict[str, dict[str, float]]
    ranges: dict[str, tuple[float, float]]
    metrics: dict[str, str]
    scaling_set: tuple[str, ...]

    @property
    def ranking(self) -> list[str]:
        """Candidates from best to worst; equal scores keep the order of the table."""
        return sorted(self.scores, key=self.scores.__getitem__)

    @property
    def best(self) -> str:
        """The candidate with the lowest score, the earlier one of equals."""
        return self.ranking[0]

    def to_json(self) -> dict[str, Any]:
        """All attributes as JSON values, the best candidate first; `score_against_ranges` takes it as reference."""
        return {
            "best": self.best,
            "scores": self.scores,
            "parts": self.parts,
            "metrics": self.metrics,
            "ranges": {name: {"min": low, "max": high} for name, (low, high) in self.ranges.items()},
            "scaling_set": list(self.scaling_set),
        }


def scaled_aggregate(table: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> ScaledAggregate:
    """SAMe of every row of a table, scaled over the table itself.

    With s = (m - min) / (max - min), a part is s where lower is better and 1 - s where higher is better; a metric that
    is equal for all candidates tells nothing and contributes 0. The score is the plain mean of the parts, in [0, 1].

    Args:
        table: one mapping a candidate: metric to value; `candidate` holds its name, its position stands in otherwise.
        metrics: metric to `lower` or `higher`, whichever is better; other entries of the table are left alone.

    Raises:
        InputError: fewer than two candidates, two of one name, no metric, an unknown direction, or a value that is
            missing or not finite; names the candidate and the metric.
    """
    values = _values(table, metrics)
    if len(values) < 2:
        raise InputError(f"SAMe compares candidates: {len(values)} given, at least two are needed")
    columns = {metric: [row[metric] for row in values.values()] for metric in metrics}
    ranges = {metric: (min(column), max(column)) for metric, column in columns.items()}
    return _score(values, metrics, ranges, tuple(values))


def score_against_ranges(table: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> ScaledAggregate:
    """SAMe of new candidates on the scale of an earlier scoring, so that both can be compared.

    Nothing is clipped: a part below 0 (above 1) is better (worse) than every candidate of the earlier scoring, and by
    how much stays visible; clipping would call all of them equal. A metric whose earlier range is zero contributes 0.

    Args:
        table: as for `scaled_aggregate`; one candidate is enough.
        reference: what `ScaledAggregate.to_json` gave: `metrics`, `ranges` and `scaling_set` are read.

    Raises:
        InputError: as `scaled_aggregate`, or the reference lacks a part.
    """
    try:
        metrics = dict(reference["metrics"])
        ranges = {m: (float(reference["ranges"][m]["min"]), float(reference["ranges"][m]["max"])) for m in metrics}
        names = tuple(str(name) for name in reference["scaling_set"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the reference ranges lack a usable entry {error}; give a same.json with metrics, ranges and scaling_set"
        ) from error
    return _score(_values(table, metrics), metrics, ranges, names)


def _values(table: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> dict[str, dict[str, float]]:
    if not metrics:
        raise InputError("SAMe needs at least one metric; name them with their direction, lower or higher")
    for metric, direction in metrics.items():
        check_choice(metric, direction, (LOWER, HIGHER))
    values: dict[str, dict[str, float]] = {}
    for position, row in enumerate(table):
        name = str(row.get(CANDIDATE, position))
        if name in values:
            raise InputError(f"candidate {name}: occurs twice in the table; give every candidate a name of its own")
        values[name] = {metric: _value(name, metric, row.get(metric)) for metric in metrics}
    return values


def _value(candidate: str, metric: str, value: Any) -> float:
    if value is None or value == "":
        raise InputError(f"candidate {candidate}: {metric} is missing; measure it, or leave the candidate out")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"candidate {candidate}: {metric} is {value!r}; give a number") from error
    if not math.isfinite(number):
        raise InputError(f"candidate {candidate}: {metric} is {number}; leave the candidate or the metric out")
    return number


def _score(
    values: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]],
    scaling_set: tuple[str, ...],
) -> ScaledAggregate:
    parts = {
        name: {metric: _part(row[metric], *ranges[metric], direction) for metric, direction in metrics.items()}
        for name, row in values.items()
    }
    scores = {name: math.fsum(row.values()) / len(metrics) for name, row in parts.items()}
    return ScaledAggregate(scores, parts, dict(ranges), dict(metrics), scaling_set)


def _part(value: float, low: float, high: float, direction: str) -> float:
    if low == high:
        return 0.0
    return (value - low) / (high - low) if direction == LOWER else (high - value) / (high - low)


def known_direction(metric: str) -> str | None:
    """Which direction is better, from words in a metric's name such as `validation_ssim` or `FIDImg`; None if unknown.

    Higher: SSIM, MS-SSIM, PSNR. Lower: MAE, MSE, RMSE, LPIPS, KID, FD, and whatever begins with FID.
    """
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    if words & _HIGHER_WORDS:
        return HIGHER
    return LOWER if words & _LOWER_WORDS or any(word.startswith("fid") for word in words) else None
