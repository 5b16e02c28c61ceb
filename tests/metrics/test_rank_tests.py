import numpy as np
import pytest
from scipy import stats

from common.metrics.not_defined import NotDefinedError
from common.metrics.rank_tests import quartiles, rank_sum

# The figures are those of R 4.2.2.
FIRST = [1, 2, 1, 3, 2, 1, 4, 2, 3, 1, 2, 5, 3, 4, 5, 2, 4, 5, 3, 5, 4, 1]
SECOND = [2, 1, 3, 1, 4, 2, 3, 5, 2, 1, 1, 3, 4, 2, 3, 5, 4, 3, 1, 5, 2, 4]


def test_small_groups_without_ties_are_compared_exactly():
    """wilcox.test(c(1.1, 2.3, 3.7, 4.2, 5.9, 6.5), c(2.9, 4.8, 6.1, 7.7, 8.3)): W = 7, p-value = 0.177489177489."""
    found = rank_sum([1.1, 2.3, 3.7, 4.2, 5.9, 6.5], [2.9, 4.8, 6.1, 7.7, 8.3])
    assert (found.statistic, found.method) == (7, "exact")
    assert found.p_value == pytest.approx(0.177489177489)


def test_ties_are_compared_by_the_normal_distribution():
    """wilcox.test(first, second): W = 250, p-value = 0.85729170421, with continuity correction."""
    found = rank_sum(FIRST, SECOND)
    assert (found.statistic, found.method) == (250, "normal, continuity and ties corrected")
    assert found.p_value == pytest.approx(0.85729170421)


@pytest.mark.parametrize(
    ("count", "statistic", "p_value", "method"),
    [(50, 1032, 0.798121218371, "normal"), (49, 992, 0.92482090606, "exact")],
)
def test_fifty_values_are_too_many_for_the_exact_test(count, statistic, p_value, method):
    """wilcox.test(1:50, (1:40) * 1.2 + 0.05), and 1:49."""
    found = rank_sum(np.arange(1, count + 1), np.arange(1, 41) * 1.2 + 0.05)
    assert found.statistic == statistic and found.method.startswith(method)
    assert found.p_value == pytest.approx(p_value)


def test_p_is_that_of_scipys_own_rank_sum_test_but_for_the_corrections():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 300), rng.normal(0.2, 1, 280)
    assert rank_sum(first, second).p_value == pytest.approx(stats.ranksums(first, second).pvalue, rel=2e-3)


def test_what_is_not_defined_says_why():
    with pytest.raises(NotDefinedError, match="all values are equal"):
        rank_sum([3, 3], [3, 3, 3])
    with pytest.raises(NotDefinedError, match="both groups"):
        rank_sum([], [1, 2])
    with pytest.raises(NotDefinedError, match="no value"):
        quartiles([])


def test_quartiles_are_those_of_r():
    """quantile(c(4.2, 3.8, 4.6, 4.0, 5.0, 3.4), c(.25, .5, .75)): 3.85, 4.10, 4.50."""
    assert quartiles([4.2, 3.8, 4.6, 4.0, 5.0, 3.4]) == pytest.approx((3.85, 4.10, 4.50))
    assert quartiles(FIRST) == (2, 3, 4)
    assert quartiles([2]) == (2, 2, 2)
