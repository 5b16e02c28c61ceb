"""A lesion's mask from one breast at the like place of another."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve

from ..errors import InputError


def move_lesion(lesion: np.ndarray, breast: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The mask, shifted to where it lies wholly in another breast.

    It goes to the same relative place between the edges of the breast's bounding box, or to the nearest where it fits.

    Args:
        lesion: bool (H, W), in `breast`.
        breast: bool (H, W).
        other: bool (H, W), the breast that it goes to; may be of another shape.

    Returns:
        bool of the shape of `other`; None where it fits nowhere.

    Raises:
        InputError: an empty mask.
    """
    boxes = [ndimage.find_objects(np.asarray(mask, np.uint8)) for mask in (lesion, breast, other)]
    if not all(boxes):
        raise InputError("lesion: its mask or a breast's is empty; it cannot be moved")
    own, before, after = (found[0] for found in boxes)
    stamp = np.asarray(lesion, bool)[own]
    if any(small > large for small, large in zip(stamp.shape, np.shape(other), strict=True)):
        return None
    # Pixels of the stamp that would lie outside the breast, by the place of its upper left corner.
    outside = fftconvolve(~np.asarray(other, bool), stamp[::-1, ::-1].astype(float), mode="valid")
    places = np.argwhere(outside < 0.5)
    if not len(places):
        return None
    target = [
        there.start
        + (part.start + part.stop - 2 * here.start) / (2 * (here.stop - here.start)) * _length(there)
        - _length(part) / 2
        for part, here, there in zip(own, before, after, strict=True)
    ]
    row, column = places[np.argmin(((places - target) ** 2).sum(1))]
    moved = np.zeros(np.shape(other), bool)
    moved[row : row + stamp.shape[0], column : column + stamp.shape[1]] = stamp
    return moved


def _length(extent: slice) -> int:
    return extent.stop - extent.start
