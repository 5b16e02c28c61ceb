"""How well a score tells two classes apart: ROC curves, their areas and DeLong's comparison of these, contingency."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .not_defined import NotDefinedError, value_or_nan


def exact_auc(scores: ArrayLike, positive: ArrayLike) -> Fraction:
    """Area under the ROC curve: the probability that of a random pair the positive scores higher, ties counting half.

    It is the statistic of Mann and Whitney over the number of pairs, and the area under the straight lines between
    `roc_points`.

    Args:
        scores: (N,).
        positive: bool (N,).

    Raises:
        NotDefinedError: one class only, or a score that is not a number.
    """
    scores, positive = _both_classes(scores, positive)
    above, below = scores[positive], np.sort(scores[~positive])
    # Twice the pairs won: a tie counts from the left, not from the right.
    doubled = below.searchsorted(above, "left").sum() + below.searchsorted(above, "right").sum()
    return Fraction(int(doubled), 2 * len(above) * len(below))


def roc_auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """`exact_auc` as a number, 0 to 1; NaN where it is not defined."""
    return value_or_nan(lambda: float(exact_auc(scores, positive)))


def roc_points(scores: ArrayLike, positive: ArrayLike) -> np.ndarray:
    """Corners of the ROC curve, (K + 1, 2) for K different scores: false and true positive rate, from (0, 0) to (1, 1).

    Point k calls the images with the k highest scores positive. Arguments and errors are those of `exact_auc`.
    """
    scores, positive = _both_classes(scores, positive)
    thresholds = np.unique(scores)[::-1, None]
    called = np.concatenate([np.zeros((1, len(scores)), bool), scores >= thresholds])
    return np.stack([called[:, ~positive].mean(1), called[:, positive].mean(1)], axis=1)


@dataclass(frozen=True)
class DelongAuc:
    """An area under the curve with its variance after DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44, 837).

    Attributes:
        value: the area.
        variance: of the area.
        n: scores that it rests on.
    """

    value: float
    variance: float
    n: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Both ends, by the normal distribution and kept within 0 and 1.

        Raises:
            NotDefinedError: a curve without variance, such as a perfect one.
        """
        if self.variance == 0:
            raise NotDefinedError(f"an area of {self.value:g} has no variance here")
        reach = special.ndtri((1 + level) / 2) * np.sqrt(self.variance)
        return max(0.0, float(self.value - reach)), min(1.0, float(self.value + reach))


@dataclass(frozen=True)
class DelongTest:
    """A comparison of two areas.

    Attributes:
        difference: first area less second.
        statistic: z where the curves are of the same images, t where they are not.
        degrees: of freedom of t; None for z.
        p_value: of equal areas, two-sided.
    """

    difference: float
    statistic: float
    degrees: float | None
    p_value: float


def delong_auc(scores: ArrayLike, positive: ArrayLike) -> DelongAuc:
    """Area and variance of one curve.

    Raises:
        NotDefinedError: as `exact_auc`, or less than two images of a class.
    """
    (area,), covariance, count = _delong(np.asarray(scores, float)[None], positive)
    return DelongAuc(float(area), float(covariance[0, 0]), count)


def delong_unpaired(first: DelongAuc, second: DelongAuc) -> DelongTest:
    """DeLong's test of two curves of different images, as `roc.test(paired = FALSE)` of R's pROC.

    The difference over its error is a t with the degrees of freedom of Welch and Satterthwaite.

    Raises:
        NotDefinedError: neither curve has variance.
    """
    variance = first.variance + second.variance
    if variance == 0:
        raise NotDefinedError("neither curve has variance")
    degrees = variance**2 / (first.variance**2 / (first.n - 1) + second.variance**2 / (second.n - 1))
    statistic = (first.value - second.value) / np.sqrt(variance)
    p_value = float(2 * special.stdtr(degrees, -abs(statistic)))
    return DelongTest(first.value - second.value, float(statistic), float(degrees), p_value)


def delong_paired(first: ArrayLike, second: ArrayLike, positive: ArrayLike) -> DelongTest:
    """DeLong's test of two scores of the same images, as `roc.test(paired = TRUE)` of R's pROC.

    Args:
        first, second: scores, (N,).
        positive: bool (N,).

    Raises:
        NotDefinedError: as `delong_auc`, or the difference has no variance, as that of equal scores.
    """
    areas, covariance, _ = _delong(np.stack([np.asarray(first, float), np.asarray(second, float)]), positive)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-15:  # what rounding leaves of zero
        raise NotDefinedError("the difference of the curves has no variance")
    statistic = (areas[0] - areas[1]) / np.sqrt(variance)
    return DelongTest(float(areas[0] - areas[1]), float(statistic), None, float(2 * special.ndtr(-abs(statistic))))


@dataclass(frozen=True)
class Contingency:
    """Images by what they are called and what they are."""

    true_negative: int
    false_negative: int
    false_positive: int
    true_positive: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives called so; NaN without positives."""
        return _share(self.true_positive, self.false_negative)

    @property
    def specificity(self) -> float:
        """Share of the negatives called so; NaN without negatives."""
        return _share(self.true_negative, self.false_positive)


def contingency(called: ArrayLike, positive: ArrayLike) -> Contingency:
    """The four counts of calls (bool, N) and truth (bool, N)."""
    called, positive = np.asarray(called, bool), np.asarray(positive, bool)
    pairs = ((~called & ~positive), (~called & positive), (called & ~positive), (called & positive))
    return Contingency(*(int(pair.sum()) for pair in pairs))


def _delong(scores: np.ndarray, positive: ArrayLike) -> tuple[np.ndarray, np.ndarray, int]:
    """Areas (K,) and their covariance (K, K), from how each image fares against all of the other class; and N."""
    positive = np.asarray(positive, bool)
    for row in scores:
        _both_classes(row, positive)
    if min(positive.sum(), (~positive).sum()) < 2:
        raise NotDefinedError("a variance takes at least two images of each class")
    above, below = scores[:, positive, None], scores[:, None, ~positive]
    wins = (above > below) + 0.5 * (above == below)  # (K, positives, negatives)
    covariance = sum(np.atleast_2d(np.cov(wins.mean(axis))) / wins.shape[3 - axis] for axis in (1, 2))
    return wins.mean((1, 2)), covariance, len(positive)


def _both_classes(scores: ArrayLike, positive: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if not scores.size:
        raise NotDefinedError("there is no image")
    if positive.all() or not positive.any():
        raise NotDefinedError(f"all images are {'positive' if positive.all() else 'negative'}")
    if np.isnan(scores).any():
        raise NotDefinedError("a score is not a number")
    return scores, positive


def _share(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else float("nan")
