"""The values of a report: what goes into JSON, and how one cell reads as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

NOT_DEFINED = "n/a"


def format_value(value: Any, exact: bool = False) -> str:
    """A number to three significant digits, a mean with its interval (and floor), a list, a mapping, or text.

    NaN, infinity and None read "n/a". A mean whose interval is not defined stands alone.

    Args:
        value: as in JSON, or NaN or infinity.
        exact: numbers with all their digits, as settings need them.
    """
    if is_interval(value):
        text = format_value(value["mean"], exact)
        if is_finite(value["low"]) and is_finite(value["high"]):
            text += f" ({format_value(value['low'], exact)} to {format_value(value['high'], exact)})"
        return text + (f", floor {format_value(value['floor'], exact)}" if value.get("floor") is not None else "")
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {format_value(item, exact)}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(item, exact) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return NOT_DEFINED
    if isinstance(value, float):
        return f"{value:.15g}" if exact else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def is_interval(value: Any) -> bool:
    """Whether a cell is a figure with an interval: a mapping with `mean`, `low` and `high`; often `n` and `floor`."""
    return isinstance(value, Mapping) and {"mean", "low", "high"} <= set(value)


def is_finite(value: Any) -> bool:
    """Whether a value is a number that can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def floor_parts(cell: Any) -> tuple[float | None, tuple[float, float] | None]:
    """The value of a cell's floor and the ends of its interval; None each where there is none."""
    floor = cell.get("floor") if is_interval(cell) else None
    if not is_interval(floor):
        return (floor if is_finite(floor) else None), None
    ends = floor["low"], floor["high"]
    return (floor["mean"] if is_finite(floor["mean"]) else None), (ends if all(map(is_finite, ends)) else None)


def shared_n(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """The number of cases that every interval of a table rests on; None where they differ or none says so."""
    numbers = {cell.get("n") for row in rows for cell in row.values() if is_interval(cell)}
    return numbers.pop() if len(numbers) == 1 else None


def plain(value: Any) -> Any:
    """A value as JSON has it: NaN and infinity become null, NumPy's numbers and arrays Python's, paths text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
