"""How far several raters agree: Kendall's W for ordered ratings, Fleiss' kappa for classes.

Both as in R's irr 0.84.1 (`kendall`, `kappam.fleiss`), which Kapsner et al. 2024 used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .not_defined import NotDefinedError

# Landis and Koch 1977, "The measurement of observer agreement for categorical data", table on page 165.
WORDS = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


@dataclass(frozen=True)
class Concordance:
    """Kendall's W with its test.

    Attributes:
        coefficient: W, 0 (no agreement) to 1 (one order).
        chi_squared: raters x (images - 1) x W.
        degrees: of freedom, images - 1.
        p_value: of no agreement, one-sided.
    """

    coefficient: float
    chi_squared: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class Kappa:
    """Fleiss' kappa with its test.

    Attributes:
        coefficient: 1 (agreement on all images), 0 (as often as by chance), below 0 (less often).
        z: kappa over its standard error where there is no agreement beyond chance.
        p_value: of that, two-sided.
    """

    coefficient: float
    z: float
    p_value: float


def kendall_w(ratings: ArrayLike, correct_ties: bool) -> Concordance:
    """Kendall's coefficient of concordance.

    W = 12 S / (m^2 (n^3 - n) - m T) for m raters and n images, with S the sum of squared deviations of the rank sums
    from their mean, and T the sum over raters and their groups of t equal ratings of t^3 - t (Siegel and Castellan
    1988, section 9.7). Equal ratings share the mean of their ranks; without correction T is 0, and W stays below 1
    where there are ties, however well raters agree.

    Args:
        ratings: ordered values, (m, n).
        correct_ties: whether T is subtracted.

    Raises:
        NotDefinedError: less than two raters or images, or no rater who tells any two images apart.
    """
    values = _matrix(ratings)
    raters, images = values.shape
    ordered = np.sort(values, axis=1)
    below = np.stack([row.searchsorted(own, "left") for row, own in zip(ordered, values, strict=True)])
    up_to = np.stack([row.searchsorted(own, "right") for row, own in zip(ordered, values, strict=True)])
    equal = (up_to - below).astype(float)  # t of the group to which an image belongs
    if (equal == images).all():
        raise NotDefinedError("each rater gave all images the same rating")
    deviations = ((below + up_to + 1) / 2).sum(0) - raters * (images + 1) / 2
    ties = float((equal**2 - 1).sum()) if correct_ties else 0.0  # over the t images of a group: t^3 - t
    coefficient = 12 * float(deviations @ deviations) / (raters**2 * (images**3 - images) - raters * ties)
    return concordance_test(coefficient, raters, images)


def concordance_test(coefficient: float, raters: int, images: int) -> Concordance:
    """The chi-squared test of a W: raters x (images - 1) x W has images - 1 degrees of freedom without agreement."""
    chi_squared = raters * (images - 1) * coefficient
    return Concordance(coefficient, chi_squared, images - 1, float(special.chdtrc(images - 1, chi_squared)))


def fleiss_kappa(ratings: ArrayLike) -> Kappa:
    """Fleiss' kappa.

    Fleiss 1971, Psychological Bulletin 76, 378; the standard error without agreement is that of Fleiss, Nee and Landis
    1979, Psychological Bulletin 86, 974.

    Args:
        ratings: classes as numbers, (m raters, n images).

    Raises:
        NotDefinedError: less than two raters or images, or one class only.
    """
    values = _matrix(ratings)
    raters, images = values.shape
    classes = np.unique(values)
    if len(classes) < 2:
        raise NotDefinedError("all raters gave all images the same rating")
    counts = np.stack([(values == name).sum(0) for name in classes], axis=1)  # (n, classes)
    shares = counts.sum(0) / (raters * images)
    by_chance = float((shares**2).sum())
    agreement = float(((counts**2).sum(1) - raters).mean() / (raters * (raters - 1)))
    coefficient = (agreement - by_chance) / (1 - by_chance)
    spread = shares * (1 - shares)
    excess = float(spread.sum() ** 2 - (spread * (1 - 2 * shares)).sum())
    error = np.sqrt(2 * excess / (images * raters * (raters - 1))) / spread.sum()
    return Kappa(coefficient, float(coefficient / error), float(2 * special.ndtr(-abs(coefficient / error))))


def agreement_word(coefficient: float) -> str:
    """The word of Landis and Koch 1977: poor below 0, slight to 0.2, fair to 0.4, and so on to almost perfect."""
    if coefficient < 0:
        return "poor"
    return next((word for bound, word in WORDS if coefficient <= bound), "almost perfect")


def _matrix(ratings: ArrayLike) -> np.ndarray:
    values = np.asarray(ratings, float)
    if values.shape[0] < 2:
        raise NotDefinedError("agreement takes at least two raters")
    if values.shape[1] < 2:
        raise NotDefinedError("less than two images were rated by all raters")
    return values
