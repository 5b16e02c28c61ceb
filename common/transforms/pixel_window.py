"""From stored pixel values to display values in [0, 1], and back.

A window is kept as a monotone table, whatever made it (a line, a sigmoid, a lookup table, an inversion): one rule then
serves all files, and a display value that a network made finds its way back to the stored value that shows as it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class PixelWindow:
    """A monotone map from stored values to display values; linear between its knots, constant beyond them.

    Attributes:
        values: stored values of the knots, rising, float64 (N,), N >= 2.
        shown: display values of the knots in [0, 1], 0 black and 1 white, all rising or all falling, float64 (N,).
        stored_range: the smallest and the largest value that the file can hold.

    Raises:
        InputError: the knots do not rise, the window shows everything alike, or neither rises nor falls.
    """

    values: np.ndarray
    shown: np.ndarray
    stored_range: tuple[float, float]

    def __post_init__(self) -> None:
        values, shown = np.asarray(self.values, np.float64), np.asarray(self.shown, np.float64)
        if values.ndim != 1 or values.shape != shown.shape or values.size < 2 or (np.diff(values) <= 0).any():
            raise InputError("window: its stored values do not rise; check the window or lookup table of the file")
        steps = np.diff(shown)
        if not np.isfinite(shown).all() or shown.min() < 0 or shown.max() > 1:
            raise InputError("window: its display values leave 0 to 1; check the window or lookup table of the file")
        if not steps.any():
            raise InputError("window: shows every stored value alike; check the window or lookup table of the file")
        if (steps > 0).any() and (steps < 0).any():
            raise InputError("window: rises and falls, so that it cannot be turned back; give an image with another")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "shown", shown)

    @classmethod
    def linear(
        cls, low: float, high: float, stored_range: tuple[float, float] | None = None, inverted: bool = False
    ) -> PixelWindow:
        """`low` is black and `high` white, or the other way round if `inverted`; the stored range is theirs if None."""
        shown = [1.0, 0.0] if inverted else [0.0, 1.0]
        return cls(np.array([low, high], np.float64), np.array(shown), stored_range or (low, high))

    @property
    def inverted(self) -> bool:
        """Whether large stored values are dark."""
        return bool(self.shown[-1] < self.shown[0])

    def display(self, stored: np.ndarray) -> np.ndarray:
        """Display values of stored ones, any shape; float32 in [0, 1]."""
        stored = np.asarray(stored)
        if stored.dtype.kind in "ui" and stored.size:
            low, high = int(stored.min()), int(stored.max())
            if high - low < max(stored.size, 1 << 16):
                # Looking values up is ten times faster than interpolating each pixel of a mammogram.
                table = np.interp(np.arange(low, high + 1), self.values, self.shown).astype(np.float32)
                return table[stored.astype(np.int64) - low]
        return np.interp(stored, self.values, self.shown).astype(np.float32)

    def stored(self, display: np.ndarray) -> np.ndarray:
        """The stored values that show as these display values, not rounded; float64 within `stored_range`.

        Where several stored values show alike, the middle of them is taken; black and white give the end of the window,
        not of the range.
        """
        knots, values = self._inverse()
        found = np.interp(np.asarray(display, np.float64), knots, values)
        return np.clip(found, *self.stored_range)

    def _inverse(self) -> tuple[np.ndarray, np.ndarray]:
        """Display values, strictly rising, and the stored value of each."""
        shown, values = (self.shown[::-1], self.values[::-1]) if self.inverted else (self.shown, self.values)
        knots, first = np.unique(shown, return_index=True)
        last = np.append(first[1:], len(shown)) - 1
        middle = (values[first] + values[last]) / 2
        middle[0], middle[-1] = values[last[0]], values[first[-1]]
        return knots, middle


def window_of_depth(pixels: np.ndarray, inverted: bool = False) -> PixelWindow:
    """The window of an image whose file does not say one: all values of the fewest bits that hold its maximum.

    So 8-bit pictures are read from 0 to 255, 16-bit ones from 0 to 65535, and 12-bit pixels in a 16-bit file from 0 to
    4095. At least half of the range is in use.

    Args:
        pixels: unsigned integers, any shape.
        inverted: whether 0 is white.

    Raises:
        InputError: every pixel is 0.
    """
    largest = int(pixels.max(initial=0))
    if largest == 0:
        raise InputError("every pixel is 0; give an image")
    return PixelWindow.linear(0, (1 << largest.bit_length()) - 1, inverted=inverted)


def window_of_percentiles(
    pixels: np.ndarray,
    stored_range: tuple[float, float],
    percentiles: Sequence[float] = (0.1, 99.9),
    inverted: bool = False,
) -> PixelWindow:
    """The window between two percentiles of an image, for pixels without any scale of their own.

    Raises:
        InputError: the image is constant.
    """
    low, high = (float(value) for value in np.percentile(pixels, percentiles))
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        raise InputError(f"every pixel is {low:g}; give an image")
    return PixelWindow.linear(low, high, stored_range, inverted)
