"""Confusion matrices of BI-RADS classes, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..cohorts.lesion_classes import CLASSES
from .kinetics_plots import save_chart


def confusion_chart(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Counts in cells that are the darker the larger their share of the row.

    Args:
        matrices: by title, each (5, 6) as `confusion_matrix` makes it.
    """
    figure = Figure(figsize=(4.2 * len(matrices), 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=9)
        axes.set_xticks(range(len(CLASSES) + 1), [*map(str, CLASSES), "missed"], fontsize=8)
        axes.set_yticks(range(len(CLASSES)), list(map(str, CLASSES)), fontsize=8)
        axes.set_xlabel("BI-RADS class as read")
        axes.set_ylabel("BI-RADS class asked for")
        axes.set_title(f"{title} images ({int(matrix.sum())} lesions)", fontsize=10)
    return figure


def save_confusion_chart(path: str | Path, matrices: Mapping[str, np.ndarray]) -> None:
    """Write `confusion_chart` as PNG, atomically; the same matrices give the same bytes."""
    save_chart(path, confusion_chart(matrices))
