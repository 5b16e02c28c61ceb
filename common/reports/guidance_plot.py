"""Plot of diversity and distance over the guidance scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..io.files import write_atomically

FLOOR_COLOR = "0.5"


def save_guidance_plot(path: str | Path, rows: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> None:
    """Write a PNG: each measure with its interval over guidance, and that of real images as a line.

    Args:
        path: the file.
        rows: with `guidance` and measures as `mean_with_interval`; others are left out.
        reference: the same measures of real images, as far as there are any.
    """
    names = [name for name, value in rows[0].items() if isinstance(value, Mapping)]
    figure = Figure(figsize=(3.6 * len(names), 3.2), layout="constrained")
    FigureCanvasAgg(figure)  # of its own: neither pyplot nor a display is touched
    guidance = [row["guidance"] for row in rows]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = [row[name] for row in rows]
        reach = [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]]
        # The percentile interval of a KID may miss the estimate; a bar has no negative length.
        reach = [[max(length, 0.0) for length in side] for side in reach]
        axes.errorbar(guidance, [v["mean"] for v in values], reach, marker="o", capsize=3, label="SYNTHETIC")
        if isinstance(reference.get(name), Mapping):
            axes.axhline(reference[name]["mean"], color=FLOOR_COLOR, linestyle="--", label="real images")
        axes.set(title=name.replace("_", " "), xlabel="guidance")
        axes.legend(fontsize=8)
    # Neither date nor version: they would make equal plots differ.
    facts = {"Description": "SYNTHETIC images of a generative model against real ones", "Software": None}
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata=facts))
