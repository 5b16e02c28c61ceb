"""Tables of a reader study: who answered what, how far readers agree, and how ratings of real and synthetic differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.not_defined import NotDefinedError, value_or_nan
from ..metrics.rank_tests import quartiles, rank_sum
from ..metrics.rater_agreement import agreement_word, fleiss_kappa, kendall_w
from ..metrics.roc import roc_auc
from ..reader_study.study_files import REAL, SYNTHETIC, Reading
from ..reader_study.task_ratings import TaskRatings
from .report import Report

KINDS = ((REAL, False), (SYNTHETIC, True))
MEAN = "mean of readers"
# From a statistic of indices of images, and how many images there are, to the value with its interval.
Interval = Callable[[Callable[[np.ndarray], float], int], Mapping[str, float]]


def add_answers(report: Report, reading: Reading) -> None:
    """How many images each reader answered in each task."""
    tasks, images = reading.study.tasks, reading.study.images
    rows = [
        {"reader": reader} | {task.id: sum((image, task.id) in answers for image in images) for task in tasks}
        for reader, answers in reading.answers.items()
    ]
    note = (
        "Who answered nothing in a task is none of its readers. Statistics of several readers rest on the images that "
        "all of the task's readers rated, those of one reader on all that this one rated; each says how many (n)."
    )
    report.add("Answers", ("reader", *(task.id for task in tasks)), rows, note)


def add_concordance(report: Report, ratings: TaskRatings, interval: Interval) -> None:
    """Kendall's W of an ordinal task, real and synthetic images apart."""
    rows = []
    for kind, synthetic in KINDS:
        part = ratings.complete().of_kind(synthetic)
        row = {"images": kind, "readers": len(part.readers), "n": part.values.shape[1]}
        for word, correct_ties in (("not corrected", False), ("corrected", True)):
            rows.append({**row, "ties": word} | _concordance_cells(part.values, correct_ties, interval))
    columns = ("images", "ties", "readers", "n", "W", "agreement", "chi-squared", "df", "p")
    note = (
        "Ties are not corrected by R's irr unless it is told to; ratings on a short scale tie often, and then this W "
        "stays below 1 however well readers agree. W of readers who rate at random is about 1 over their number. p: "
        "chi-squared test of no agreement. Words: Landis and Koch 1977."
    )
    report.add(f"{ratings.task.id}: agreement (Kendall's W)", columns, rows, note)


def add_kappa(
    report: Report, name: str, parts: Sequence[tuple[Mapping[str, Any], TaskRatings]], interval: Interval
) -> None:
    """Fleiss' kappa of binary answers.

    Args:
        name: of the table.
        parts: first cells of a row, and complete binary answers.
    """
    rows = []
    for cells, part in parts:
        row = {**cells, "readers": len(part.readers), "n": part.values.shape[1]}
        try:
            found = fleiss_kappa(part.values)
        except NotDefinedError as error:
            rows.append(row | {"kappa": f"not defined: {error}"})
            continue
        spread = interval(
            lambda i, values=part.values: value_or_nan(lambda: fleiss_kappa(values[:, i]).coefficient),
            part.values.shape[1],
        )
        word = agreement_word(found.coefficient)
        rows.append(row | {"kappa": spread, "agreement": word, "z": found.z, "p": found.p_value})
    note = "Fleiss' kappa; z and p: of no agreement beyond chance. Words: Landis and Koch 1977."
    report.add(name, (*parts[0][0], "readers", "n", "kappa", "agreement", "z", "p"), rows, note)


def add_levels(report: Report, scales: Sequence[TaskRatings], interval: Interval) -> None:
    """Medians and quartiles of all ordinal tasks, of the readers' mean and of each reader, by kind of image."""
    rows = []
    for ratings in scales:
        for reader, part in by_reader(ratings):
            for kind, synthetic in KINDS:
                scores = part.of_kind(synthetic).mean()
                row = {"task": ratings.task.id, "reader": reader, "images": kind, "n": len(scores)}
                rows.append(row | _level_cells(scores, interval))
    columns = ("task", "reader", "images", "n", "median", "lower quartile", "upper quartile")
    report.add("Medians", columns, rows, "Of each image's mean over the readers, or of one reader's ratings.")


def add_rank_tests(report: Report, scales: Sequence[TaskRatings], interval: Interval) -> None:
    """Wilcoxon's rank-sum test of real against synthetic images, and how often a real one is rated higher."""
    rows = []
    for ratings in scales:
        for reader, part in by_reader(ratings):
            scores, real = part.mean(), ~part.synthetic
            row = {
                "task": ratings.task.id,
                "reader": reader,
                "n real": int(real.sum()),
                "n synthetic": int((~real).sum()),
            }
            try:
                found = rank_sum(scores[real], scores[~real])
            except NotDefinedError as error:
                rows.append(row | {"W": f"not defined: {error}"})
                continue
            higher = interval(lambda i, s=scores, r=real: roc_auc(s[i], r[i]), len(scores))
            row |= {"W": found.statistic, "p": found.p_value, "method": found.method, "real rated higher": higher}
            rows.append(row)
    columns = ("task", "reader", "n real", "n synthetic", "W", "p", "method", "real rated higher")
    note = (
        "Wilcoxon's rank-sum test, two-sided, not corrected for the number of tests. W counts pairs in which the real "
        "image has the higher rating, ties half; 'real rated higher' is its share of all pairs, 0.5 where there is no "
        "difference."
    )
    report.add("Real against synthetic", columns, rows, note)


def add_rating_counts(report: Report, ratings: TaskRatings) -> None:
    """How often each reader gave each rating to real and to synthetic images."""
    levels = range(ratings.task.minimum, ratings.task.maximum + 1)
    rows = []
    for reader in ratings.readers:
        for kind, synthetic in KINDS:
            given = ratings.of_reader(reader).of_kind(synthetic).values[0]
            rows.append(
                {"reader": reader, "images": kind} | {str(level): int((given == level).sum()) for level in levels}
            )
    report.add(f"{ratings.task.id}: counts", ("reader", "images", *map(str, levels)), rows)


def by_reader(ratings: TaskRatings) -> list[tuple[str, TaskRatings]]:
    """The readers together on the images that all rated, then each alone; one reader is shown once."""
    alone = [(reader, ratings.of_reader(reader)) for reader in ratings.readers]
    return alone if len(alone) == 1 else [(MEAN, ratings.complete()), *alone]


def _concordance_cells(values: np.ndarray, correct_ties: bool, interval: Interval) -> dict[str, Any]:
    try:
        found = kendall_w(values, correct_ties)
    except NotDefinedError as error:
        return {"W": f"not defined: {error}"}
    spread = interval(
        lambda i: value_or_nan(lambda: kendall_w(values[:, i], correct_ties).coefficient), values.shape[1]
    )
    word = agreement_word(found.coefficient)
    return {"W": spread, "agreement": word, "chi-squared": found.chi_squared, "df": found.degrees, "p": found.p_value}


def _level_cells(scores: np.ndarray, interval: Interval) -> dict[str, Any]:
    try:
        low, _, high = quartiles(scores)
    except NotDefinedError as error:
        return {"median": f"not defined: {error}"}
    spread = interval(lambda i: float(np.median(scores[i])), len(scores))
    return {"median": spread, "lower quartile": low, "upper quartile": high}
