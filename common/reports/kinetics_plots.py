"""Charts of contrast kinetics, real against synthetic, after Figures 7 and 8 of Osuala et al. 2024."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import InputError
from ..io.files import write_atomically

REAL, SYNTHETIC, PRE = "#1f5f99", "#d1662b", "#808080"
PHASE_COLORS = ("#3b6fb6", "#2e9e6b", "#d98c1f", "#a8447f", "#6b6b6b")
MARKER_AREA = 140.0  # points squared, of the largest deviation in a chart
DESCRIPTION = "SYNTHETIC: holds measurements of synthetic images"


def cohort_chart(
    real: np.ndarray,
    synthetic: np.ndarray,
    pre: np.ndarray,
    unit: str = "intensity",
    numbers: Sequence[int] | None = None,
) -> Figure:
    """Mean over lesions at each phase, real against synthetic, with the pre-contrast mean as a flat line.

    Bars span one standard deviation over lesions to each side.

    Args:
        real, synthetic: means in the lesions, (N, K), N lesions and K phases after contrast; rows pair.
        pre: means before contrast, (N,).
        unit: of the intensities, for the axis.
        numbers: of the phases; 1 and on without.

    Raises:
        InputError: shapes that do not pair, or values that are not finite.
    """
    real, synthetic, pre = np.asarray(real, float), np.asarray(synthetic, float), np.asarray(pre, float)
    _check(real, synthetic, pre=pre)
    figure = _figure(5.8, 3.6)
    axes = figure.add_subplot()
    phases = np.arange(1, real.shape[1] + 1)
    axes.axhline(pre.mean(), color=PRE, linestyle="--", linewidth=1.2, label="pre-contrast")
    for values, name, color, marker, aside in (
        (real, "real", REAL, "o", -0.04),
        (synthetic, "synthetic", SYNTHETIC, "X", 0.04),  # side by side, or bars would hide each other
    ):
        axes.errorbar(
            phases + aside,
            values.mean(axis=0),
            yerr=values.std(axis=0),
            color=color,
            marker=marker,
            capsize=3,
            linewidth=1.5,
            label=name,
        )
    axes.set_xticks(phases, [f"phase {number}" for number in numbers or phases])
    axes.set_ylabel(f"mean in the lesion ({unit})")
    axes.set_title(f"SYNTHETIC and real contrast enhancement, {len(real)} lesions", fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def lesion_chart(
    real: np.ndarray,
    synthetic: np.ndarray,
    real_std: np.ndarray,
    synthetic_std: np.ndarray,
    names: Sequence[str],
    unit: str = "intensity",
    numbers: Sequence[int] | None = None,
) -> Figure:
    """Every lesion in a column: circle real, cross synthetic, colour by phase, area by the deviation in the lesion.

    Args:
        real, synthetic: means in the lesions, (N, K).
        real_std, synthetic_std: standard deviations in the lesions, (N, K), 0 or more.
        names: one a lesion.
        unit: of the intensities, for the axis.
        numbers: of the phases; 1 and on without.

    Raises:
        InputError: shapes that do not pair, or values that are not finite.
    """
    arrays = [np.asarray(values, float) for values in (real, synthetic, real_std, synthetic_std)]
    _check(*arrays)
    if len(names) != len(arrays[0]):
        raise InputError(f"{len(names)} names for {len(arrays[0])} lesions: give one for each")
    largest = max(arrays[2].max(), arrays[3].max()) or 1.0
    figure = _figure(max(4.8, 0.32 * len(names) + 1.8), 4.0)
    axes = figure.add_subplot()
    columns = np.arange(len(names))
    for phase in range(arrays[0].shape[1]):
        color = PHASE_COLORS[phase % len(PHASE_COLORS)]
        areas = [MARKER_AREA * std[:, phase] / largest for std in arrays[2:]]
        axes.scatter(columns, arrays[0][:, phase], areas[0], marker="o", facecolors="none", edgecolors=color)
        axes.scatter(columns, arrays[1][:, phase], areas[1], marker="x", color=color)
    axes.set_xticks(columns, names, rotation=90, fontsize=8)
    axes.set_ylabel(f"mean in the lesion ({unit})")
    axes.set_title("SYNTHETIC (cross) and real (circle) lesions by phase; size: deviation", fontsize=10)
    keys = [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="none", color="black", label="real"),
        Line2D([], [], linestyle="", marker="x", color="black", label="synthetic"),
    ]
    keys += [
        Line2D([], [], linestyle="", marker="s", color=PHASE_COLORS[phase % len(PHASE_COLORS)], label=f"phase {number}")
        for phase, number in enumerate(numbers or range(1, arrays[0].shape[1] + 1))
    ]
    axes.legend(handles=keys, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def save_chart(path: str | Path, figure: Figure, facts: Mapping[str, str] | None = None) -> None:
    """Write a chart as PNG, atomically; the same chart gives the same bytes.

    Args:
        path: file ending in `.png`.
        figure: of `cohort_chart` or `lesion_chart`.
        facts: further text for the metadata, beside the description that says SYNTHETIC.
    """
    # Neither date nor version: they would make equal charts differ.
    metadata = {"Description": DESCRIPTION, "Software": None, **(facts or {})}
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150, metadata=metadata))


def _figure(width: float, height: float) -> Figure:
    """A figure (inches) with a canvas of its own, so that neither pyplot nor a display is touched."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _check(first: np.ndarray, *others: np.ndarray, pre: np.ndarray | None = None) -> None:
    if first.ndim != 2 or first.size == 0 or any(other.shape != first.shape for other in others):
        shapes = ", ".join(str(values.shape) for values in (first, *others))
        raise InputError(f"tables of {shapes}: give equal ones of (lesions, phases), at least one each")
    if pre is not None and pre.shape != first.shape[:1]:
        raise InputError(f"{pre.shape} pre-contrast means for {len(first)} lesions: give one for each")
    if not all(np.isfinite(values).all() for values in (first, *others, *([] if pre is None else [pre]))):
        raise InputError("a lesion's mean or deviation is not finite; leave that lesion out of the chart")
