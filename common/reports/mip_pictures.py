"""MIPs and their lesions as they are looked at: front up, the patient's right on the left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CLASS_COLORS = {2: (90, 200, 120), 3: (120, 190, 255), 4: (255, 220, 90), 5: (255, 150, 60), 6: (255, 80, 80)}


def display(plane: np.ndarray) -> np.ndarray:
    """Plane (X, Y, ...) in RAS axes to rows and columns of a picture."""
    return np.ascontiguousarray(plane[::-1, ::-1].swapaxes(0, 1))


def mip_picture(image: np.ndarray) -> np.ndarray:
    """MIP (X, Y) in [-1, 1] to grey (H, W) uint8."""
    return display((np.clip((image + 1) / 2, 0, 1) * 255).astype(np.uint8))


def class_picture(classes: np.ndarray) -> np.ndarray:
    """Class map (X, Y) to colour (H, W, 3) on black."""
    picture = np.zeros((*classes.shape, 3), np.uint8)
    for value, color in CLASS_COLORS.items():
        picture[classes == value] = color
    return display(picture)


def outlined(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """MIP (X, Y) with the outlines of its lesions in their class's colour, (H, W, 3) uint8."""
    picture = np.repeat(mip_picture(image)[..., None], 3, axis=-1)
    shown = display(classes)
    for value, color in CLASS_COLORS.items():
        inside = np.pad(shown == value, 1)
        core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        picture[(shown == value) & ~core] = color
    return picture


def legend(classes: Sequence[int]) -> str:
    """Classes of an examination in words."""
    return "BI-RADS " + ", ".join(map(str, sorted(set(classes)))) if classes else "BI-RADS 1, no lesion"
