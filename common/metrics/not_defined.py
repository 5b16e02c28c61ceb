"""Statistics that some data do not define."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NotDefinedError(ValueError):
    """A statistic has no value on these data; the message is the reason, such as "all ratings are equal"."""


def value_or_reason(compute: Callable[[], Any]) -> Any:
    """What `compute` returns, or the text "not defined: <reason>" where it raises `NotDefinedError`."""
    try:
        return compute()
    except NotDefinedError as error:
        return f"not defined: {error}"


def value_or_nan(compute: Callable[[], float]) -> float:
    """What `compute` returns, or NaN where it raises `NotDefinedError`: for the resamples of a bootstrap."""
    try:
        return compute()
    except NotDefinedError:
        return float("nan")
