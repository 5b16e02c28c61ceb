"""Lesions whose shape and enhancement depend on their BI-RADS class, for phantoms of whole examinations.

The class of a real lesion is a reader's judgement of shape, margin and enhancement. Here it decides them: class 2 is
small, smooth and faint, class 6 large, spiculated, bright and hollow. Neighbouring classes overlap a little, so that
reading them back is not trivial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from .fields import cones, smooth_field, soft


@dataclass(frozen=True)
class LesionLook:
    """What lesions of one class look like.

    Attributes:
        radius_mm: range of the mean radius.
        gain: range of what the first phase after contrast adds, relative to bright fibroglandular tissue at 0.5.
        elongation: largest ratio of two axes.
        bumps: depth of the surface's irregularity, relative to the radius.
        spicules: how many.
        unevenness: standard deviation of the enhancement within the lesion.
        core: share of the radius that a core without enhancement takes, range; 0 is none.
        curve_type: of the kinetics.
    """

    radius_mm: tuple[float, float]
    gain: tuple[float, float]
    elongation: float
    bumps: float
    spicules: int
    unevenness: float
    core: tuple[float, float]
    curve_type: str


LOOKS = {
    2: LesionLook((5.0, 8.0), (0.24, 0.34), 1.15, 0.0, 0, 0.03, (0.0, 0.0), "I"),
    3: LesionLook((6.0, 11.0), (0.34, 0.46), 1.5, 0.05, 0, 0.05, (0.0, 0.0), "I"),
    4: LesionLook((6.0, 12.0), (0.46, 0.60), 1.4, 0.28, 0, 0.20, (0.0, 0.0), "II"),
    5: LesionLook((8.0, 14.0), (0.58, 0.74), 1.3, 0.22, 9, 0.15, (0.0, 0.0), "III"),
    6: LesionLook((12.0, 19.0), (0.66, 0.82), 1.3, 0.20, 9, 0.12, (0.42, 0.58), "III"),
}
# How often the most suspicious finding of an examination has a class; 1 is none at all.
EXAM_SHARES = {1: 0.22, 2: 0.18, 3: 0.15, 4: 0.15, 5: 0.15, 6: 0.15}
MAX_LESIONS = 4
SURFACE_MM = 0.9


def draw_classes(rng: np.random.Generator) -> list[int]:
    """Classes of one examination's lesions, the highest first; none where the examination is BI-RADS 1."""
    highest = int(rng.choice(list(EXAM_SHARES), p=list(EXAM_SHARES.values())))
    if highest == 1:
        return []
    further = rng.integers(0, MAX_LESIONS)
    return [highest, *sorted((int(c) for c in rng.integers(2, highest + 1, further)), reverse=True)]


def add_birads_lesions(
    rng: np.random.Generator,
    points: np.ndarray,
    spacing: tuple,
    base: np.ndarray,
    enhancement: np.ndarray,
    breast: np.ndarray,
    lesion_intensity: float,
    curves: dict[str, Sequence[float]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Put the lesions of one examination into the breasts.

    Seen from above no two overlap, so that each keeps its own outline in a projection along the cranio-caudal axis.

    Args:
        rng: of the phantom.
        points: coordinates (3, X, Y, Z) in millimetres.
        spacing: voxel size.
        base: signal before contrast, (X, Y, Z).
        enhancement: what normal tissue gains at each phase, (P, X, Y, Z).
        breast: where lesions may lie, (X, Y, Z), bool.
        lesion_intensity: signal of lesions before contrast.
        curves: share of the peak at each phase by curve type.

    Returns:
        Base and enhancement with lesions, instance number of each voxel (uint8), and what is known of each lesion:
        instance, birads, visible, visibility, morphology, curve_type, necrotic, peak, curve, radius_mm, centre_mm.
    """
    label = np.zeros(base.shape, np.uint8)
    lesions: list[dict[str, Any]] = []
    depth = ndimage.distance_transform_edt(breast, spacing)
    for birads in draw_classes(rng):
        look = LOOKS[birads]
        radius = float(rng.uniform(*look.radius_mm))
        taken = label.any(axis=2)
        apart = (
            ndimage.distance_transform_edt(~taken, spacing[:2])[..., None] > 1.5 * radius + 4 if taken.any() else True
        )
        free = depth * apart
        places = np.argwhere(free > min(1.1 * radius, 0.8 * depth.max()))
        if len(places) == 0:
            continue
        centre = points[(slice(None), *places[rng.integers(len(places))])]
        distance = _distance(rng, points - centre[:, None, None, None], radius, look, spacing)
        inside = soft(-distance / SURFACE_MM) * breast
        own = (inside > 0.5) & (label == 0)
        if own.any(axis=2).sum() < 4 or (taken & own.any(axis=2)).any():
            continue
        core = _core(rng, points - centre[:, None, None, None], radius, look) * inside
        gain = float(rng.uniform(*look.gain))
        curve = np.array(curves[look.curve_type]) * (1 + rng.normal(0, 0.015, 3))
        uneven = np.clip(1 + look.unevenness * smooth_field(rng, base.shape, spacing, 6), 0.4, 1.6)
        amount = gain / curve[0] * (inside - 0.85 * core) * uneven
        base = base * (1 - inside) + inside * lesion_intensity
        enhancement = enhancement * (1 - inside) + curve[:, None, None, None] * amount
        label[own] = len(lesions) + 1
        lesions.append(
            {
                "instance": len(lesions) + 1,
                "birads": birads,
                "visible": True,
                "visibility": "clear",
                "morphology": "irregular" if look.bumps > 0.1 else "smooth",
                "curve_type": look.curve_type,
                "necrotic": bool(look.core[1]),
                "peak": round(gain / float(curve[0]), 4),
                "curve": [round(float(share), 4) for share in curve],
                "radius_mm": round(radius, 2),
                "centre_mm": [round(float(c), 2) for c in centre],
            }
        )
    return base, enhancement, label, lesions


def _distance(
    rng: np.random.Generator, offset: np.ndarray, radius: float, look: LesionLook, spacing: tuple
) -> np.ndarray:
    """Millimetres from the surface, negative inside."""
    stretch = np.array([np.sqrt(rng.uniform(1, look.elongation)), 1.0, 1.0])
    stretch[1] = 1 / stretch[0]
    angle = rng.uniform(0, np.pi)
    x = np.cos(angle) * offset[0] + np.sin(angle) * offset[1]
    y = -np.sin(angle) * offset[0] + np.cos(angle) * offset[1]
    distance = np.sqrt((x / stretch[0]) ** 2 + (y / stretch[1]) ** 2 + offset[2] ** 2) - radius
    if look.bumps:
        distance = distance + look.bumps * radius * smooth_field(rng, distance.shape, spacing, 0.8 * radius)
    if look.spicules:
        # Narrow cones that stay near the plane of the projection, where they are seen.
        angles = rng.uniform(0, 2 * np.pi, look.spicules)
        directions = np.stack([np.cos(angles), np.sin(angles), rng.normal(0, 0.15, look.spicules)], axis=1)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        distance = distance - 0.7 * radius * cones(offset, directions, 0.955, 0.045)
    return distance


def _core(rng: np.random.Generator, offset: np.ndarray, radius: float, look: LesionLook) -> np.ndarray:
    """Soft core without enhancement; it reaches through from top to bottom, else the rim would hide it in a MIP."""
    if not look.core[1]:
        return np.zeros(offset.shape[1:], np.float32)
    size = radius * rng.uniform(*look.core)
    return soft((size - np.hypot(offset[0], offset[1])) / 1.2)
