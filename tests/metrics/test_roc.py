from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, stats

from common.metrics.not_defined import NotDefinedError
from common.metrics.roc import (
    Contingency,
    contingency,
    delong_auc,
    delong_paired,
    delong_unpaired,
    exact_auc,
    roc_auc,
    roc_points,
)
from common.metrics.uncertainty import statistic_with_interval

# Two scores of the same 22 images, the last 10 positive, and one of 15 others, the last 7 positive. The figures were
# made by R 4.2.2 with pROC 1.18.0: ra <- roc(truth, a, direction = "<", levels = c(0, 1)), and so on.
A = np.array([1, 2, 1, 3, 2, 1, 4, 2, 3, 1, 2, 5, 3, 4, 5, 2, 4, 5, 3, 5, 4, 1])
B = np.array([2, 1, 3, 1, 4, 2, 3, 5, 2, 1, 1, 3, 4, 2, 3, 5, 4, 3, 1, 5, 2, 4])
TRUTH = np.arange(22) >= 12
OTHER = np.array([1, 3, 2, 4, 1, 5, 2, 2, 3, 5, 4, 2, 5, 4, 4])
OTHER_TRUTH = np.arange(15) >= 8

# The radiologist of Montoya-del-Angel et al. 2023: how often which rating, from 0 surely synthetic to 4 surely real.
REAL, SYNTHETIC = (1, 12, 3, 7, 5), (0, 11, 1, 11, 2)


def published_reader():
    """Scores that are high for synthetic images, and which are."""
    ratings = np.concatenate([np.repeat(range(5), REAL), np.repeat(range(5), SYNTHETIC)])
    return 4 - ratings, np.arange(53) >= 28


def test_the_papers_reader_has_an_auc_of_0_490_exactly():
    scores, synthetic = published_reader()
    assert exact_auc(scores, synthetic) == Fraction(49, 100)
    assert roc_auc(scores, synthetic) == 0.49
    assert roc_points(scores, synthetic).round(3).tolist() == [
        [0, 0],
        [0.036, 0],
        [0.464, 0.44],
        [0.571, 0.48],
        [0.821, 0.92],
        [1, 1],
    ]


def test_auc_is_that_of_mann_and_whitney_and_the_area_under_the_points():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, positive = rng.integers(0, 5, 48), rng.permutation(np.arange(48) < 17)
        auc = exact_auc(scores, positive)
        won = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
        assert auc == Fraction(int(2 * won), 2 * 31 * 17)
        assert float(auc) == pytest.approx(integrate.trapezoid(*roc_points(scores, positive).T[::-1]))
        assert exact_auc(-scores, positive) == 1 - auc == exact_auc(scores, ~positive)


def test_auc_by_hand():
    assert exact_auc([0, 0, 1, 1], [False, False, True, True]) == 1
    assert exact_auc([1, 0], [False, True]) == 0
    assert exact_auc([2, 2, 2], [False, True, False]) == Fraction(1, 2)
    assert exact_auc([1, 3, 2, 1], [True, True, False, False]) == Fraction(5, 8)
    assert exact_auc([-np.inf, np.inf], [False, True]) == 1


@pytest.mark.parametrize(
    ("scores", "positive", "reason"),
    [
        ([1, 2], [True, True], "all images are positive"),
        ([1, 2], [False, False], "all images are negative"),
        ([], [], "no image"),
        ([1, np.nan], [True, False], "not a number"),
    ],
)
def test_an_area_that_is_not_defined_says_why(scores, positive, reason):
    for statistic in (exact_auc, roc_points, delong_auc):
        with pytest.raises(NotDefinedError, match=reason):
            statistic(scores, positive)
    assert np.isnan(roc_auc(scores, positive))


def test_delongs_variance_and_interval_are_those_of_proc():
    """var(ra, method = "delong") and ci.auc(ra, method = "delong")."""
    first, second = delong_auc(A, TRUTH), delong_auc(B, TRUTH)
    assert (first.value, first.variance) == pytest.approx((0.7666666666667, 0.0113489057239))
    assert (second.value, second.variance) == pytest.approx((0.7041666666667, 0.0129640151515))
    assert first.interval() == pytest.approx((0.557869267262, 0.975464066072))
    reader = delong_auc(*published_reader())
    assert (reader.value, reader.variance) == pytest.approx((0.49, 0.00575948129252))
    assert reader.interval() == pytest.approx((0.34125589015439, 0.63874410984561))


def test_delongs_paired_test_is_that_of_proc():
    """roc.test(ra, rb, method = "delong", paired = TRUE)."""
    found = delong_paired(A, B, TRUTH)
    assert (found.statistic, found.p_value) == pytest.approx((0.386489764147, 0.699133981869))
    assert found.difference == pytest.approx(0.0625) and found.degrees is None
    assert delong_paired(B, A, TRUTH).statistic == pytest.approx(-found.statistic)


def test_delongs_unpaired_test_is_that_of_proc():
    """roc.test(ra, rc, method = "delong", paired = FALSE)."""
    other = delong_auc(OTHER, OTHER_TRUTH)
    assert other.value == pytest.approx(0.7767857142857)
    found = delong_unpaired(delong_auc(A, TRUTH), other)
    assert (found.statistic, found.degrees) == pytest.approx((-0.0614009959188, 30.7493143090951))
    assert found.p_value == pytest.approx(0.9514372254380)


def test_bootstrap_interval_is_that_of_proc():
    """ci.auc(ra, method = "bootstrap", boot.n = 20000, boot.stratified = FALSE), as far as 2000 draws can tell."""

    def interval(scores, positive):
        found = statistic_with_interval(lambda i: roc_auc(scores[i], positive[i]), len(scores))
        return found["low"], found["high"]

    assert interval(A, TRUTH) == pytest.approx((0.5455, 0.9487), abs=0.02)
    assert interval(*published_reader()) == pytest.approx((0.3421, 0.6355), abs=0.015)


def test_curves_without_variance_have_no_interval_and_no_test():
    perfect = delong_auc([0, 0, 1, 1], [False, False, True, True])
    assert (perfect.value, perfect.variance) == (1, 0)
    with pytest.raises(NotDefinedError, match="area of 1 has no variance"):
        perfect.interval()
    with pytest.raises(NotDefinedError, match="neither curve"):
        delong_unpaired(perfect, delong_auc([2, 2, 2, 2], [False, False, True, True]))
    with pytest.raises(NotDefinedError, match="difference"):
        delong_paired(A, 10 * A, TRUTH)
    with pytest.raises(NotDefinedError, match="two images of each"):
        delong_auc([1, 2, 3], [True, False, False])


def test_intervals_stay_within_0_and_1():
    low, high = delong_auc([0, 1, 1, 2, 2, 3], [False, False, True, False, True, True]).interval()
    assert 0 < low < high == 1


@pytest.mark.parametrize(
    ("counts", "sensitivity", "specificity"),
    [
        ((43, 23, 8, 28), 0.549, 0.843),
        ((48, 11, 3, 40), 0.784, 0.941),
        ((78, 67, 24, 35), 0.343, 0.765),
    ],
)
def test_sensitivity_and_specificity_of_the_papers_tables(counts, sensitivity, specificity):
    """Kapsner et al. 2024, Table 3 (BI-RADS >= 4, real and synthetic) and Table 4: 66 % missed, specificity 76 %."""
    found = Contingency(*counts)
    assert found.sensitivity == pytest.approx(sensitivity, abs=5e-4)
    assert found.specificity == pytest.approx(specificity, abs=5e-4)
    called = np.repeat([False, False, True, True], counts)
    truth = np.repeat([False, True, False, True], counts)
    assert contingency(called, truth) == found


def test_shares_of_nothing_are_not_numbers():
    found = contingency([True, False], [True, True])
    assert found == Contingency(0, 1, 0, 1)
    assert found.sensitivity == 0.5 and np.isnan(found.specificity)
