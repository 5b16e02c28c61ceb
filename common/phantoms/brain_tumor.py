"""Skull-stripped brain tumour phantoms in four contrasts, with known regions.

A phantom stands for a case that was registered to the SRI24 atlas: the grid covers 240 x 240 x 155 mm, the head
lies where the atlas has it, with small differences in size, position and shape between patients. Intensities follow
the order that radiologists expect of each contrast (see `TISSUE_INTENSITY`), with a bias field and noise on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .fields import smooth_field, soft

CONTRASTS = ("T1", "T1C", "T2", "FLAIR")
FIELD_OF_VIEW_MM = (240.0, 240.0, 155.0)
# Centre of the head in the field of view, millimetres from the left, posterior, inferior corner of an RAS grid.
HEAD_CENTRE_MM = (120.0, 119.0, 72.0)
HEAD_SEMI_AXES_MM = (67.0, 85.0, 66.0)

NECROSIS, OEDEMA, ENHANCING = 1, 2, 3

# Relative intensity per tissue, in the order of CONTRASTS.
TISSUE_INTENSITY = {
    "white_matter": (0.80, 0.81, 0.40, 0.50),
    "grey_matter": (0.62, 0.65, 0.55, 0.62),
    "csf": (0.22, 0.22, 0.98, 0.14),
    "necrosis": (0.32, 0.30, 0.92, 0.34),
    "oedema": (0.57, 0.58, 0.77, 0.94),
    "enhancing": (0.46, 1.30, 0.63, 0.74),
}
NOISE = 0.012
INTENSITY_UNIT = 1000.0


@dataclass(frozen=True)
class BrainTumorPhantom:
    """One phantom patient.

    Attributes:
        image: contrasts T1, T1C, T2, FLAIR, shape (4, X, Y, Z), RAS axes, float32, background exactly 0.
        clean: the same without noise; the difference bounds what any reconstruction can reach.
        label: 0 background, 1 necrosis or non-enhancing core, 2 oedema, 3 enhancing, shape (X, Y, Z), uint8.
        spacing: voxel size in millimetres.
    """

    image: np.ndarray
    clean: np.ndarray
    label: np.ndarray
    spacing: tuple[float, float, float]


def make_brain_tumor(seed: int, spacing_mm: float = 2.5, noise: float = NOISE) -> BrainTumorPhantom:
    """Draw the phantom of one patient; the same seed gives the same voxels.

    Args:
        seed: patient number.
        spacing_mm: isotropic voxel size; the field of view is always 240 x 240 x 155 mm.
        noise: standard deviation of the Gaussian noise, relative to `TISSUE_INTENSITY`.
    """
    rng = np.random.default_rng([seed, 20240212])
    shape = tuple(int(round(extent / spacing_mm)) for extent in FIELD_OF_VIEW_MM)
    points = _head_coordinates(rng, shape, spacing_mm)
    brain, tissue = _anatomy(rng, points, spacing_mm)
    label = _tumor(rng, points, brain, tissue, spacing_mm)
    image, clean = _contrasts(rng, brain, tissue, label, spacing_mm, noise)
    return BrainTumorPhantom(image, clean, label, (spacing_mm,) * 3)


def _head_coordinates(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
    """Millimetres from the head's centre along its own axes, shape (3, X, Y, Z)."""
    centre = np.array(HEAD_CENTRE_MM) + rng.normal(0, 1.5, 3)
    axes = [(np.arange(n) + 0.5) * spacing_mm - c for n, c in zip(shape, centre, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = np.radians(rng.normal(0, 2.0))
        a, b = points[first].copy(), points[second].copy()
        points[first] = np.cos(angle) * a - np.sin(angle) * b
        points[second] = np.sin(angle) * a + np.cos(angle) * b
    return points


def _ellipsoid(points: np.ndarray, centre: tuple, semi_axes: tuple) -> np.ndarray:
    """Normalised radius: below 1 inside."""
    return np.sqrt(sum(((p - c) / a) ** 2 for p, c, a in zip(points, centre, semi_axes, strict=True)))


def _anatomy(rng: np.random.Generator, points: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, dict]:
    """Brain mask and soft tissue fractions (white, grey, CSF) that sum to 1 inside it."""
    shape = points.shape[1:]
    x, y, z = points
    size = rng.normal(1.0, 0.03) * (1 + rng.normal(0, 0.015, 3))
    semi = np.array(HEAD_SEMI_AXES_MM) * size
    # A superellipsoid, narrower in front and flatter below, as a brain is.
    narrowing = 1 - 0.10 * np.clip(y / semi[1], -1, 1)
    lower = np.where(z < 0, 1.18, 1.0)
    radius = (
        np.abs(x / (semi[0] * narrowing)) ** 2.3 + np.abs(y / semi[1]) ** 2.3 + np.abs(z * lower / semi[2]) ** 2.3
    ) ** (1 / 2.3)
    outline = smooth_field(rng, shape, spacing_mm, 45)
    depth_mm = (1 - radius) * semi.mean() + 1.2 * outline
    brain = ndimage.binary_fill_holes(depth_mm > 0)
    brain = _largest_component(brain)

    folds = smooth_field(rng, shape, spacing_mm, 22)
    fissure = np.abs(x + 1.0 * outline) + 8 * np.clip(-(z + 5) / 20, 0, 1)
    sulci = soft((1.0 + 3.0 * folds - depth_mm) / 1.5) * 0.8
    sulci = np.maximum(sulci, soft((2.2 - fissure) / 1.2) * (z > -12))
    grey = soft((10.0 + 4.0 * folds - depth_mm) / 1.8)
    side = np.abs(x)
    bend = 0.006 * (y + 5) ** 2
    width = rng.uniform(0.9, 1.7)
    ventricle = _ellipsoid(
        np.stack([side, y, z]), (9.0, rng.normal(-2, 2), 10.0), (6.0 * width, 34.0, 8.5 * np.sqrt(width))
    )
    ventricle += 0.02 * bend
    ventricles = soft((1 - ventricle) * 7)
    third = soft((1 - _ellipsoid(points, (0, 2, -4), (2.6 * width, 14, 12))) * 5)
    nuclei = soft((1 - _ellipsoid(np.stack([side, y, z]), (22, 4, 2), (9, 20, 12))) * 6)
    cerebellum = soft((1 - _ellipsoid(points, (0, -48, -40), (48, 28, 22))) * 8)
    leaves = 0.5 + 0.5 * np.sign(np.sin(z / 2.2 + 0.8 * folds))

    csf = np.clip(np.maximum.reduce([sulci, ventricles, third]), 0, 1)
    grey = np.clip(np.maximum.reduce([grey, nuclei, cerebellum * (0.55 + 0.3 * leaves)]), 0, 1) * (1 - csf)
    white = np.clip(1 - grey - csf, 0, 1)
    deep_csf = np.maximum(ventricles, third)
    return brain, {"white_matter": white, "grey_matter": grey, "csf": csf, "deep_csf": deep_csf, "depth_mm": depth_mm}


def _largest_component(mask: np.ndarray) -> np.ndarray:
    components, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return components == 1 + np.argmax(np.bincount(components.ravel())[1:])


def _tumor(rng: np.random.Generator, points: np.ndarray, brain: np.ndarray, tissue: dict, spacing_mm: float):
    """Label map of one tumour: oedema outside, an enhancing rim, necrosis within (one in eight has no rim)."""
    shape = brain.shape
    room = brain & (tissue["depth_mm"] > 12) & (tissue["deep_csf"] < 0.3) & (points[2] > -32)
    candidates = np.flatnonzero(room)
    centre = points.reshape(3, -1)[:, rng.choice(candidates)]
    radius_mm = rng.uniform(20, 38)
    semi = radius_mm * rng.uniform(0.8, 1.25, 3)
    wobble = smooth_field(rng, shape, spacing_mm, 25)
    distance = _ellipsoid(points, tuple(centre), tuple(semi)) * radius_mm
    whole = distance + 0.13 * radius_mm * wobble < radius_mm
    parenchyma = brain & (tissue["deep_csf"] < 0.5) & (tissue["depth_mm"] > 1.0)
    whole &= parenchyma

    offset = rng.normal(0, 0.12 * radius_mm, 3)
    core_radius = radius_mm * rng.uniform(0.58, 0.8)
    core_wobble = smooth_field(rng, shape, spacing_mm, 20)
    core_distance = _ellipsoid(points, tuple(centre + offset), tuple(semi)) * radius_mm
    core = (core_distance + 0.10 * radius_mm * core_wobble < core_radius) & whole
    rim_mm = rng.uniform(6.5, 10.5)
    necrosis = (core_distance + 0.10 * radius_mm * core_wobble + 1.2 * wobble < core_radius - rim_mm) & core

    label = np.zeros(shape, np.uint8)
    label[whole] = OEDEMA
    label[core] = NECROSIS if rng.random() < 0.125 else ENHANCING
    label[necrosis] = NECROSIS
    return label


def _contrasts(
    rng: np.random.Generator, brain: np.ndarray, tissue: dict, label: np.ndarray, spacing_mm: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Four contrasts: tissue mixture, texture, bias field, noise."""
    shape = brain.shape
    fractions = {name: tissue[name].copy() for name in ("white_matter", "grey_matter", "csf")}
    soft_labels = {}
    for name, value in (("necrosis", NECROSIS), ("oedema", OEDEMA), ("enhancing", ENHANCING)):
        soft_labels[name] = ndimage.gaussian_filter((label == value).astype(np.float32), 0.5)
    tumour = np.clip(sum(soft_labels.values()), 0, 1)
    fractions = {name: fraction * (1 - tumour) for name, fraction in fractions.items()} | soft_labels
    total = sum(fractions.values()) + 1e-6

    texture = smooth_field(rng, shape, spacing_mm, 9)
    bias = 0.05 * smooth_field(rng, shape, spacing_mm, 110)
    image = np.zeros((len(CONTRASTS), *shape), np.float32)
    clean = np.zeros_like(image)
    for channel in range(len(CONTRASTS)):
        signal = sum(
            fraction * TISSUE_INTENSITY[name][channel] * (1 + rng.normal(0, 0.025))
            for name, fraction in fractions.items()
        )
        signal = signal / total * (1 + 0.015 * texture) * (1 + bias) * rng.uniform(0.9, 1.1)
        clean[channel] = np.maximum(signal, 0.02) * brain * INTENSITY_UNIT
        noisy = np.maximum(signal + rng.normal(0, noise, shape), 0.02)
        image[channel] = np.rint(noisy * brain * INTENSITY_UNIT)
    return image, clean
