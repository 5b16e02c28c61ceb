"""Whether people can tell synthetic images from real ones: ROC of their ratings.

Montoya-del-Angel et al. 2023 (arXiv 2311.09822) let a radiologist rate images from 0 (surely synthetic) to 4 (surely
real). Synthetic images are the positives and low ratings speak for them: an AUC of 0.5 says that the reader cannot tell
them, 1 that they are told from real ones without fail, below 0.5 that they look more real than real ones.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..knobs import as_path
from .uncertainty import statistic_with_interval

LEVELS = 5
REAL, SYNTHETIC = "real", "synthetic"
COLUMNS = ("image", "truth", "reader", "rating")


@dataclass(frozen=True)
class Rating:
    """What a reader made of an image.

    Attributes:
        image: its name.
        truth: `real` or `synthetic`.
        reader: name of the person.
        rating: 0 (surely synthetic) to 4 (surely real).
    """

    image: str
    truth: str
    reader: str
    rating: int


def read_sheet(path: str | Path) -> list[Rating]:
    """Ratings from a CSV file with the columns image, truth, reader and rating; further columns are ignored.

    Raises:
        InputError: a missing file or column, a word or rating that is none, an image rated twice by a reader or called
            both real and synthetic, or nothing to compare.
    """
    path = as_path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            rows, columns = list(table), table.fieldnames or []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from error
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}; a sheet has {', '.join(COLUMNS)}")
    ratings = [_rating(row, f"{path} line {number}") for number, row in enumerate(rows, 2)]
    truths: dict[str, str] = {}
    seen = set()
    for rating in ratings:
        if truths.setdefault(rating.image, rating.truth) != rating.truth:
            raise InputError(f"{path}: image {rating.image} is called both real and synthetic; correct one")
        if (rating.image, rating.reader) in seen:
            raise InputError(f"{path}: {rating.reader} rates image {rating.image} twice; keep one line")
        seen.add((rating.image, rating.reader))
    for name in dict.fromkeys(rating.reader for rating in ratings):
        kinds = {rating.truth for rating in ratings if rating.reader == name}
        if len(kinds) < 2:
            raise InputError(f"{path}: {name} rates only {kinds.pop()} images; both kinds are needed")
    if not ratings:
        raise InputError(f"{path}: holds no rating; fill it in")
    return ratings


def rating_counts(ratings: Sequence[int]) -> np.ndarray:
    """How often each of the ratings 0 to 4 occurs, (5,).

    Raises:
        InputError: another rating.
    """
    values = np.asarray(ratings)
    if values.size and (values.min() < 0 or values.max() >= LEVELS or (values != np.floor(values)).any()):
        raise InputError(
            f"ratings: whole numbers from 0 to {LEVELS - 1} are needed, found {sorted(set(values.tolist()))}"
        )
    return np.bincount(values.astype(int), minlength=LEVELS)


def rating_auc(ratings_real: Sequence[int], ratings_synthetic: Sequence[int]) -> Fraction:
    """Probability that a synthetic image is rated lower than a real one, ties counting half; exact.

    The area under the ROC curve of `roc_points`, and the statistic of Mann and Whitney over the number of pairs.

    Args:
        ratings_real, ratings_synthetic: 0 (surely synthetic) to 4 (surely real), one an image.

    Raises:
        InputError: other ratings, or none of either kind.
    """
    real, synthetic = _both_counts(ratings_real, ratings_synthetic)
    return _auc(real, synthetic)


def roc_points(ratings_real: Sequence[int], ratings_synthetic: Sequence[int]) -> list[tuple[float, float]]:
    """The curve's points (share of real images called synthetic, share of synthetic ones), from strict to lax.

    The first calls only rating 0 synthetic, the last calls everything so; (0, 0) is not listed. Arguments and errors
    are those of `rating_auc`.
    """
    real, synthetic = _both_counts(ratings_real, ratings_synthetic)
    false, true = np.cumsum(real) / real.sum(), np.cumsum(synthetic) / synthetic.sum()
    return [(float(x), float(y)) for x, y in zip(false, true, strict=True)]


def reader_study(ratings: Sequence[Rating], seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """AUC of each reader, and their mean, with bootstrap intervals over images.

    All ratings of an image go together, so that the mean's interval knows that readers agree on images; that other
    readers may differ from these it does not know.

    Args:
        ratings: of one or more readers.
        seed, resamples: of the bootstrap.

    Returns:
        `readers`: by name, `mean` (the AUC), `low`, `high`, `n` (images), `n_real`, `n_synthetic`, `exact` (the AUC as
        a fraction), `roc` (`roc_points`) and `counts` by truth; `mean`: as `statistic_with_interval` over all images,
        with `n_readers`.

    Raises:
        InputError: a reader who rated images of one kind only.
    """
    images = list(dict.fromkeys(rating.image for rating in ratings))
    place = {image: number for number, image in enumerate(images)}
    names = list(dict.fromkeys(rating.reader for rating in ratings))
    # One indicator by reader, image, truth and rating: counts of any resample are sums over images.
    table = np.zeros((len(names), len(images), 2, LEVELS), int)
    for rating in ratings:
        table[names.index(rating.reader), place[rating.image], int(rating.truth == SYNTHETIC), rating.rating] = 1
    results: dict[str, Any] = {"readers": {}}
    for number, name in enumerate(names):
        real, synthetic = table[number].sum(0)
        expanded = [np.repeat(np.arange(LEVELS), counts) for counts in (real, synthetic)]
        exact = rating_auc(*expanded)
        own = table[number][table[number].any((1, 2))]
        interval = statistic_with_interval(lambda i, own=own: _mean_auc(own[None], i), len(own), seed, resamples)
        results["readers"][name] = interval | {
            "n_real": int(real.sum()),
            "n_synthetic": int(synthetic.sum()),
            "exact": str(exact),
            "roc": roc_points(*expanded),
            "counts": {REAL: real.tolist(), SYNTHETIC: synthetic.tolist()},
        }
    mean = statistic_with_interval(lambda i: _mean_auc(table, i), len(images), seed, resamples)
    return results | {"mean": mean | {"n_readers": len(names)}}


def _mean_auc(table: np.ndarray, indices: np.ndarray) -> float:
    """Mean over readers of the AUC on some images; NaN where a reader has one kind of image only."""
    counts = table[:, indices].sum(1)
    if (counts.sum(2) == 0).any():
        return float("nan")
    return float(np.mean([float(_auc(real, synthetic)) for real, synthetic in counts]))


def _auc(real: np.ndarray, synthetic: np.ndarray) -> Fraction:
    below = np.cumsum(synthetic) - synthetic
    return Fraction(int((real * (2 * below + synthetic)).sum()), int(2 * real.sum() * synthetic.sum()))


def _both_counts(ratings_real: Sequence[int], ratings_synthetic: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    real, synthetic = rating_counts(ratings_real), rating_counts(ratings_synthetic)
    if not real.sum() or not synthetic.sum():
        raise InputError("ratings: both real and synthetic images are needed for a ROC curve")
    return real, synthetic


def _rating(row: dict[str, str | None], where: str) -> Rating:
    image, truth, reader, rating = ((row[name] or "").strip() for name in COLUMNS)
    if not image or not reader:
        raise InputError(f"{where}: has no {'reader' if image else 'image'}; fill it in")
    if truth.lower() not in (REAL, SYNTHETIC):
        nearest = difflib.get_close_matches(truth.lower(), (REAL, SYNTHETIC), n=1, cutoff=0)[0]
        raise InputError(f"{where}: truth '{truth}': did you mean {nearest}? Use real or synthetic")
    if rating not in {str(level) for level in range(LEVELS)}:
        raise InputError(f"{where}: rating '{rating}': use 0 (surely synthetic) to 4 (surely real)")
    return Rating(image, truth.lower(), reader, int(rating))
