"""Figures of a reader study: ROC curves and boxplots, after Figures 3 and 4 of Kapsner et al. 2024."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..metrics.not_defined import NotDefinedError
from ..metrics.rank_tests import rank_sum
from ..metrics.roc import roc_auc, roc_points
from ..reader_study.protocols import BINARY
from ..reader_study.task_ratings import TaskRatings
from .reader_detection_tables import OUTCOMES, lesion_scores, synthetic_scores, thresholds_of
from .reader_tables import KINDS, MEAN, by_reader

# Red and blue as in the paper; dashes tell them apart without colour.
KIND_STYLES = {"real": ("#c0392b", "-"), "synthetic": ("#2460a7", "--")}
READER_COLORS = ("#2460a7", "#c0392b", "#2e8b57", "#b8860b", "#7d3c98", "#5d6d7e")
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Curve:
    """A line of a ROC panel: its name, corners (K, 2) as `roc_points` gives them, area, colour and line style."""

    name: str
    points: np.ndarray
    area: float
    color: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """A ROC panel; `reasons` say why a curve is not there."""

    title: str
    curves: Sequence[Curve]
    reasons: Sequence[str] = ()


def lesion_panels(ratings: TaskRatings) -> list[Panel]:
    """Detection of lesions by the readers' mean, one panel an outcome, real and synthetic images apart."""
    complete = ratings.complete()
    panels = []
    for threshold in thresholds_of(ratings):
        lines = []
        for kind, synthetic in KINDS:
            lines.append((kind, *lesion_scores(complete.of_kind(synthetic), threshold), *KIND_STYLES[kind]))
        panels.append(_panel(f"{OUTCOMES[threshold]} (BI-RADS ≥ {threshold})", lines))
    return panels


def synthetic_panel(ratings: TaskRatings) -> Panel:
    """Detection of synthetic images: by the readers' mean where answers are binary, by each reader too where they rate.

    A binary answer is one point of a curve; ratings give a reader a curve, as Figure 6 of Montoya-del-Angel et al. 2023
    shows one.
    """
    parts = by_reader(ratings)
    if ratings.task.kind == BINARY:
        parts = parts[:1]
    colors = [
        "black" if reader == MEAN else READER_COLORS[k % len(READER_COLORS)] for k, (reader, _) in enumerate(parts)
    ]
    lines = [
        (reader, synthetic_scores(part), part.synthetic, color, "-")
        for (reader, part), color in zip(parts, colors, strict=True)
    ]
    return _panel("synthetic images", lines)


def roc_chart(panels: Sequence[Panel]) -> Figure:
    """ROC panels two in a row, lettered where there are several; the diagonal is chance."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(4.2 * columns, 4.2 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(places):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        letter = f"{chr(ord('A') + number)}  " if len(panels) > 1 else ""
        _draw_panel(axes, panels[number], letter)
    return figure


def box_chart(scales: Sequence[TaskRatings]) -> Figure:
    """Boxplots of each image's mean rating, real against synthetic, with the verdict of Wilcoxon's rank-sum test.

    Boxes span the quartiles, whiskers reach to the last value within 1.5 times that; ns: not significant, * p < 0.05,
    ** p < 0.01, *** p < 0.001.
    """
    figure = _figure(3.2 * len(scales) + 0.4, 4.0)
    places = figure.subplots(1, len(scales), squeeze=False)[0]
    for axes, ratings in zip(places, scales, strict=True):
        complete = ratings.complete()
        groups = {kind: complete.of_kind(synthetic).mean() for kind, synthetic in KINDS}
        names = [f"{kind}\n(n = {len(values)})" for kind, values in groups.items()]
        boxes = axes.boxplot(list(groups.values()), widths=0.5, patch_artist=True, medianprops={"color": "black"})
        for box, kind in zip(boxes["boxes"], groups, strict=True):
            box.set(facecolor=KIND_STYLES[kind][0], alpha=0.6)
        axes.set_xticks((1, 2), names)
        low, high = ratings.task.minimum, ratings.task.maximum
        top = high + 0.06 * (high - low)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.18 * (high - low))
        axes.set_yticks(range(low, high + 1))
        axes.plot((1, 1, 2, 2), (top - 0.02, top, top, top - 0.02), color="black", linewidth=1)
        axes.text(1.5, top, _verdict(groups["real"], groups["synthetic"]), ha="center", va="bottom", fontsize=9)
        axes.set_ylabel("mean rating of the readers" if len(ratings.readers) > 1 else "rating")
        axes.set_title(ratings.task.id, fontsize=10)
    return figure


def _panel(title: str, lines: Sequence[tuple[str, np.ndarray, np.ndarray, str, str]]) -> Panel:
    curves, reasons = [], []
    for name, scores, positive, color, style in lines:
        try:
            curves.append(Curve(name, roc_points(scores, positive), roc_auc(scores, positive), color, style))
        except NotDefinedError as error:
            reasons.append(f"{name}: not defined, {error}")
    return Panel(title, curves, reasons)


def _draw_panel(axes: Axes, panel: Panel, letter: str) -> None:
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle=":")
    for curve in panel.curves:
        label = f"{curve.name}: AUC {curve.area:.2f}"
        axes.plot(*curve.points.T, color=curve.color, linestyle=curve.style, linewidth=1.6, marker=".", label=label)
    for number, reason in enumerate(panel.reasons):
        axes.text(0.5, 0.5 - 0.07 * number, reason, ha="center", fontsize=7)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_title(f"{letter}{panel.title}", fontsize=10, loc="left")
    if panel.curves:
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _verdict(real: np.ndarray, synthetic: np.ndarray) -> str:
    try:
        p_value = rank_sum(real, synthetic).p_value
    except NotDefinedError as error:
        return f"not defined: {error}"
    return next((stars for bound, stars in STARS if p_value < bound), "ns")


def _figure(width: float, height: float) -> Figure:
    """A figure (inches) with a canvas of its own, so that neither pyplot nor a display is touched."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
