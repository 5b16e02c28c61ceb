"""Lesions as single masks to one map of lesion numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..errors import InputError
from .label_meanings import MAX_INSTANCE

logger = logging.getLogger(__name__)

MAX_LESIONS = 200  # in one image; more are noise
NEIGHBOURS = np.ones((3, 3), int)  # pixels that touch at a corner belong together
Lesion = tuple[int | None, int, np.ndarray]  # number (None: yet to be given), class, mask


def components(mask: np.ndarray, where: str) -> list[np.ndarray]:
    """Connected parts of a mask (X, Y); pixels that touch at a corner are connected.

    Raises:
        InputError: more than any image has lesions.
    """
    numbers, count = ndimage.label(mask, NEIGHBOURS)
    if count > MAX_LESIONS:
        raise InputError(f"{where}: {count} separate parts of one class; this is no mask of lesions, remove its specks")
    return [numbers == number for number in range(1, count + 1)]


def paint(lesions: Sequence[Lesion], shape: tuple[int, int], where: str) -> tuple[np.ndarray, dict[int, int]]:
    """Lesions, each (number or None, class, mask), to one map of numbers and the classes.

    Where lesions overlap, the higher class wins, among equals the later one; what is wholly covered is dropped and
    logged. Lesions without a number are numbered from 1 in their order.
    """
    owner = np.full(shape, -1)
    for place in sorted(range(len(lesions)), key=lambda place: lesions[place][1]):
        owner[lesions[place][2]] = place
    seen = [place for place in range(len(lesions)) if (owner == place).any()]
    if len(seen) < len(lesions):
        logger.warning(f"{where}: {len(lesions) - len(seen)} lesions are wholly covered by others and are left out")
    if len(seen) > MAX_INSTANCE:
        raise InputError(f"{where}: {len(seen)} separate lesions; this is not a mask of lesions")
    instances, classes = np.zeros(shape, np.uint16), {}
    for order, place in enumerate(seen, 1):
        number = lesions[place][0] or order
        instances[owner == place] = number
        classes[number] = lesions[place][1]
    return instances, classes
