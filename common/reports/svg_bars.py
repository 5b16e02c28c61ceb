"""Drawings within a report's HTML page as inline SVG: interval bars on one axis, and charts of lines.

Colours come from the page's style sheet, by class, so that the drawings follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .cells import floor_parts, format_value, is_finite, is_interval

BAR_WIDTH, BAR_HEIGHT, BAR_MARGIN = 150, 14, 5  # pixels
CHART_WIDTH, CHART_HEIGHT = 620, 340
CHART_LEFT, CHART_RIGHT, CHART_TOP, CHART_BOTTOM = 66, 14, 12, 48
NUM_COLORS = 7
DOTS_UP_TO = 15  # points of a line that are drawn one by one
Range = tuple[float, float]


def shared_axis(cells: Iterable[Any]) -> Range | None:
    """Round ends of the axis that all intervals of a column and their floors fit on; None where there is nothing."""
    values: list[Any] = []
    for cell in filter(is_interval, cells):
        floor, ends = floor_parts(cell)
        values += [cell["mean"], cell["low"], cell["high"], floor, *(ends or ())]
    values = [value for value in values if is_finite(value)]
    return round_ends(values) if values else None


def interval_bar(cell: Mapping[str, Any], axis: Range) -> str:
    """An interval as a bar, its value as a dot and its floor as a diamond, at their places on the axis."""
    middle = BAR_HEIGHT / 2
    parts = [f'<line class="track" x1="{BAR_MARGIN}" x2="{BAR_WIDTH - BAR_MARGIN}" y1="{middle}" y2="{middle}"/>']
    if is_finite(cell["low"]) and is_finite(cell["high"]):
        start, end = place(cell["low"], axis), place(cell["high"], axis)
        size = f'width="{_px(max(end - start, 1))}" height="6" rx="2"'
        parts.append(f'<rect class="interval" x="{_px(start)}" y="{middle - 3}" {size}/>')
    floor, ends = floor_parts(cell)
    if ends is not None:
        left, right = (_px(place(end, axis)) for end in ends)
        parts.append(f'<line class="floor" x1="{left}" x2="{right}" y1="{BAR_HEIGHT - 1}" y2="{BAR_HEIGHT - 1}"/>')
    if floor is not None:
        parts.append(f'<path class="floor" d="M{_px(place(floor, axis))} {middle - 5}l3 5l-3 5l-3 -5z"/>')
    if is_finite(cell["mean"]):
        parts.append(f'<circle class="value" cx="{_px(place(cell["mean"], axis))}" cy="{middle}" r="3.5"/>')
    return _svg("bar", BAR_WIDTH, BAR_HEIGHT, format_value(cell), parts)


def axis_ends(axis: Range) -> str:
    """The two ends of a column's axis, over its bars."""
    low, high = (escape(_number(end)) for end in axis)
    parts = [
        f'<text x="{BAR_MARGIN}" y="10">{low}</text>',
        f'<text x="{BAR_WIDTH - BAR_MARGIN}" y="10" text-anchor="end">{high}</text>',
    ]
    return _svg("ends", BAR_WIDTH, BAR_HEIGHT, f"axis from {low} to {high}", parts)


def place(value: float, axis: Range) -> float:
    """Pixels from the left edge of a bar's drawing."""
    return BAR_MARGIN + (value - axis[0]) / (axis[1] - axis[0]) * (BAR_WIDTH - 2 * BAR_MARGIN)


def line_chart(curve: Mapping[str, Any]) -> str:
    """A chart of the lines of `Curve.to_json`; an empty string where no point is finite."""
    points = [p for line in curve["series"].values() for p in line if all(map(is_finite, p))]
    if not points:
        return ""
    across, up = (round_ends([point[k] for point in points]) for k in (0, 1))
    right, bottom = CHART_WIDTH - CHART_RIGHT, CHART_HEIGHT - CHART_BOTTOM

    def at(point: Sequence[float]) -> tuple[float, float]:
        x = CHART_LEFT + (point[0] - across[0]) / (across[1] - across[0]) * (right - CHART_LEFT)
        y = bottom - (point[1] - up[0]) / (up[1] - up[0]) * (bottom - CHART_TOP)
        return x, y

    parts = []
    for tick in ticks(*across):
        x = _px(at((tick, up[0]))[0])
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{CHART_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>')
    for tick in ticks(*up):
        y = at((across[0], tick))[1]
        parts.append(f'<line class="grid" x1="{CHART_LEFT}" x2="{right}" y1="{_px(y)}" y2="{_px(y)}"/>')
        parts.append(f'<text x="{CHART_LEFT - 7}" y="{_px(y + 4)}" text-anchor="end">{_number(tick)}</text>')
    center = (CHART_LEFT + right) / 2, (CHART_TOP + bottom) / 2
    label = f'text-anchor="middle" x="{center[0]}" y="{CHART_HEIGHT - 10}"'
    parts.append(f'<text class="label" {label}>{escape(curve["x_label"])}</text>')
    label = f'text-anchor="middle" transform="translate(15 {center[1]}) rotate(-90)"'
    parts.append(f'<text class="label" {label}>{escape(curve["y_label"])}</text>')
    for number, line in enumerate(curve["series"].values()):
        parts += _line(number, [at(point) if all(map(is_finite, point)) else None for point in line])
    return _svg("chart", CHART_WIDTH, CHART_HEIGHT, f"{curve['y_label']} against {curve['x_label']}", parts)


def swatch(number: int) -> str:
    """A short piece of line number `number`, for a legend."""
    return _svg("swatch", 22, 10, "", [f'<line class="{_class(number)}" x1="1" x2="21" y1="5" y2="5"/>'])


def round_ends(values: Sequence[float]) -> Range:
    """Ends of an axis around values, at multiples of its step."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        half = abs(low) / 2 or 0.5
        low, high = low - half, high + half
    step = _step(low, high)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two ends: four to about ten."""
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _step(low: float, high: float) -> float:
    wanted = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))


def _line(number: int, places: Sequence[tuple[float, float] | None]) -> list[str]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in places:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    drawn = []
    for piece in filter(None, pieces):
        path = " ".join(f"{_px(x)},{_px(y)}" for x, y in piece)
        drawn.append(f'<polyline class="{_class(number)}" points="{path}"/>')
        if len(places) <= DOTS_UP_TO:
            dot = f'class="dot {_class(number)}" r="2.6"'
            drawn += [f'<circle {dot} cx="{_px(x)}" cy="{_px(y)}"/>' for x, y in piece]
    return drawn


def _class(number: int) -> str:
    """Colours repeat after the last, with dashes."""
    return f"line c{number % NUM_COLORS}" + (" dashed" if number >= NUM_COLORS else "")


def _svg(kind: str, width: int, height: int, label: str, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    named = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return f'<svg class="{kind}" {size} {named}>{"".join(parts)}</svg>'


def _number(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"


def _px(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
