"""Lesions of mammogram phantoms: masses and clusters of calcifications, benign or malignant, with exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import InputError
from .fields import soft

TYPES = ("mass", "calcification")
BIRADS = {"benign": (2, 3), "malignant": (4, 5)}
MASS_DIAMETER = (0.05, 0.088)  # equivalent diameter as a share of the image's height
CLUSTER_MM = {"benign": (13.0, 20.0), "malignant": (8.0, 13.0)}
GAIN = {"benign": (0.08, 0.14), "malignant": (0.19, 0.26)}  # what a mass adds, display values
DOT_GAIN = {"benign": (0.24, 0.32), "malignant": (0.18, 0.32)}
DOT_MM = {"benign": (0.36, 0.55), "malignant": (0.22, 0.34)}  # standard deviation
NUM_DOTS = (8, 25)
CUT = 0.10  # of a mass's gain; what is fainter is left out, so that the mask is exactly where the image changes
DEPTH_BAND = 0.06


@dataclass(frozen=True)
class LesionPlan:
    """One lesion, before it is drawn into a view.

    Attributes:
        type: mass or calcification.
        pathology: benign or malignant.
        birads: 2 or 3 for benign, 4 or 5 for malignant.
        size: 0 to 1, from the smallest to the largest of its kind; the same in both views.
        depth: where between chest wall (0) and nipple (1); nearly the same in both views.
    """

    type: str
    pathology: str
    birads: int
    size: float = 0.5
    depth: float = 0.5

    def __post_init__(self) -> None:
        if self.type not in TYPES or self.pathology not in BIRADS or self.birads not in BIRADS[self.pathology]:
            raise InputError(
                f"lesion {self.pathology} {self.type} with BI-RADS {self.birads}: use mass or calcification, "
                "benign with 2 or 3 or malignant with 4 or 5"
            )
        if not (0 <= self.size <= 1 and 0 <= self.depth <= 1):
            raise InputError(f"lesion of size {self.size} at depth {self.depth}: give both as 0 to 1")


def plan_lesion(rng: np.random.Generator) -> LesionPlan:
    """A random lesion: 65 % masses, half of all malignant."""
    kind = "mass" if rng.random() < 0.65 else "calcification"
    pathology = "malignant" if rng.random() < 0.5 else "benign"
    birads = int(rng.choice(BIRADS[pathology]))
    return LesionPlan(kind, pathology, birads, float(rng.random()), float(rng.uniform(0.3, 0.8)))


def draw_lesion(
    rng: np.random.Generator, plan: LesionPlan, free: np.ndarray, nipple_column: float, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a planned lesion at a random place of one view.

    Args:
        rng: of the lesion, apart from that of the anatomy.
        plan: the lesion.
        free: where it may lie, (H, W) bool, chest wall at the left.
        nipple_column: to which column `plan.depth` = 1 refers.
        spacing_mm: pixel size.

    Returns:
        What it adds to the display values, (H, W) float32, and its mask, (H, W) bool. Nothing is added outside the
        mask. A mass's mask is exactly where it adds; a cluster's is the region that holds its calcifications.

    Raises:
        InputError: the breast has no room for it.
    """
    stamp, mask = (_mass if plan.type == "mass" else _cluster)(rng, plan, free.shape[0], spacing_mm)
    reach = stamp.shape[0] // 2
    row, column = _place(rng, free, reach, mask, plan.depth * nipple_column)
    added, where = np.zeros(free.shape, np.float32), np.zeros(free.shape, bool)
    window = (slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
    added[window], where[window] = stamp, mask
    return added, where


def _place(rng: np.random.Generator, free: np.ndarray, reach: int, mask: np.ndarray, column: float) -> tuple[int, int]:
    """A random centre from which the whole stamp stays in the image and its mask in `free`, near `column`."""
    depth = ndimage.distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1]
    y, x = np.nonzero(mask)
    needed = np.hypot(y - reach, x - reach).max() + 1.5
    fits = depth > needed
    fits[:reach] = fits[fits.shape[0] - reach :] = False
    fits[:, :reach] = fits[:, fits.shape[1] - reach :] = False
    places = np.argwhere(fits)
    if len(places) == 0:
        raise InputError("the breast has no room for the lesion; use a larger breast or a smaller lesion")
    off = np.abs(places[:, 1] - column)
    places = places[off <= off.min() + DEPTH_BAND * free.shape[1]]
    row, found = places[rng.integers(len(places))]
    return int(row), int(found)


def _grid(reach: int, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(-reach, reach + 1, dtype=np.float32) * spacing_mm
    return np.meshgrid(axis, axis, indexing="ij")


def _mass(rng: np.random.Generator, plan: LesionPlan, height: int, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """A mass in the middle of a square stamp; its mask's equivalent diameter is as planned within two per cent."""
    diameter = (MASS_DIAMETER[0] + plan.size * (MASS_DIAMETER[1] - MASS_DIAMETER[0])) * height * spacing_mm
    gain = _gain(rng, plan)
    state = rng.bit_generator.state
    radius = diameter / 2
    for _ in range(3):  # the outline decides how large a mask a radius gives: measure, and correct
        rng.bit_generator.state = state
        reach = int(np.ceil(2.4 * radius / spacing_mm)) + 3
        y, x = _grid(reach, spacing_mm)
        look = _malignant if plan.pathology == "malignant" else _benign
        amount = look(rng, y, x, radius)
        amount = np.maximum(amount - CUT, 0) / (1 - CUT)
        mask = amount > 0
        radius *= diameter / (2 * np.sqrt(mask.sum() / np.pi) * spacing_mm)
    return (gain * amount).astype(np.float32), mask


def _gain(rng: np.random.Generator, plan: LesionPlan) -> float:
    """The more suspicious of two classes is the brighter one."""
    low, high = GAIN[plan.pathology]
    suspicious = plan.birads == BIRADS[plan.pathology][1]
    return float(low + (high - low) * (0.5 * suspicious + 0.5 * rng.random()))


def _benign(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, radius: float) -> np.ndarray:
    """Round or oval with a smooth, well-defined margin; 0 to 1."""
    stretch = np.sqrt(rng.uniform(1.0, 1.6))
    angle = rng.uniform(0, np.pi)
    u = (np.cos(angle) * x + np.sin(angle) * y) / stretch
    v = (-np.sin(angle) * x + np.cos(angle) * y) * stretch
    return soft((radius - np.hypot(u, v)) / 0.35)


def _malignant(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, radius: float) -> np.ndarray:
    """Irregular body with spicules that taper off; 0 to 1."""
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    waves = sum(rng.normal(0, 0.16 / np.sqrt(k)) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 8))
    amount = soft((0.9 * radius * (1 + np.clip(waves, -0.4, 0.4)) - distance) / 0.6)
    number = int(rng.integers(9, 16))
    directions = 2 * np.pi * (np.arange(number) + rng.uniform(-0.35, 0.35, number)) / number
    for direction, length in zip(directions, rng.uniform(1.5, 2.3, number) * radius, strict=True):
        along = np.cos(direction) * x + np.sin(direction) * y
        across = -np.sin(direction) * x + np.cos(direction) * y
        taper = np.clip(1 - along / length, 0, 1) * (along > 0)
        amount = np.maximum(amount, 0.75 * np.sqrt(taper) * np.exp(-((across / (0.35 + 0.10 * radius * taper)) ** 2)))
    return amount


def _cluster(
    rng: np.random.Generator, plan: LesionPlan, height: int, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Calcifications in an elliptic region in the middle of a square stamp."""
    low, high = CLUSTER_MM[plan.pathology]
    radius = (low + plan.size * (high - low)) / 2 * height * spacing_mm / 256  # the cluster's size follows the image's
    stretch, turn = np.sqrt(rng.uniform(1.0, 1.7)), rng.uniform(0, np.pi)
    reach = int(np.ceil(radius * stretch / spacing_mm)) + 3
    y, x = _grid(reach, spacing_mm)
    u = (np.cos(turn) * x + np.sin(turn) * y) / stretch
    v = (-np.sin(turn) * x + np.cos(turn) * y) * stretch
    mask = np.hypot(u, v) <= radius
    added = np.zeros_like(x)
    for _ in range(int(rng.integers(NUM_DOTS[0], NUM_DOTS[1] + 1))):
        # Malignant ones crowd in the middle, benign ones are scattered evenly.
        away = 0.85 * radius * rng.random() ** (0.5 if plan.pathology == "benign" else 0.8)
        angle = rng.uniform(0, 2 * np.pi)
        a, b = away * np.cos(angle) * stretch, away * np.sin(angle) / stretch
        dot_x, dot_y = np.cos(turn) * a - np.sin(turn) * b, np.sin(turn) * a + np.cos(turn) * b
        sigma = max(rng.uniform(*DOT_MM[plan.pathology]), 0.6 * spacing_mm)
        dot = np.exp(-((x - dot_x) ** 2 + (y - dot_y) ** 2) / (2 * sigma**2))
        added = np.maximum(added, rng.uniform(*DOT_GAIN[plan.pathology]) * dot)
    return (np.where(mask & (added > 0.01), added, 0)).astype(np.float32), mask
