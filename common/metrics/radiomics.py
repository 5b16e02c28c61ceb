"""Radiomics features of an image and the distance of two sets of images by them.

The features are our own code after the definitions of IBSI (Zwanenburg et al. 2020) and pyradiomics. The distance
follows the idea of Konz et al. 2024 (Fréchet distance of radiomics features), with another set of features and without
image filters: its values can't be compared with those of the `frd-score` package, and its name says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .distribution import frechet_distance, standardize
from .radiomics_first_order import first_order
from .radiomics_glcm import cooccurrence, glcm_features
from .radiomics_shape import shape_features

DISTANCE_NAME = "radiomics Fréchet distance (own features; not frd-score)"
LEVELS = 32
# A feature that is undefined in a larger share of a set than this is dropped; otherwise the images are left out.
UNDEFINED_LIMIT = 0.1
CONSTANT = 1e-9


def radiomics_vector(
    image: np.ndarray,
    mask: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
    scale: tuple[float, float] | None = None,
    levels: int = LEVELS,
) -> dict[str, float]:
    """First-order, co-occurrence and, where a mask is given, shape features of an image.

    Args:
        image: 2D or 3D, finite.
        mask: the same shape, above 0 inside; None for the whole image, without shape features.
        spacing: millimetres an axis, for the shape features; 1 if None.
        scale: lowest and highest intensity of the declared scale, split into `levels` equal bins; what lies outside
            goes into the first or last. None takes the image's own range inside the mask, which hides differences of
            contrast between sets from the co-occurrence features.
        levels: number of grey levels.

    Returns:
        Names ("firstorder_mean", "glcm_contrast", "shape_area") to values, always the same ones in the same order for
        2D or 3D with or without a mask. NaN is a feature that isn't defined: all for an empty mask, skewness, kurtosis
        and correlation for a constant image.

    Raises:
        InputError: wrong number of axes, NaN, a mask or spacing that doesn't fit, an empty scale, fewer than 2 levels.
    """
    image = np.asarray(image, np.float64)
    inside = _check(image, mask, spacing, scale, levels)
    values = image[inside] if inside is not None else image.ravel()
    low, high = scale if scale is not None else (values.min(initial=np.inf), values.max(initial=-np.inf))
    binned = np.zeros(image.shape, np.int64)
    if high > low:
        # What lies outside the mask may be NaN: no pair or histogram counts it.
        position = np.nan_to_num(image - low) * (levels / (high - low))
        binned = np.clip(np.floor(position), 0, levels - 1).astype(np.int64)
    parts = {
        "firstorder": first_order(values, binned[inside] if inside is not None else binned.ravel()),
        "glcm": glcm_features(cooccurrence(binned, inside, levels)),
    }
    if inside is not None:
        parts["shape"] = shape_features(inside, spacing if spacing is not None else (1.0,) * image.ndim)
    return {f"{family}_{name}": value for family, part in parts.items() for name, value in part.items()}


def radiomics_distance(real: Sequence[dict[str, float]], synthetic: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Fréchet distance of two sets of `radiomics_vector`s, each feature scaled by the real set's mean and deviation.

    Left out, in this order: images without any defined feature (an empty mask); features undefined in more than a tenth
    of either set; further images with an undefined feature; features that are constant in the real set.

    Args:
        real, synthetic: one dictionary an image, all with the same names.

    Returns:
        `name`, `distance` (NaN where fewer than two images or no feature are left on a side), `features` (names used),
        `dropped` (name to reason), `n_real`, `n_synthetic` (images used), `left_out_real`, `left_out_synthetic`,
        `notes`.

    Raises:
        InputError: the names differ, or a set is empty.
    """
    names = _common_names(real, synthetic)
    sets = [
        np.array([[vector[name] for name in names] for vector in vectors], np.float64) for vectors in (real, synthetic)
    ]
    sets = [matrix[np.isfinite(matrix).any(1)] for matrix in sets]
    dropped: dict[str, str] = {}
    for number, name in enumerate(names):
        for word, matrix in zip(("real", "synthetic"), sets, strict=True):
            share = (~np.isfinite(matrix[:, number])).mean() if len(matrix) else 0.0
            if share > UNDEFINED_LIMIT and name not in dropped:
                dropped[name] = f"undefined in {share:.0%} of the {word} images"
    kept = [number for number, name in enumerate(names) if name not in dropped]
    sets = [matrix[np.isfinite(matrix[:, kept]).all(1)][:, kept] for matrix in sets]
    if len(sets[0]):
        size = np.abs(sets[0]).max(0, initial=0)
        varying = np.ptp(sets[0], axis=0) > CONSTANT * size
        dropped |= {names[n]: "constant in the real set" for n, ok in zip(kept, varying, strict=True) if not ok}
        kept, sets = [n for n, ok in zip(kept, varying, strict=True) if ok], [matrix[:, varying] for matrix in sets]
    counts, notes, distance = [len(matrix) for matrix in sets], [], float("nan")
    if min(counts) < 2 or not kept:
        notes.append("not defined: it takes two images with defined features on each side and one feature that varies")
    else:
        scaled = standardize(*(torch.from_numpy(matrix) for matrix in sets))
        distance = frechet_distance(*scaled)
        if min(counts) <= len(kept):
            notes.append(
                f"{min(counts)} images for {len(kept)} features: strongly biased upward, read it beside the floor"
            )
    return {
        "name": DISTANCE_NAME,
        "distance": distance,
        "features": [names[n] for n in kept],
        "dropped": dropped,
        "n_real": counts[0],
        "n_synthetic": counts[1],
        "left_out_real": len(real) - counts[0],
        "left_out_synthetic": len(synthetic) - counts[1],
        "notes": notes,
    }


def _common_names(*sets: Sequence[dict[str, float]]) -> list[str]:
    for word, vectors in zip(("real", "synthetic"), sets, strict=True):
        if len(vectors) == 0:
            raise InputError(f"radiomics: the {word} set is empty; give at least two images")
    names = list(sets[0][0])
    for vector in (vector for vectors in sets for vector in vectors):
        if list(vector) != names:
            raise InputError(
                "radiomics: the images' features differ; use masks for all images or none, 2D or 3D for all"
            )
    return names


def _check(
    image: np.ndarray,
    mask: np.ndarray | None,
    spacing: Sequence[float] | None,
    scale: tuple[float, float] | None,
    levels: int,
) -> np.ndarray | None:
    """The mask as bool, or None; raises where something doesn't fit."""
    if image.ndim not in (2, 3):
        raise InputError(f"radiomics: an image of shape {image.shape}; give 2D or 3D images without channels")
    inside = None if mask is None else np.asarray(mask) > 0
    if inside is not None and inside.shape != image.shape:
        raise InputError(
            f"radiomics: mask of shape {inside.shape} for an image of {image.shape}; resample the mask first"
        )
    if spacing is not None and (len(spacing) != image.ndim or min(spacing) <= 0):
        raise InputError(
            f"radiomics: spacing {tuple(spacing)} for a {image.ndim}D image; give one length above 0 an axis"
        )
    if scale is not None and not scale[1] > scale[0]:
        raise InputError(f"radiomics: scale {tuple(scale)} is empty; give the lowest and the highest intensity")
    if levels < 2:
        raise InputError(f"radiomics: levels={levels}; at least 2 are needed")
    if not np.isfinite(image if inside is None else image[inside]).all():
        raise InputError("radiomics: the image holds NaN or infinite values; repair it or leave it out")
    return inside
