"""How phantom mammograms are stored: each patient's files have one of the windows that real ones come with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BITS = {"hologic": 12, "siemens": 14}
LUT_POWER = 1.4  # display = (stored / largest)^LUT_POWER
DARKEST = 0.003  # display of stored 0 under a sigmoid, which never reaches black


@dataclass(frozen=True)
class Storage:
    """Bits, photometric interpretation and window of one patient's files.

    Attributes:
        bits: stored bits.
        photometric: MONOCHROME2, or MONOCHROME1 where small stored values are white.
        kind: linear, sigmoid or lut.
    """

    bits: int
    photometric: str
    kind: str

    def encode(self, display: np.ndarray) -> np.ndarray:
        """Stored values, uint16, that the window shows as `display` in [0, 1].

        A sigmoid shows nothing below 0.003 or above 0.997; the other windows are exact within rounding.
        """
        value = 1 - np.asarray(display, np.float64) if self.photometric == "MONOCHROME1" else np.asarray(display, float)
        largest = 2**self.bits - 1
        if self.kind == "lut":
            stored = value ** (1 / LUT_POWER) * largest
        elif self.kind == "sigmoid":
            centre, width = self._window()
            value = np.clip(value, DARKEST, 1 - DARKEST)
            stored = centre + width / 4 * np.log(value / (1 - value))
        else:
            low, high = self._ends()
            stored = low + value * (high - low)
        return np.clip(np.rint(stored), 0, largest).astype(np.uint16)

    def tags(self) -> dict[str, Any]:
        """Arguments of `write_mammogram_dicom` that say how to show the stored values."""
        tags: dict[str, Any] = {"bits_stored": self.bits, "photometric": self.photometric}
        if self.kind == "lut":
            largest = 2**self.bits - 1
            entries = np.rint((np.arange(largest + 1) / largest) ** LUT_POWER * 65535).astype(np.uint16)
            return tags | {"lut": (0, entries)}
        return tags | {"window": self._window(), "voi_function": "SIGMOID" if self.kind == "sigmoid" else "LINEAR"}

    def _ends(self) -> tuple[int, int]:
        """Stored values of black and white (white and black in MONOCHROME1) under a linear window."""
        largest = 2**self.bits - 1
        return round(0.04 * largest), round(0.92 * largest)

    def _window(self) -> tuple[float, float]:
        """Centre and width as DICOM's PS3.3 C.11.2.1.2 and C.11.2.1.3.1 define them."""
        if self.kind == "sigmoid":
            centre = 2.0 ** (self.bits - 1)
            return centre, 4 * centre / float(np.log(1 / DARKEST - 1))
        low, high = self._ends()
        return low + (high - low) / 2 + 0.5, high - low + 1.0


def draw_storage(seed: int, vendor: str) -> Storage:
    """How the files of patient `seed` are stored.

    Hologic: 12 bits, a linear window or, for one patient in four, a VOI LUT. Siemens: 14 bits, a linear window or, for
    one patient in four, a sigmoid; small values are white for one in three.
    """
    rng = np.random.default_rng([seed, 20231123])
    special, inverted = rng.random() < 1 / 4, rng.random() < 1 / 3
    if vendor == "hologic":
        return Storage(BITS[vendor], "MONOCHROME2", "lut" if special else "linear")
    return Storage(BITS[vendor], "MONOCHROME1" if inverted else "MONOCHROME2", "sigmoid" if special else "linear")
