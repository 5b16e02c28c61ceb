"""Segmenters compared on the same test cases: Dice, HD95 and paired differences to a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.uncertainty import mean_with_interval

MEASURES = (("dice", "Dice"), ("hd95", "HD95 (mm)"))


def comparison_row(
    scores: Sequence[Mapping[str, Any]],
    baseline: Sequence[Mapping[str, Any]] | None,
    seed: int,
    measures: Sequence[tuple[str, str]] = MEASURES,
) -> dict[str, Any]:
    """One line of the table: a segmenter by itself, and against the baseline.

    Intervals are percentile bootstraps over patients; the cases of a patient are averaged first. A difference is that
    of the same patient, so that how hard a patient is falls out of it.

    Args:
        scores: of the segmenter, one mapping a case, with `patient`, `dice` and `hd95` (`mask_scores`); every true
            mask holds something, so that HD95 is NaN where nothing was found.
        baseline: the same of the baseline; None where this is the baseline.
        seed: of the bootstrap.
        measures: keys of the scores and what tables call them.

    Returns:
        By column: each measure's mean with its interval, `nothing found` (cases), and each measure's difference
        (HD95's over patients in whom both found something), or "baseline".
    """
    own = {key: _by_patient(scores, key) for key, _ in measures}
    row: dict[str, Any] = {title: mean_with_interval(list(own[key].values()), seed) for key, title in measures}
    row["nothing found"] = sum(bool(np.isnan(entry["hd95"])) for entry in scores)
    for key, title in measures:
        name = f"{title.split(' (')[0]} minus baseline"
        if baseline is None:
            row[name] = "baseline"
            continue
        base = _by_patient(baseline, key)
        row[name] = mean_with_interval([own[key][patient] - base[patient] for patient in own[key]], seed)
    return row


def _by_patient(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    """Mean over the cases of each patient where defined."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(row["patient"], []).append(row[key])
    return {
        patient: float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")
        for patient, found in values.items()
    }
