"""Dynamic contrast-enhanced breast MRI phantoms: one pre-contrast and three post-contrast phases with known kinetics.

A phantom stands for a fat-suppressed T1-weighted gradient-echo series of a prone patient: two breasts before a chest
wall with heart and lungs, fat and fibroglandular tissue, vessels, background enhancement, and one to three lesions
whose enhancement over time is known. Intensities are relative to `TISSUE_INTENSITY`, shaded by the receive coil, with
noise on top. What a lesion looks like before contrast hints at its curve: smooth ones, less dark, mostly go on
enhancing; irregular, darker ones mostly wash out. Lesions that are invisible before contrast look exactly like the
tissue that they lie in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ..knobs import check_choice
from .birads_lesions import add_birads_lesions
from .fields import cones, smooth_field, soft

# Before contrast, relative to bright fibroglandular tissue at 0.5; fat is suppressed.
TISSUE_INTENSITY = {
    "fat": 0.17,
    "fibroglandular": 0.50,
    "skin": 0.32,
    "muscle": 0.40,
    "heart": 0.36,
    "lung": 0.03,
    "vessel": 0.28,
    "smooth lesion": 0.38,
    "irregular lesion": 0.28,
    "necrosis": 0.22,
}
# What a lesion gains at a peak of 1.
LESION_GAIN = 0.34
# Share of the peak enhancement at phases 1, 2, 3 for the BI-RADS curve types: persistent, plateau, wash-out.
CURVES = {"I": (0.58, 0.82, 1.0), "II": (0.96, 1.0, 0.97), "III": (1.0, 0.84, 0.68)}
# How often a morphology has which curve.
CURVE_SHARES = {"smooth": (0.75, 0.20, 0.05), "irregular": (0.05, 0.25, 0.70)}
VISIBILITIES = ("clear", "faint", "invisible")
VISIBILITY_SHARES = (0.55, 0.25, 0.20)
NOISE = 0.010
# One to three lesions whose kinetics and visibility vary, or none to four whose look follows from their BI-RADS class.
FINDINGS = ("kinetics", "birads")


@dataclass(frozen=True)
class BreastDcePhantom:
    """One phantom patient.

    Attributes:
        image: phases pre, 1, 2, 3; shape (4, X, Y, Z), RAS axes, whole numbers as float32, scanner units.
        clean: the same without noise.
        label: number of the lesion in each voxel, 0 elsewhere; shape (X, Y, Z), uint8.
        breast: both breasts; shape (X, Y, Z), bool.
        lesions: for each lesion: instance, visible, visibility, morphology, curve_type, necrotic, peak (gain
            at its maximum, relative to `LESION_GAIN`), curve (shares of the peak at phases 1 to 3), radius_mm,
            centre_mm; with `findings="birads"` also birads, and the peak is absolute.
        seconds: of phases 1 to 3 after the pre-contrast phase.
        spacing: voxel size in millimetres.
    """

    image: np.ndarray
    clean: np.ndarray
    label: np.ndarray
    breast: np.ndarray
    lesions: list[dict[str, Any]]
    seconds: tuple[float, float, float]
    spacing: tuple[float, float, float]


def make_breast_dce(
    seed: int,
    shape: Sequence[int] = (128, 128, 32),
    spacing_mm: Sequence[float] = (2.65, 2.65, 4.0),
    findings: str = "kinetics",
) -> BreastDcePhantom:
    """Draw the phantom of one patient; the same seed, shape and spacing give the same voxels.

    Args:
        seed: patient number.
        shape: voxels (X, Y, Z).
        spacing_mm: voxel size; the default covers 340 x 340 x 128 mm, the field of view of a bilateral examination.
        findings: `kinetics`, or `birads`: see `birads_lesions`; such an examination may hold no lesion.
    """
    check_choice("findings", findings, FINDINGS)
    rng = np.random.default_rng([seed, 20240918])
    shape, spacing = tuple(int(n) for n in shape), tuple(float(s) for s in spacing_mm)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    body, breast, side_centres = _outline(rng, points, spacing)
    fractions = _tissues(rng, points, spacing, body, breast, side_centres)
    base = sum(TISSUE_INTENSITY[name] * fraction for name, fraction in fractions.items())
    base *= 1 + 0.05 * smooth_field(rng, shape, spacing, 7) * (fractions["fibroglandular"] + 0.5 * fractions["fat"])
    seconds = tuple(float(s) for s in np.round(np.cumsum(rng.normal(131, 6, 3)), 1))
    enhancement = _background_enhancement(rng, shape, spacing, fractions, breast)
    if findings == "birads":
        intensity = TISSUE_INTENSITY["irregular lesion"]
        found = add_birads_lesions(rng, points, spacing, base, enhancement, breast, intensity, CURVES)
    else:
        found = _lesions(rng, points, spacing, base, enhancement, breast)
    base, enhancement, label, lesions = found
    signal = np.concatenate([base[None], base[None] + enhancement])

    shading = 1 + 0.07 * smooth_field(rng, shape, spacing, 160) + 0.001 * (points[1] - 20)
    unit = rng.uniform(450, 2200)
    signal = np.maximum(signal * np.clip(shading, 0.5, 1.7), 0)
    noise = rng.normal(0, NOISE, (2, *signal.shape)).astype(np.float32)
    noisy = np.hypot(signal + noise[0], noise[1])  # magnitude images: Rician noise
    return BreastDcePhantom(
        np.rint(noisy * unit).astype(np.float32),
        (signal * unit).astype(np.float32),
        label,
        breast,
        lesions,
        seconds,
        spacing,
    )


def _outline(
    rng: np.random.Generator, points: np.ndarray, spacing: tuple
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Soft body, breasts as a mask, and the centre and semi-axes of each breast, (2, 3) in millimetres."""
    x, y, z = points
    wall = -40 + rng.normal(0, 5)
    chest = 1 - np.sqrt((x / 165) ** 2 + ((y - wall + 75) / 78) ** 2)
    size = rng.normal(1, 0.12)
    breast_depth = np.full(x.shape, -1e3, np.float32)
    centres = []
    for side in (-1, 1):
        centre = np.array([side * (78 + rng.normal(0, 4)), wall - 8, rng.normal(0, 6)])
        semi = np.array([62, 98, 66]) * np.clip(size + rng.normal(0, 0.04, 3), 0.7, 1.35)
        radius = np.sqrt(sum(((p - c) / s) ** 2 for p, c, s in zip(points, centre, semi, strict=True)))
        breast_depth = np.maximum(breast_depth, (1 - radius) * semi.mean())
        centres.append(np.stack([centre, semi]))
    depth = np.maximum(chest * 100, breast_depth) + 1.0 * smooth_field(rng, x.shape, spacing, 40)
    body = soft(depth / 1.2)
    breast = (breast_depth > 0) & (y > wall + 2) & (depth > 0)
    return body, breast, centres


def _tissues(
    rng: np.random.Generator,
    points: np.ndarray,
    spacing: tuple,
    body: np.ndarray,
    breast: np.ndarray,
    side_centres: list[np.ndarray],
) -> dict[str, np.ndarray]:
    """Soft tissue fractions that sum to the body."""
    x, y, z = points
    shape = x.shape
    inside = ndimage.distance_transform_edt(body > 0.5, spacing).astype(np.float32)
    skin = soft((2.6 - inside) / 0.8)
    wall = side_centres[0][0, 1] + 8
    behind = soft((wall - 1 - y + 4 * smooth_field(rng, shape, spacing, 60)) / 1.5)
    lung = np.zeros(shape, np.float32)
    for side in (-1, 1):
        radius = np.sqrt(((x - side * 85) / 62) ** 2 + ((y - wall + 75) / 52) ** 2)
        lung = np.maximum(lung, soft((1 - radius) * 25))
    heart_radius = np.sqrt(((x + 28) / 48) ** 2 + ((y - wall + 60) / 40) ** 2 + ((z + 25) / 62) ** 2)
    heart = soft((1 - heart_radius) * 20)

    density = rng.uniform(-0.9, 0.9)
    gland = np.zeros(shape, np.float32)
    texture = 0.8 * smooth_field(rng, shape, spacing, 34) + 0.25 * smooth_field(rng, shape, spacing, 12)
    for centre, semi in side_centres:
        middle = centre + np.array([0, 0.36 * semi[1], 0])
        radius = np.sqrt(sum(((p - c) / s) ** 2 for p, c, s in zip(points, middle, 0.72 * semi, strict=True)))
        gland = np.maximum(gland, soft((1.15 - 1.9 * radius + 0.85 * texture + density) * 10) * (radius < 1.25))
    gland *= breast * soft((inside - 6) / 2)
    vessel = _vessels(rng, points, spacing, breast, side_centres)

    parts: dict[str, np.ndarray] = {}
    left = body.copy()
    for name, fraction in (
        ("skin", skin),
        ("heart", heart * behind),
        ("lung", lung * behind * (1 - heart)),
        ("vessel", vessel),
        ("fibroglandular", gland * (1 - behind)),
        ("muscle", behind),
    ):
        parts[name] = left * np.clip(fraction, 0, 1)
        left = left - parts[name]
    parts["fat"] = left
    return parts


def _vessels(
    rng: np.random.Generator, points: np.ndarray, spacing: tuple, breast: np.ndarray, side_centres: list[np.ndarray]
) -> np.ndarray:
    """Curved tubes from the chest wall forward, as a soft fraction."""
    shape = points.shape[1:]
    origin = points[:, 0, 0, 0]
    sharp = np.zeros(shape, np.float32)
    for centre, semi in side_centres:
        for _ in range(rng.integers(2, 5)):
            start = centre + np.array([rng.uniform(-0.6, 0.6) * semi[0], 0, rng.uniform(-0.7, 0.7) * semi[2]])
            stop = centre + semi * np.array([rng.uniform(-0.45, 0.45), rng.uniform(0.5, 0.85), rng.uniform(-0.5, 0.5)])
            bend = rng.normal(0, 16, 3) * np.array([1, 0.3, 1])
            t = np.linspace(0, 1, 160)[:, None]
            path = start * (1 - t) + stop * t + bend * 4 * t * (1 - t)
            index = np.rint((path - origin) / np.array(spacing)).astype(int)
            index = index[((index >= 0) & (index < shape)).all(1)]
            sharp[tuple(index.T)] = 1
    width = rng.uniform(1.2, 1.7)
    tubes = ndimage.gaussian_filter(sharp, np.array([width, width, width]) / spacing)
    peak = tubes.max()
    return np.clip(2.2 * tubes / peak, 0, 1) * breast if peak > 0 else tubes


def _background_enhancement(
    rng: np.random.Generator, shape: tuple, spacing: tuple, fractions: dict[str, np.ndarray], breast: np.ndarray
) -> np.ndarray:
    """Signal that normal tissue gains at phases 1 to 3, shape (3, X, Y, Z)."""
    level = rng.choice([0.05, 0.12, 0.22, 0.38], p=[0.4, 0.3, 0.2, 0.1]) * rng.uniform(0.8, 1.2)
    gland = fractions["fibroglandular"]
    # Glandular tissue enhances from its rim inward, and not evenly.
    core = ndimage.gaussian_filter(gland, np.array([7, 7, 7]) / np.array(spacing))
    pattern = np.clip(1.25 - 0.7 * core + 0.35 * smooth_field(rng, shape, spacing, 22), 0.05, 2.2)
    gains = {
        "fibroglandular": (level, (0.5, 0.8, 1.0), pattern),
        "fat": (0.10, (0.9, 1.0, 1.0), 1.0),
        "skin": (0.30, (0.7, 0.9, 1.0), 1.0),
        "muscle": (0.22, (0.75, 0.95, 1.0), 1.0),
        "lung": (0.5, (1.0, 0.9, 0.85), 1.0),
        "heart": (rng.uniform(1.5, 2.1), (1.0, 0.86, 0.78), 1.0),
        "vessel": (rng.uniform(1.6, 2.4), (1.0, 0.88, 0.80), 1.0),
    }
    enhancement = np.zeros((3, *shape), np.float32)
    for name, (gain, curve, where) in gains.items():
        amount = fractions[name] * TISSUE_INTENSITY[name] * gain * where
        for phase, share in enumerate(curve):
            enhancement[phase] += share * amount
    return enhancement


def _lesions(
    rng: np.random.Generator,
    points: np.ndarray,
    spacing: tuple,
    base: np.ndarray,
    enhancement: np.ndarray,
    breast: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Put lesions into the breasts; returns base, enhancement, label, and what is known of each lesion."""
    label = np.zeros(base.shape, np.uint8)
    lesions: list[dict[str, Any]] = []
    depth = ndimage.distance_transform_edt(breast, spacing)
    count = 1 + int(rng.random() < 0.35) + int(rng.random() < 0.12)
    for _ in range(count):
        radius = float(rng.uniform(6, 16))
        free = depth * (ndimage.distance_transform_edt(label == 0, spacing) > 2.5 * radius)
        places = np.argwhere(free > min(radius + 3, 0.7 * free.max()))
        if len(places) == 0:
            continue
        place = places[rng.integers(len(places))]
        centre = points[(slice(None), *place)]
        morphology = str(rng.choice(["smooth", "irregular"]))
        visibility = str(rng.choice(VISIBILITIES, p=VISIBILITY_SHARES))
        curve_type = str(rng.choice(list(CURVES), p=CURVE_SHARES[morphology]))
        necrotic = bool(morphology == "irregular" and radius > 8 and rng.random() < 0.4)
        distance = _lesion_distance(rng, points - centre[:, None, None, None], radius, morphology, spacing)
        inside = soft(-distance / 0.9) * (breast > 0)
        if (inside > 0.5).sum() < 4:
            continue
        core = inside * soft((-distance - 0.55 * radius) / 1.0) if necrotic else np.zeros_like(inside)
        solid = inside - core
        weight = {"clear": 1.0, "faint": 0.5, "invisible": 0.0}[visibility]
        own = solid * TISSUE_INTENSITY[f"{morphology} lesion"] + core * TISSUE_INTENSITY["necrosis"]
        own *= 1 + rng.normal(0, 0.03)
        base = base * (1 - weight * inside) + weight * own
        peak = float(rng.uniform(1.1, 1.9))
        curve = np.array(CURVES[curve_type]) * (1 + rng.normal(0, 0.015, 3))
        unevenness = np.clip(1 + 0.12 * smooth_field(rng, base.shape, spacing, 8), 0.6, 1.4)
        amount = LESION_GAIN * peak * (solid + 0.12 * core) * unevenness
        enhancement = enhancement * (1 - inside) + curve[:, None, None, None] * amount
        label[(inside > 0.5) & (label == 0)] = len(lesions) + 1
        lesions.append(
            {
                "instance": len(lesions) + 1,
                "visible": visibility != "invisible",
                "visibility": visibility,
                "morphology": morphology,
                "curve_type": curve_type,
                "necrotic": necrotic,
                "peak": round(peak, 4),
                "curve": [round(float(share), 4) for share in curve],
                "radius_mm": round(radius, 2),
                "centre_mm": [round(float(c), 2) for c in centre],
            }
        )
    return base, enhancement, label, lesions


def _lesion_distance(
    rng: np.random.Generator, offset: np.ndarray, radius: float, morphology: str, spacing: tuple
) -> np.ndarray:
    """Millimetres from a lesion's surface, negative inside."""
    stretch = rng.uniform(0.85, 1.18, 3)
    length = np.sqrt(sum((o / s) ** 2 for o, s in zip(offset, stretch, strict=True)))
    if morphology == "smooth":
        return length - radius
    bumps = 0.28 * radius * smooth_field(rng, length.shape, spacing, 0.9 * radius)
    # Spicules: narrow cones along random directions.
    directions = rng.normal(size=(7, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return length - radius + bumps - 0.6 * radius * cones(offset, directions, 0.93, 0.07)
