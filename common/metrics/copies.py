"""Memorised training images among synthetic ones: nearest neighbours, an honest threshold, the share of copies.

A generator that memorised hands out training patients (Dar et al. 2025, "Unconditional latent diffusion models
memorize patient imaging data"). Here each synthetic image is compared with every training image in pixels
(`copy_search`) and, where an extractor's features are given, by features as well; real images that were never trained
on are compared in the same way and say how close honest images come.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .copy_descriptors import Descriptors, describe
from .copy_search import CopySearch, nearest_features
from .uncertainty import wilson_interval

Images = Iterable[tuple[str, np.ndarray]] | Descriptors

FACTOR, QUANTILE = 0.5, 0.05
IDENTICAL = 1e-4
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SPACES = ("pixel", "feature")


@dataclass(frozen=True)
class Match:
    """A synthetic image and the training image that it is closest to.

    Attributes:
        name: of the synthetic image.
        nearest, nearest_index: name and number of the training image nearest in pixels.
        flips: axes along which the synthetic image has to be flipped to lie on the training image.
        shift: pixels of the training image's grid by which the flipped image has to be moved, one an axis.
        pixel_distance: 1 - NCC; 0 is a copy, 1 has nothing in common beyond what all training images share.
        pixel_copy: whether that is at or below the threshold.
        feature_nearest, feature_distance, feature_copy: the same by features; None where none were given.
    """

    name: str
    nearest: str
    nearest_index: int
    flips: tuple[int, ...]
    shift: tuple[int, ...]
    pixel_distance: float
    pixel_copy: bool
    feature_nearest: str | None = None
    feature_distance: float | None = None
    feature_copy: bool | None = None


@dataclass(frozen=True)
class SpaceReport:
    """What was found in one space (pixel or feature).

    Attributes:
        threshold: distances at or below it count as copies; NaN where it can't be calibrated.
        rule: how it was set, in words.
        calibration: "validation" or "leave one out".
        copies: share of synthetic images that are copies: `mean`, `low`, `high` (Wilson, 95 %), `n`, `hits`.
        false_alarms: the same share among the calibration images. These also set the threshold, so it is a check of the
            rule and no independent estimate.
        synthetic_quantiles, calibration_quantiles: of the nearest distances, keyed "0.05" and so on.
    """

    threshold: float
    rule: str
    calibration: str
    copies: dict[str, float]
    false_alarms: dict[str, float]
    synthetic_quantiles: dict[str, float]
    calibration_quantiles: dict[str, float]


@dataclass(frozen=True)
class CopyReport:
    """The whole search.

    Attributes:
        matches: one a synthetic image, in their order.
        spaces: "pixel" and, where features were given, "feature".
        closest: numbers of the synthetic images with the smallest pixel distances, the closest first.
        facts: numbers of images, grid, shifts, image sizes, repeated images, notes in words.
    """

    matches: tuple[Match, ...]
    spaces: dict[str, SpaceReport]
    closest: tuple[int, ...]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All of it in JSON's types; what isn't defined is null."""
        return _plain(asdict(self))


def find_copies(
    synthetic: Images,
    training: Images,
    validation: Images | None = None,
    extractor_features: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None,
    max_shift: int = 4,
    factor: float = FACTOR,
    quantile: float = QUANTILE,
    threshold: float | None = None,
    feature_threshold: float | None = None,
    training_groups: Sequence[Hashable] | None = None,
    top: int = 12,
) -> CopyReport:
    """Compare every synthetic image with the training set and count the copies.

    The threshold is `factor` times the `quantile` of the calibration distances. These are the distances of the
    validation images to the training set, or, without a validation set, of each training image to the others. The
    defaults were chosen on phantoms in 2D: in units of that quantile planted copies (see `describe`) came to 0.14 at
    most, the closest honest images to 0.9 or more; half lies between, with room for more strongly changed copies.

    Args:
        synthetic, training, validation: streams of (name, image) with 2D or 3D float images, read once and one by one,
            or the `Descriptors` that were made of such. Sizes may differ: all are compared on one grid.
        extractor_features: (N, F) features of the synthetic, training and validation images in the same order; the
            third is None where there is no validation set.
        max_shift: pixels of the first training image by which a copy may have been moved along each axis.
        factor, quantile: of the rule.
        threshold, feature_threshold: absolute ones instead.
        training_groups: patient of each training image; without a validation set a training image is then compared
            with other patients alone.
        top: how many closest pairs are listed.

    Raises:
        InputError: no images, NaN in an image, 2D against 3D, features or groups whose number doesn't fit.
    """
    training = training if isinstance(training, Descriptors) else describe(training)
    synthetic, held_out = (
        s if s is None or isinstance(s, Descriptors) else describe(s, like=training) for s in (synthetic, validation)
    )
    groups = list(training_groups) if training_groups is not None else list(range(len(training)))
    if len(groups) != len(training):
        raise InputError(f"training_groups: {len(groups)} for {len(training)} training images; give one an image")
    search = CopySearch(training, max_shift)
    found = search.nearest(synthetic)
    honest = search.nearest(held_out) if held_out is not None else search.nearest(training, groups, groups)
    usable = np.isfinite(honest.distance) & (honest.distance > IDENTICAL)
    calibration = "leave one out" if held_out is None else "validation"
    spaces = {
        "pixel": _space(found.distance, honest.distance[usable], calibration, factor, quantile, threshold),
    }
    by_features = None
    if extractor_features is not None:
        sets = _check_features(extractor_features, synthetic, training, held_out)
        by_features = nearest_features(sets[0], sets[1])
        others = (
            nearest_features(sets[1], sets[1], groups, groups) if held_out is None else nearest_features(*sets[2:0:-1])
        )
        spaces["feature"] = _space(by_features[1], others[1][usable], calibration, factor, quantile, feature_threshold)
    matches = []
    for i, name in enumerate(synthetic.names):
        near = int(found.index[i])
        match = {
            "name": name,
            "nearest": training.names[near],
            "nearest_index": near,
            "flips": tuple(int(a) for a in np.flatnonzero(found.flips[i])),
            "shift": tuple(int(s) for s in found.shifts[i]),
            "pixel_distance": float(found.distance[i]),
            "pixel_copy": bool(found.distance[i] <= spaces["pixel"].threshold),
        }
        if by_features is not None:
            match |= {
                "feature_nearest": training.names[int(by_features[0][i])],
                "feature_distance": float(by_features[1][i]),
                "feature_copy": bool(by_features[1][i] <= spaces["feature"].threshold),
            }
        matches.append(Match(**match))
    facts = _facts(search, synthetic, training, held_out, int((~usable).sum()), max_shift)
    closest = np.argsort(found.distance, kind="stable")[:top]
    return CopyReport(tuple(matches), spaces, tuple(int(i) for i in closest), facts)


def check_gate(report: CopyReport, max_share: float, space: str = "pixel", sheet: str | None = None) -> None:
    """Fail where more than `max_share` of the synthetic images are copies.

    Args:
        report: of `find_copies`.
        max_share: 0 to 1; 0 allows no copy at all.
        space: pixel or feature.
        sheet: where the contact sheet lies, for the message.

    Raises:
        InputError: the share is higher, the threshold isn't defined, or a word or number is out of range.
    """
    if not 0 <= max_share <= 1:
        raise InputError(f"max_share={max_share}: a share of copies lies between 0 and 1")
    if space not in report.spaces:
        raise InputError(f"space={space}: this search has {' and '.join(report.spaces)}")
    found = report.spaces[space]
    if not np.isfinite(found.threshold):
        raise InputError(
            f"gate: no {space} threshold could be set ({found.rule}); give validation images or a threshold"
        )
    if found.copies["mean"] > max_share:
        worst = report.matches[report.closest[0]] if report.closest else None
        where = f"; look at {sheet}" if sheet else f"; the closest is {worst.name}, near {worst.nearest}"
        counts = f"{found.copies['hits']} of {found.copies['n']} synthetic images ({found.copies['mean']:.1%})"
        raise InputError(
            f"gate: {counts} are copies of training images, {max_share:.1%} are allowed"
            f" ({space} distance at or below {found.threshold:.4g}){where}"
        )


def _space(
    distances: np.ndarray, honest: np.ndarray, calibration: str, factor: float, quantile: float, absolute: float | None
) -> SpaceReport:
    if absolute is not None:
        limit, rule = float(absolute), "given"
    elif honest.size:
        limit = factor * float(np.quantile(honest, quantile))
        rule = f"{factor:g} x quantile {quantile:g} of {honest.size} {calibration} distances"
    else:
        limit, rule = float("nan"), f"no {calibration} distances"
    return SpaceReport(
        limit,
        rule,
        calibration,
        _share(distances, limit),
        _share(honest, limit),
        _quantiles(distances),
        _quantiles(honest),
    )


def _share(distances: np.ndarray, limit: float) -> dict[str, float]:
    hits, n = int((distances <= limit).sum()), len(distances)
    if not np.isfinite(limit) or n == 0:
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": n, "hits": 0}
    low, high = wilson_interval(hits, n)
    return {"mean": hits / n, "low": low, "high": high, "n": n, "hits": hits}


def _quantiles(distances: np.ndarray) -> dict[str, float]:
    values = np.quantile(distances, QUANTILES) if distances.size else [float("nan")] * len(QUANTILES)
    return {f"{q:g}": float(v) for q, v in zip(QUANTILES, values, strict=True)}


def _check_features(
    features: tuple[np.ndarray, np.ndarray, np.ndarray | None], *sets: Descriptors | None
) -> list[np.ndarray | None]:
    checked = []
    for word, matrix, images in zip(("synthetic", "training", "validation"), features, sets, strict=True):
        if images is None:
            checked.append(None)
            continue
        count = "none" if matrix is None else len(matrix)
        if count != len(images):
            raise InputError(f"features: {count} for {len(images)} {word} images; give one row an image")
        checked.append(np.asarray(matrix, np.float64))
        if not np.isfinite(checked[-1]).all():
            raise InputError(f"features of the {word} images hold NaN or infinite values; check the extractor")
    return checked


def _facts(
    search: CopySearch,
    synthetic: Descriptors,
    training: Descriptors,
    validation: Descriptors | None,
    repeated: int,
    max_shift: int,
) -> dict[str, Any]:
    sets = {"synthetic": synthetic, "training": training, "validation": validation}
    sizes = {
        word: {"x".join(map(str, shape)): count for shape, count in images.image_shapes.items()}
        for word, images in sets.items()
        if images is not None
    }
    notes = []
    if len({shape for images in sets.values() if images is not None for shape in images.image_shapes}) > 1:
        notes.append(f"images of different sizes were all brought to a grid of {'x'.join(map(str, training.grid))}")
    if validation is None:
        notes.append("no validation set: the threshold rests on distances within the training set, leaving each out")
    if repeated:
        what = (
            "training images occur more than once"
            if validation is None
            else "validation images lie in the training set"
        )
        notes.append(f"{repeated} {what}; left out of the calibration")
    return {
        "n": {word: len(images) for word, images in sets.items() if images is not None},
        "image_sizes": sizes,
        "grid": list(training.grid),
        "window": list(search.window),
        "max_shift": max_shift,
        "shift_steps": [steps.tolist() for steps in search.steps],
        "repeated_calibration_images": repeated,
        "notes": notes,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
