"""What a reader study says: agreement, detection of lesions and of synthetic images, ratings; tables and figures.

After Kapsner et al. 2024 (Methods, "Statistical analysis") and, for ratings from surely synthetic to surely real,
Montoya-del-Angel et al. 2023 (arXiv 2311.09822).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure as Chart

from ..errors import InputError
from ..io.files import make_output_dir
from ..knobs import check_knob
from ..metrics.uncertainty import statistic_with_interval
from ..reports import reader_detection_tables as detection
from ..reports import reader_tables as tables
from ..reports.kinetics_plots import save_chart
from ..reports.reader_figures import Panel, box_chart, lesion_panels, roc_chart, synthetic_panel
from ..reports.report import Figure, Report
from .protocols import BINARY
from .rating_sheet import read_sheet
from .study_files import REAL, Reading, name_some, read_reading
from .task_ratings import REALNESS_TASK, REFERENCE_TASK, TaskRatings, ratings_of

ROC_PNG, BOXES_PNG = "roc.png", "ratings.png"
RESAMPLES = 2000
CAPTIONS = {
    ROC_PNG: (
        "ROC curves",
        "After Figure 3 of Kapsner et al. 2024 and Figure 6 of Montoya-del-Angel et al. 2023. Dotted: chance.",
    ),
    BOXES_PNG: (
        "Ratings",
        "After Figure 4 of Kapsner et al. 2024: boxes span the quartiles, whiskers reach to the last value within 1.5 "
        "times that. Wilcoxon's rank-sum test: ns not significant, * p < 0.05, ** p < 0.01, *** p < 0.001.",
    ),
}


def analyse_study(
    study: str | None, key: str | None, output: str | None, seed: int = 0, sheet: str | None = None
) -> None:
    """Analyse a study and write its report, `roc.png` and `ratings.png`.

    Args:
        study: its folder, with `study.json` and `answers`; None with a sheet.
        key: the key's CSV file; None with a sheet.
        output: folder for the report; made where it is missing.
        seed: of the bootstrap.
        sheet: CSV file with image, truth, reader and rating (0 surely synthetic to 4 surely real) instead of a study.

    Raises:
        InputError: not enough or too much to read from, or a mistake in one of the files.
    """
    check_knob("seed", seed)
    if output is None:
        raise InputError("analyse: give an output folder for the report")
    if sheet is not None and (study is not None or key is not None):
        raise InputError(f"sheet {sheet}: holds a whole study by itself; give it without study and key")
    if sheet is None and (study is None or key is None):
        raise InputError("analyse: give the study's folder and its key, or a sheet of ratings")
    reading = read_reading(study, key) if sheet is None else read_sheet(sheet)
    report, charts = analyse(reading, seed)
    folder = make_output_dir(output)
    for name, chart in charts.items():
        save_chart(folder / name, chart)
        report.figures.append(Figure(CAPTIONS[name][0], folder / name, CAPTIONS[name][1]))
    report.write(folder)


def analyse(reading: Reading, seed: int = 0, resamples: int = RESAMPLES) -> tuple[Report, dict[str, Chart]]:
    """The report of a study and its figures by file name.

    The task `birads` is held against the key's reference, a binary task against the truth, and the task `rating` is one
    from surely synthetic to surely real. What a statistic does not define stands in its place with the reason.

    Args:
        reading: the study, its key and the answers.
        seed, resamples: of the bootstrap.
    """

    def interval(statistic: Callable[[np.ndarray], float], num_images: int) -> dict[str, float]:
        found = statistic_with_interval(statistic, num_images, seed, resamples)
        return {name: found[name] for name in ("mean", "low", "high")}  # n has a column of its own

    report = Report(f"Reader study {reading.study.name}", _facts(reading, seed, resamples), warnings=_warnings(reading))
    tables.add_answers(report, reading)
    asked = [ratings for task in reading.study.tasks if (ratings := ratings_of(reading, task)).readers]
    panels: list[Panel] = []
    for ratings in asked:
        panels += _analyse_task(report, ratings, interval, seed)
    charts = {ROC_PNG: roc_chart(panels)} if panels else {}
    scales = [ratings for ratings in asked if ratings.task.kind != BINARY]
    if scales:
        tables.add_levels(report, scales, interval)
        tables.add_rank_tests(report, scales, interval)
    # Kapsner et al. show the ratings of quality alone as boxes.
    judged = [ratings for ratings in scales if ratings.task.id != REFERENCE_TASK]
    return report, charts | ({BOXES_PNG: box_chart(judged)} if judged else {})


def _analyse_task(report: Report, ratings: TaskRatings, interval: tables.Interval, seed: int) -> list[Panel]:
    """Tables of one task; returns its ROC panels."""
    name = ratings.task.id
    if ratings.task.kind == BINARY:
        whole = ratings.complete()
        parts = [("all", whole), *((kind, whole.of_kind(synthetic)) for kind, synthetic in tables.KINDS)]
        kappa = f"{name}: agreement (Fleiss' kappa)"
        tables.add_kappa(report, kappa, [({"images": kind}, part) for kind, part in parts], interval)
        detection.add_synthetic_areas(report, ratings, interval)
        detection.add_synthetic_contingency(report, ratings, seed)
        return [synthetic_panel(ratings)]
    tables.add_concordance(report, ratings, interval)
    if name == REALNESS_TASK:
        tables.add_rating_counts(report, ratings)
        detection.add_synthetic_areas(report, ratings, interval)
        return [synthetic_panel(ratings)]
    if name == REFERENCE_TASK:
        parts = [
            ({"BI-RADS": f"≥ {threshold}", "images": kind}, ratings.complete().of_kind(synthetic).at_least(threshold))
            for threshold in detection.thresholds_of(ratings)
            for kind, synthetic in tables.KINDS
        ]
        tables.add_kappa(report, f"{name}: agreement on outcomes (Fleiss' kappa)", parts, interval)
        detection.add_lesion_areas(report, ratings, interval)
        detection.add_lesion_contingency(report, ratings, seed)
        return lesion_panels(ratings)
    return []


def _facts(reading: Reading, seed: int, resamples: int) -> dict[str, object]:
    real = sum(entry.truth == REAL for entry in reading.key.values())
    known = sum(entry.reference is not None for entry in reading.key.values())
    return {
        "synthetic": True,
        "protocol": reading.study.protocol,
        "images": f"{len(reading.key)}: {real} real, {len(reading.key) - real} synthetic; {known} with a reference",
        "readers": f"{len(reading.answers)}: {name_some(list(reading.answers), 20)}",
        "intervals": f"95 %, percentile bootstrap over images, {resamples} resamples, seed {seed}",
    }


def _warnings(reading: Reading) -> list[str]:
    """What makes some statistics rest on less than they seem to, or not defined at all."""
    warnings = []
    for reader, answers in reading.answers.items():
        for task in reading.study.tasks:
            missing = [image for image in reading.study.images if (image, task.id) not in answers]
            if 0 < len(missing) < len(reading.study.images):
                told = f"{len(missing)} of {len(reading.study.images)} images have no answer to {task.id}"
                warnings.append(f"{reader}: {told} ({name_some(missing)})")
    if len(reading.answers) == 1:
        warnings.append("One reader: agreement is not defined, and another reader may see other things.")
    truths = {entry.truth for entry in reading.key.values()}
    if len(truths) == 1:
        warnings.append(f"All images are {truths.pop()}: nothing can be held against the other kind.")
    return warnings
