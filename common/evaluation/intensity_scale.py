"""The one intensity scale that images are compared on, stated in every report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
OWN, SET = "image", "set"


@dataclass(frozen=True)
class IntensityScale:
    """From image values to [0, 1].

    Attributes:
        low, high: values that become 0 and 1; None where each image has its own percentiles.
        words: for reports.
    """

    low: float | None
    high: float | None
    words: str

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The image on [0, 1], what lies outside cut off; float32. A constant image on its own scale becomes 0."""
        low, high = self.low, self.high
        if low is None or high is None:
            low, high = np.percentile(image, [LOW_PERCENT, HIGH_PERCENT])
        return np.clip((image - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)


def choose_scale(choice: str | Sequence[float], ranges: Sequence[tuple[float, float]]) -> IntensityScale:
    """The scale that a user asks for.

    Args:
        choice: `set` for the range of the real set, `image` for each image's own range, or two numbers.
        ranges: of each real image the 0.1 and 99.9 percentile.

    Raises:
        InputError: anything else, or two numbers without a span.
    """
    percentiles = f"{LOW_PERCENT} to {HIGH_PERCENT} percentile"
    if choice == OWN:
        return IntensityScale(None, None, f"each image by its own {percentiles} to [0, 1]")
    if choice == SET:
        low = min(low for low, _ in ranges)
        high = float(np.quantile([high for _, high in ranges], 0.95))
        if not high > low:
            raise InputError("scale: the real images are constant; nothing can be compared")
        words = (
            f"{low:.6g} to {high:.6g} become [0, 1], what lies outside is cut off; from the real set: lowest "
            f"{LOW_PERCENT} percentile, and the value that {HIGH_PERCENT} percentiles exceed in 5 % of the images"
        )
        return IntensityScale(low, high, words)
    if isinstance(choice, (list, tuple)) and len(choice) == 2 and all(isinstance(v, (int, float)) for v in choice):
        low, high = map(float, choice)
        if high > low:
            return IntensityScale(low, high, f"{low:.6g} to {high:.6g} become [0, 1], what lies outside is cut off")
    raise InputError(f'scale={choice}: give set, image, or two ascending numbers as "[0,255]"')
