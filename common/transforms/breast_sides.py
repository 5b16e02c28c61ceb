"""One breast at a time: where a bilateral volume is cut, from the image alone, never from the tumour's mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .breast_mask import body_mask, cleft_column

SIDES = ("R", "L")
WHOLE = "B"
# How a volume can be cut: each breast for itself, or not at all.
CROPS = ("breast", "none")
# A narrower field of view without a cleft is taken for one breast.
BILATERAL_MM = 240.0


def breast_sides(image: np.ndarray, spacing: Sequence[float]) -> dict[str, tuple[int, int]]:
    """First and last-plus-one column of each side, in the order of the columns.

    The cut is the cleft between the breasts. A volume without one is cut in the body's middle where it is wide enough
    for two breasts, and stays whole otherwise.

    Args:
        image: (X, Y, Z), LPS axes (columns run from the patient's right to the left), any unit.
        spacing: millimetres along X, Y, Z.

    Returns:
        `R` and `L`, or `B` (everything); together they cover all columns once.

    Raises:
        InputError: the volume is empty or constant.
    """
    width = image.shape[0]
    to_ras = np.asarray(image)[::-1, ::-1]
    body = body_mask(to_ras, spacing)
    cut = cleft_column(body, spacing)
    if cut is None:
        columns = np.flatnonzero(body.any(axis=(1, 2)))
        if (columns[-1] - columns[0] + 1) * spacing[0] < BILATERAL_MM:
            return {WHOLE: (0, width)}
        cut = int(columns[0] + columns[-1]) // 2
    cut = width - 1 - cut
    return {SIDES[0]: (0, cut), SIDES[1]: (cut, width)}
