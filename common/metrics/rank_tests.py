"""Two groups of ratings: Wilcoxon's rank-sum test, medians and quartiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .not_defined import NotDefinedError

EXACT_BELOW = 50  # values in each group, as in R's wilcox.test


@dataclass(frozen=True)
class RankSum:
    """Wilcoxon's rank-sum test (Mann and Whitney's).

    Attributes:
        statistic: pairs in which the first group's value is higher, ties counting half: R's W, Mann and Whitney's U.
        p_value: of equal distributions, two-sided.
        method: `exact`, or `normal, continuity and ties corrected`.
    """

    statistic: float
    p_value: float
    method: str


def rank_sum(first: ArrayLike, second: ArrayLike) -> RankSum:
    """Whether values of one group are higher than those of another, (N,) and (M,).

    Exact where there are no ties and less than 50 values in each group, else by the normal distribution, as
    `wilcox.test` of R does.

    Raises:
        NotDefinedError: an empty group, or all values equal.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if not first.size or not second.size:
        raise NotDefinedError("a comparison takes values of both groups")
    both = np.concatenate([first, second])
    different = len(np.unique(both))
    if different == 1:
        raise NotDefinedError("all values are equal")
    exact = different == both.size and max(first.size, second.size) < EXACT_BELOW
    found = stats.mannwhitneyu(first, second, method="exact" if exact else "asymptotic", use_continuity=True)
    method = "exact" if exact else "normal, continuity and ties corrected"
    return RankSum(float(found.statistic), float(found.pvalue), method)


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of (N,), linear between values (R's type 7).

    Raises:
        NotDefinedError: no value.
    """
    values = np.asarray(values, float)
    if not values.size:
        raise NotDefinedError("there is no value")
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)
