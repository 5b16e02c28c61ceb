"""Outlines of phantom breasts in a mammogram: one smooth edge per view, scaled until the breast has a given area.

Everything here has the chest wall at the left image edge, and lengths are shares of the image's height. Seen from the
chest wall an outline is one width a row, so that areas are sums over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

LARGEST_DEPTH = 0.97  # of the image's width
NIPPLE_MM = (2.6, 3.6)  # standard deviation along the skin, and how far it stands out
SMALLEST_SCALE, LARGEST_SCALE = 0.05, 4.0


@dataclass(frozen=True)
class Outline:
    """One view of a breast, chest wall at the left.

    Attributes:
        breast: (H, W), bool, pectoral muscle included.
        pectoral: (H, W), bool; nothing in a cranio-caudal view.
        nipple: (row, column) where the nipple's base lies, pixels.
    """

    breast: np.ndarray
    pectoral: np.ndarray
    nipple: tuple[float, float]


def draw_outline(
    rng: np.random.Generator, view: str, area_ratio: float, shape: tuple[int, int], spacing_mm: float
) -> Outline:
    """Random outline whose breast takes `area_ratio` of the square that encloses the image.

    Args:
        rng: of the phantom's anatomy.
        view: CC, or MLO with the pectoral muscle at the top and the inframammary fold below.
        area_ratio: breast pixels (with pectoral muscle) by max(H, W) squared; met within a few rows' rounding.
        shape: (H, W) pixels.
        spacing_mm: pixel size.

    Raises:
        InputError: the image is too narrow for so large a breast.
    """
    height, width = shape
    rows = (np.arange(height) + 0.5) / height
    limit = LARGEST_DEPTH * width / height
    edge, pectoral_edge = (_mlo if view == "MLO" else _cc)(rng, rows, limit)
    bump = _nipple(rng, rows, height * spacing_mm)

    def widths(scale: float) -> tuple[np.ndarray, float]:
        bare, depth = edge(scale)
        row = float(rows[np.argmax(bare)])
        return np.minimum(bare + bump(row), width / height), depth

    wanted = area_ratio * max(shape) ** 2 / height  # pixels of width, summed over rows, by the height
    low, high = SMALLEST_SCALE, LARGEST_SCALE
    if widths(high)[0].sum() < wanted:
        raise InputError(f"area_ratio={area_ratio:.2f} does not fit into {height} x {width} pixels; use a wider image")
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if widths(middle)[0].sum() < wanted else (low, middle)
    profile, depth = widths(high)
    columns = (np.arange(width) + 0.5) / height
    breast = columns < profile[:, None]
    pectoral = columns < np.minimum(pectoral_edge(profile, depth), 0.85 * profile)[:, None]
    row = int(np.argmax(edge(high)[0]))
    return Outline(breast, pectoral, (float(row), float(edge(high)[0][row] * height)))


def _cc(rng: np.random.Generator, rows: np.ndarray, limit: float) -> tuple[Callable, Callable]:
    """Half an ellipse with blunter ends, a little uneven. Returns widths(scale) and no pectoral muscle."""
    centre = 0.5 + np.clip(rng.normal(0, 0.02), -0.04, 0.04)
    depth, halves = rng.uniform(0.85, 1.1), rng.uniform(0.92, 1.08, 2)
    powers = rng.uniform((1.9, 1.8), (2.4, 2.2))
    uneven = _wobble(rng, rows, 0.018)

    def widths(scale: float) -> tuple[np.ndarray, float]:
        reach = min(scale * depth * 0.5, limit)
        half = np.where(rows < centre, *halves) * scale * 0.5
        return reach * _dome((rows - centre) / half, powers) * uneven, reach

    return widths, lambda profile, reach: np.zeros_like(profile)


def _mlo(rng: np.random.Generator, rows: np.ndarray, limit: float) -> tuple[Callable, Callable]:
    """A pear: a long upper slope into the armpit, a short round lower half, and the fold with a strip of abdomen."""
    centre = rng.uniform(0.55, 0.62)
    depth, upper, lower = rng.uniform(0.85, 1.05), rng.uniform(1.15, 1.35), rng.uniform(0.72, 0.86)
    powers = rng.uniform((1.7, 1.7), (2.1, 2.1))
    armpit, abdomen = rng.uniform(0.34, 0.46), rng.uniform(0.05, 0.09)
    muscle_width, muscle_length = rng.uniform(0.66, 0.84), rng.uniform(0.85, 1.08)
    uneven = _wobble(rng, rows, 0.015)

    def widths(scale: float) -> tuple[np.ndarray, float]:
        reach = min(scale * depth * 0.5, limit)
        half = np.where(rows < centre, upper, lower) * scale * 0.5
        body = reach * _dome((rows - centre) / half, powers)
        shoulder = armpit * (0.25 + 0.6 * reach) * np.clip(1 - 0.8 * rows / centre, 0, 1)
        strip = abdomen * (0.3 + reach) * np.clip((rows - centre) / 0.15, 0, 1)
        return (body**4 + shoulder**4 + strip**4) ** 0.25 * uneven, reach

    def pectoral(profile: np.ndarray, reach: float) -> np.ndarray:
        top = min(muscle_width * profile[0], 0.40 * reach + 0.06)
        length = muscle_length * centre * min(1.0, 0.75 + 0.4 * reach)
        return top * np.clip(1 - rows / length, 0, 1) ** 0.85

    return widths, pectoral


def _dome(position: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """1 in the middle, 0 at -1 and 1, between them a superellipse."""
    return np.clip(1 - np.abs(position) ** powers[0], 0, 1) ** (1 / powers[1])


def _wobble(rng: np.random.Generator, rows: np.ndarray, size: float) -> np.ndarray:
    """Slow waves around 1 along the rows."""
    waves = sum(rng.normal(0, 1 / k) * np.cos(np.pi * k * rows + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    return 1 + size * waves


def _nipple(rng: np.random.Generator, rows: np.ndarray, height_mm: float) -> Callable[[float], np.ndarray]:
    spread, size = NIPPLE_MM[0] / height_mm, NIPPLE_MM[1] * rng.uniform(0.7, 1.3) / height_mm
    return lambda row: size * np.exp(-0.5 * ((rows - row) / spread) ** 2)
