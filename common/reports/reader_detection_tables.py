"""Tables of what readers detect: areas under ROC curves, DeLong's tests, contingency, sensitivity and specificity."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.not_defined import NotDefinedError, value_or_reason
from ..metrics.roc import (
    Contingency,
    DelongTest,
    contingency,
    delong_auc,
    delong_paired,
    delong_unpaired,
    exact_auc,
    roc_auc,
)
from ..metrics.uncertainty import share_with_interval
from ..reader_study.protocols import BINARY
from ..reader_study.task_ratings import TaskRatings
from .reader_tables import KINDS, Interval, by_reader
from .report import Report

# What Kapsner et al. 2024 call the outcomes.
OUTCOMES = {2: "any lesions", 3: "potentially significant lesions", 4: "suspicious lesions"}
DELONG_NOTE = "Intervals: bootstrap over images, and DeLong's."
CALLED_NOTE = (
    "1 where more than half of the readers say so (exactly half is 0), against the truth (GT); after Table {table} of "
    "Kapsner et al. 2024."
)


def thresholds_of(ratings: TaskRatings) -> list[int]:
    """The BI-RADS categories at which a scale is cut: 2, 3 and 4, as far as it has them."""
    return [level for level in OUTCOMES if ratings.task.minimum < level <= ratings.task.maximum]


def with_reference(ratings: TaskRatings) -> TaskRatings:
    """The images whose reference is known."""
    return ratings.where(~np.isnan(ratings.references))


def lesion_scores(ratings: TaskRatings, threshold: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of readers at or above a category and whether the reference is, (N,) each; N images with a reference."""
    known = with_reference(ratings)
    return known.at_least(threshold).mean(), known.references >= threshold


def synthetic_scores(ratings: TaskRatings) -> np.ndarray:
    """How much the readers' mean speaks for a synthetic image, (N,): binary answers as they are, ratings reversed."""
    return ratings.mean() if ratings.task.kind == BINARY else ratings.task.maximum - ratings.mean()


def add_lesion_areas(report: Report, ratings: TaskRatings, interval: Interval) -> None:
    """AUC of the share of positive calls against the reference, by outcome, reader and kind; DeLong's tests."""
    areas, tests = [], []
    for threshold in thresholds_of(ratings):
        for reader, part in by_reader(ratings):
            row = {"BI-RADS": f"≥ {threshold}", "reader": reader}
            scores = [lesion_scores(part.of_kind(synthetic), threshold) for _, synthetic in KINDS]
            for (kind, _), (score, truth) in zip(KINDS, scores, strict=True):
                areas.append({**row, "images": kind} | _area_cells(score, truth, interval))
            tests.append(row | _unpaired_cells(*scores) | _paired_cells(with_reference(part), threshold))
    name, columns = ratings.task.id, ("BI-RADS", "reader", "images", *_AREA_COLUMNS)
    note = f"Of the share of readers at or above the category, against the reference. {DELONG_NOTE}"
    report.add(f"{name}: AUC of lesions", columns, areas, note)
    columns = (
        "BI-RADS",
        "reader",
        "real less synthetic",
        "t",
        "df",
        "p",
        "pairs",
        "paired difference",
        "z",
        "paired p",
    )
    note = (
        "DeLong's tests of equal areas in real and synthetic images, two-sided. Unpaired (t): as if no image of one "
        "kind belonged to one of the other. Paired (z): on the cases that have one image of each kind, both with the "
        "same reference."
    )
    report.add(f"{name}: DeLong's tests", columns, tests, note)


def add_lesion_contingency(report: Report, ratings: TaskRatings, seed: int) -> None:
    """Table 3 of Kapsner et al. 2024, and the sensitivities and specificities that follow."""
    table, accuracy = [], []
    thresholds = thresholds_of(ratings)
    for kind, synthetic in KINDS:
        rows: dict[str, dict[str, Any]] = {}
        for threshold in thresholds:
            scores, truth = lesion_scores(ratings.complete().of_kind(synthetic), threshold)
            found = contingency(scores > 0.5, truth)
            accuracy.append({"BI-RADS": f"≥ {threshold}", "images": kind} | _accuracy_cells(found, seed))
            for reading, cells in _contingency_rows(found, f"≥ {threshold} "):
                rows.setdefault(reading, {"images": kind, "reading": reading}).update(cells)
        table += rows.values()
    columns = [f"≥ {threshold} {column}" for threshold in thresholds for column in _GROUND_TRUTH]
    words = ", ".join(f"≥ {threshold}: {OUTCOMES[threshold]}" for threshold in thresholds)
    name, note = ratings.task.id, f"{CALLED_NOTE.format(table=3)} {words}."
    report.add(f"{name}: readings against the reference", ("images", "reading", *columns), table, note)
    columns = ("BI-RADS", "images", *_ACCURACY_COLUMNS)
    report.add(f"{name}: sensitivity and specificity", columns, accuracy, _ACCURACY_NOTE)


def add_synthetic_areas(report: Report, ratings: TaskRatings, interval: Interval) -> None:
    """AUC of telling synthetic images from real ones: readers together and alone, mean of areas, paired tests."""
    rows = []
    for reader, part in by_reader(ratings):
        rows.append({"reader": reader} | _area_cells(synthetic_scores(part), part.synthetic, interval, exact=True))
    if len(ratings.readers) > 1:
        mean = interval(lambda i: _mean_area(ratings.where(i)), len(ratings.images))
        defined = np.isfinite(mean["mean"])
        cell = mean if defined else "not defined: a reader rated images of one kind only"
        rows.append({"reader": "mean of the readers' areas", "n": len(ratings.images), "AUC": cell})
    note = (
        f"Synthetic images are the positives: 0.5 where they cannot be told from real ones, 1 where they are told "
        f"without fail. {DELONG_NOTE} The interval of the mean of areas knows that readers look at the same "
        f"images, not that other readers may differ from these."
    )
    report.add(f"{ratings.task.id}: AUC of synthetic images", ("reader", *_AREA_COLUMNS, "exact"), rows, note)
    if len(ratings.readers) > 1:
        _add_reader_tests(report, ratings)


def add_synthetic_contingency(report: Report, ratings: TaskRatings, seed: int) -> None:
    """Table 4 of Kapsner et al. 2024 from binary answers, and sensitivity and specificity of each reader."""
    complete = ratings.complete()
    found = contingency(complete.mean() > 0.5, complete.synthetic)
    rows = [{"reading": reading, **cells} for reading, cells in _contingency_rows(found, "")]
    name, note = ratings.task.id, f"{CALLED_NOTE.format(table=4)} 0: real, 1: synthetic."
    report.add(f"{name}: readings against the truth", ("reading", *_GROUND_TRUTH), rows, note)
    rows = [
        {"reader": reader} | _accuracy_cells(contingency(part.mean() > 0.5, part.synthetic), seed)
        for reader, part in by_reader(ratings)
    ]
    report.add(f"{name}: sensitivity and specificity", ("reader", *_ACCURACY_COLUMNS), rows, _ACCURACY_NOTE)


_AREA_COLUMNS = ("n", "positives", "AUC", "AUC, DeLong")
_GROUND_TRUTH = ("GT 0", "GT 1", "Total")
_ACCURACY_COLUMNS = ("n", "TN", "FN", "FP", "TP", "sensitivity", "specificity")
_ACCURACY_NOTE = "Sensitivity is TP / (TP + FN), specificity TN / (TN + FP), with bootstrap intervals over images."


def _area_cells(scores: np.ndarray, positive: np.ndarray, interval: Interval, exact: bool = False) -> dict[str, Any]:
    cells: dict[str, Any] = {"n": len(scores), "positives": int(positive.sum())}
    try:
        area = exact_auc(scores, positive)
    except NotDefinedError as error:
        return cells | {"AUC": f"not defined: {error}"}
    cells["AUC"] = interval(lambda i: roc_auc(scores[i], positive[i]), len(scores))
    cells["AUC, DeLong"] = value_or_reason(lambda: _delong_cell(scores, positive))
    return cells | ({"exact": str(area)} if exact else {})


def _delong_cell(scores: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    found = delong_auc(scores, positive)
    low, high = found.interval()
    return {"mean": found.value, "low": low, "high": high}


def _unpaired_cells(real: tuple[np.ndarray, np.ndarray], synthetic: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    try:
        found = delong_unpaired(delong_auc(*real), delong_auc(*synthetic))
    except NotDefinedError as error:
        return {"real less synthetic": f"not defined: {error}"}
    return {"real less synthetic": found.difference, "t": found.statistic, "df": found.degrees, "p": found.p_value}


def _paired_cells(ratings: TaskRatings, threshold: int) -> dict[str, Any]:
    real, synthetic = ratings.pairs()
    scores, truth = lesion_scores(ratings, threshold)
    if not len(real):
        return {"pairs": 0, "paired difference": "not defined: no case has one image of each kind with one reference"}
    cells = _test_cells(lambda: delong_paired(scores[real], scores[synthetic], truth[real]), "paired difference")
    return {"pairs": len(real), **{"paired p" if name == "p" else name: cell for name, cell in cells.items()}}


def _test_cells(test: Callable[[], DelongTest], difference: str) -> dict[str, Any]:
    try:
        found = test()
    except NotDefinedError as error:
        return {difference: f"not defined: {error}"}
    return {difference: found.difference, "z": found.statistic, "p": found.p_value}


def _add_reader_tests(report: Report, ratings: TaskRatings) -> None:
    rows = []
    for pair in itertools.combinations(range(len(ratings.readers)), 2):
        both = ratings.where(~np.isnan(ratings.values[list(pair)]).any(0))
        first, second = (synthetic_scores(both.of_reader(ratings.readers[number])) for number in pair)
        row = {"first": ratings.readers[pair[0]], "second": ratings.readers[pair[1]], "n": len(first)}
        cells = _test_cells(
            lambda a=first, b=second, part=both: delong_paired(a, b, part.synthetic), "first less second"
        )
        rows.append(row | cells)
    note = "Paired, on the images that both rated; two-sided, not corrected for the number of tests."
    columns = ("first", "second", "n", "first less second", "z", "p")
    report.add(f"{ratings.task.id}: DeLong's tests of readers", columns, rows, note)


def _mean_area(ratings: TaskRatings) -> float:
    """Mean over readers of the area on the images that each rated; NaN where one has one kind of image only."""
    rated = ~np.isnan(ratings.values)
    scores = ratings.values if ratings.task.kind == BINARY else ratings.task.maximum - ratings.values
    return float(np.mean([roc_auc(row[own], ratings.synthetic[own]) for row, own in zip(scores, rated, strict=True)]))


def _contingency_rows(found: Contingency, prefix: str) -> Sequence[tuple[str, Mapping[str, int]]]:
    negative = (found.true_negative, found.false_negative)
    positive = (found.false_positive, found.true_positive)
    total = tuple(map(sum, zip(negative, positive, strict=True)))
    names = [f"{prefix}{column}" for column in _GROUND_TRUTH]
    rows = (("0", negative), ("1", positive), ("Total", total))
    return [(reading, dict(zip(names, (*counts, sum(counts)), strict=True))) for reading, counts in rows]


def _accuracy_cells(found: Contingency, seed: int) -> dict[str, Any]:
    counts = {
        "TN": found.true_negative,
        "FN": found.false_negative,
        "FP": found.false_positive,
        "TP": found.true_positive,
    }
    return {
        "n": sum(counts.values()),
        **counts,
        "sensitivity": _share_cell(found.true_positive, found.false_negative, "positive", seed),
        "specificity": _share_cell(found.true_negative, found.false_positive, "negative", seed),
    }


def _share_cell(hits: int, misses: int, kind: str, seed: int) -> dict[str, float] | str:
    if not hits + misses:
        return f"not defined: there is no {kind} image"
    return share_with_interval([1] * hits + [0] * misses, [1] * (hits + misses), seed)
