"""Images of any size, depth and range made alike, so that nothing but what they show tells where they come from.

All get one grid, one range that each of them fills, one number of grey levels, a background of exactly 0, and files of
one size without any text. Interpolation smooths and fills gaps between grey levels, so that either all images are
interpolated or none; levels come last, because interpolation would make new ones.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..io.files import write_atomically
from .source_images import Plane

WHITE = 65535
PERCENTILES = (0.1, 99.9)
# What is darker than this share of the window is black, so that air with noise and air without it are alike.
BLACK = 0.03
FEWEST_LEVELS, MOST_LEVELS, PIXELS_A_LEVEL = 16, 4096, 64
# 1980-01-01, the earliest time that all archives and file systems can hold.
FILE_TIME = 315532800


@dataclass(frozen=True)
class Form:
    """What all images of a study have in common.

    Attributes:
        size: (H, W) of the files.
        side: pixels of the longer side of what an image shows; the rest is padded.
        levels: grey levels, evenly from 0 to 65535.
        interpolated: whether any image has to be, so that all are.
    """

    size: tuple[int, int]
    side: int
    levels: int
    interpolated: bool


def common_form(planes: Sequence[Plane], levels: Sequence[int], side: int | None = None) -> Form:
    """The form that loses least without telling anything.

    Nothing is enlarged, since that would blur it: the longer side is that of the smallest image. Levels are the largest
    power of two that every image has as distinct values within its window, at most 4096 and at most one for 64 pixels:
    an image of 8 bits brings all to its own levels.

    Args:
        planes: all images.
        levels: `grey_levels` of each, at least `FEWEST_LEVELS`.
        side: another longer side.
    """
    side = side or min(max(_fitted(plane, None)) for plane in planes)
    shapes = np.array([_fitted(plane, side) for plane in planes])
    size = tuple(int(n) for n in shapes.max(0))
    most = min(*levels, MOST_LEVELS, max(FEWEST_LEVELS, math.prod(size) // PIXELS_A_LEVEL))
    interpolated = any(_fitted(plane, side) != plane.pixels.shape for plane in planes)
    return Form(size, side, 1 << int(math.log2(most)), interpolated)


def grey_levels(pixels: np.ndarray) -> int:
    """Distinct values of an image within its window, black left out."""
    low, high = _window(pixels)
    return len(np.unique(pixels[(pixels >= low) & (pixels <= high)]))


def blinded(plane: Plane, form: Form) -> np.ndarray:
    """One image in the study's form, (H, W) uint16; its darkest pixel is 0 and its brightest 65535."""
    pixels = _interpolated(plane, form.side) if form.interpolated else plane.pixels
    low, high = _window(pixels)
    shown = np.clip((pixels.astype(np.float64) - low) / (high - low), 0, 1)
    steps = np.minimum(np.floor(shown * form.levels), form.levels - 1)
    image = np.rint(steps * (WHITE / (form.levels - 1))).astype(np.uint16)
    missing = np.array(form.size) - image.shape
    before = missing // 2
    return np.pad(image, [(int(b), int(m - b)) for b, m in zip(before, missing, strict=True)])


def save_blinded(path: str | Path, image: np.ndarray) -> None:
    """Write (H, W) uint16 as PNG without compression, text or time: files of one grid have one size."""
    picture = Image.fromarray(image)
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG", compress_level=0))
    os.utime(path, (FILE_TIME, FILE_TIME))


def _interpolated(plane: Plane, side: int) -> np.ndarray:
    """An image on its part of the grid; one that lies on it already is moved by half a pixel."""
    shape = _fitted(plane, side)
    picture = Image.fromarray(np.pad(plane.pixels.astype(np.float32), 1, mode="edge"))
    shift = 1.5 if shape == plane.pixels.shape else 1.0
    height, width = plane.pixels.shape
    box = (shift, shift, width + shift, height + shift)
    # Pillow widens its kernel when it shrinks, so that nothing aliases.
    pixels = np.asarray(picture.resize(shape[::-1], Image.Resampling.BICUBIC, box))
    # Beside sharp edges it goes below the background, which then would not be the darkest.
    return np.clip(pixels, plane.pixels.min(), plane.pixels.max())


def _fitted(plane: Plane, side: int | None) -> tuple[int, int]:
    """(H, W) with square pixels; the longer of them is `side`, or as many as the file has along it."""
    height, width = plane.pixels.shape
    # The direction with the coarser pixels keeps them, the other one shrinks.
    height, width = (height, width / plane.aspect) if plane.aspect > 1 else (height * plane.aspect, width)
    scale = 1 if side is None else side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _window(pixels: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(pixels, PERCENTILES))
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    return low + BLACK * (high - low), high
