import numpy as np
import pytest
from scipy import stats

from common.metrics.not_defined import NotDefinedError, value_or_nan, value_or_reason
from common.metrics.rater_agreement import agreement_word, concordance_test, fleiss_kappa, kendall_w

# Zar 2010, "Biostatistical Analysis", Example 20.5: wing, tail and bill length of twelve birds, with ties.
BIRDS = [
    [10.4, 10.8, 11.1, 10.2, 10.3, 10.2, 10.7, 10.5, 10.8, 11.2, 10.6, 11.4],
    [7.4, 7.6, 7.9, 7.2, 7.4, 7.1, 7.4, 7.2, 7.8, 7.7, 7.8, 8.3],
    [17.0, 17.0, 20.0, 14.5, 15.5, 13.0, 19.5, 16.0, 21.0, 20.0, 18.0, 22.0],
]
# Fleiss 1971, Table 1: diagnoses of 30 patients by 6 raters, counts of the 5 classes; `diagnoses` in R's irr.
DIAGNOSES = (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 "
    "00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"
)


def diagnoses():
    """(6 raters, 30 patients); who of the raters said what does not matter to the kappa."""
    return np.array([[k for k, count in enumerate(row) for _ in range(int(count))] for row in DIAGNOSES.split()]).T


def test_published_example_of_w_with_ties():
    """By hand, from the rank sums of the book: 14.5 21 30.5 6 11 3.5 20 11.5 29 28.5 22.5 36, whose mean is 19.5.

    S = 25 + 2.25 + 121 + 182.25 + 72.25 + 256 + .25 + 64 + 90.25 + 81 + 9 + 272.25 = 1175.5. Without correction
    W = 12 x 1175.5 / (9 x 1716). Ties: wing 2 + 2, tail 2 + 3 + 2, bill 2 + 2 birds, so T =
    2 x 6 + (6 + 24 + 6) + 2 x 6 = 60, and W = 12 x 1175.5 / (9 x 1716 - 3 x 60).
    """
    plain, corrected = kendall_w(BIRDS, correct_ties=False), kendall_w(BIRDS, correct_ties=True)
    assert plain.coefficient == pytest.approx(14106 / 15444)
    assert corrected.coefficient == pytest.approx(14106 / 15264)
    assert corrected.degrees == 11
    # R 4.2.2: friedman.test(rbind(wing, tail, bill)), whose statistic is m (n - 1) times the corrected W.
    assert corrected.chi_squared == pytest.approx(30.496, abs=5e-4)
    assert corrected.p_value == pytest.approx(0.001324, abs=5e-7)


def test_w_is_that_of_friedmans_test_on_any_ratings():
    rng = np.random.default_rng(0)
    for raters, images, levels in ((3, 10, 3), (5, 40, 5), (4, 25, 1000)):
        ratings = rng.integers(0, levels, (raters, images))
        friedman = stats.friedmanchisquare(*ratings.T)
        found = kendall_w(ratings, correct_ties=True)
        assert found.chi_squared == pytest.approx(friedman.statistic)
        assert found.p_value == pytest.approx(friedman.pvalue)


def test_w_without_ties_needs_no_correction_and_is_1_for_one_order():
    rng = np.random.default_rng(1)
    ratings = np.stack([rng.permutation(9) for _ in range(3)])
    assert kendall_w(ratings, True) == kendall_w(ratings, False)
    assert kendall_w([[1, 2, 3, 4], [10, 20, 30, 40]], False).coefficient == 1
    tied = [[1, 1, 2, 2], [3, 3, 5, 5]]
    assert kendall_w(tied, True).coefficient == pytest.approx(1)
    assert kendall_w(tied, False).coefficient == pytest.approx(0.8)  # 12 x 16 / (4 x 60)


def test_p_of_the_papers_coefficients():
    """Kapsner et al. 2024, 5 raters and 102 images: W 0.24 with p 0.084, 0.21 with 0.291, 0.33 and 0.30 below 0.001."""
    found = concordance_test(0.24, 5, 102)
    assert (found.chi_squared, found.degrees) == (pytest.approx(121.2), 101)
    assert found.p_value == pytest.approx(0.083, abs=5e-4)
    for w, p in ((0.24, 0.084), (0.21, 0.291)):  # within the rounding of W
        assert concordance_test(w + 0.005, 5, 102).p_value < p < concordance_test(w - 0.005, 5, 102).p_value
    assert concordance_test(0.30, 5, 102).p_value < 0.001


def test_published_example_of_fleiss_kappa():
    """R, irr 0.84.1: kappam.fleiss(diagnoses) gives Kappa 0.4302445 and z 17.65183."""
    found = fleiss_kappa(diagnoses())
    assert found.coefficient == pytest.approx(0.4302445, abs=5e-8)
    assert found.z == pytest.approx(17.65183, abs=5e-6)
    assert found.p_value < 1e-60


def test_kappa_is_that_of_statsmodels():
    """statsmodels 0.14: fleiss_kappa(aggregate_raters(ratings.T)[0])."""
    ratings = np.array(
        [
            [0, 1, 1, 0, 2, 1, 0, 0, 1, 2, 2, 0],
            [0, 1, 0, 0, 2, 1, 1, 0, 1, 2, 1, 0],
            [0, 1, 1, 0, 2, 2, 0, 0, 1, 1, 2, 0],
            [1, 1, 1, 0, 2, 1, 0, 2, 1, 2, 2, 0],
        ]
    )
    assert fleiss_kappa(ratings).coefficient == pytest.approx(0.5555555555555556)
    assert fleiss_kappa(ratings >= 1).coefficient == pytest.approx(0.6444444444444445)


@pytest.mark.parametrize(
    ("kappa", "raters", "images", "p"),
    [(-0.009, 5, 204, 0.682), (0.13, 3, 102, 0.024)],
)
def test_p_of_the_papers_kappas(kappa, raters, images, p):
    """Kapsner et al. 2024: both p follow within the rounding of kappa, with all 204 images and with 102.

    Of two classes the error without agreement is sqrt(2 / (images raters (raters - 1))), whatever their shares.
    """
    ratings = np.random.default_rng(0).integers(0, 2, (raters, images))
    found = fleiss_kappa(ratings)
    error = found.coefficient / found.z
    assert error == pytest.approx(np.sqrt(2 / (images * raters * (raters - 1))))
    spread = 0.0005 if abs(kappa) < 0.1 else 0.005
    low, high = sorted(2 * stats.norm.sf((abs(kappa) + step) / error) for step in (-spread, spread))
    assert low < p < high


def test_kappa_of_agreement_and_of_dispute():
    assert fleiss_kappa([[0, 1, 0, 1], [0, 1, 0, 1]]).coefficient == pytest.approx(1)
    assert fleiss_kappa([[0, 1], [1, 0]]).coefficient == pytest.approx(-1)


@pytest.mark.parametrize(
    ("statistic", "ratings", "reason"),
    [
        (kendall_w, [[2, 2, 2], [3, 3, 3]], "same rating"),
        (kendall_w, [[1, 2, 3]], "two raters"),
        (kendall_w, [[1], [2]], "two images"),
        (kendall_w, np.zeros((2, 0)), "two images"),
        (fleiss_kappa, [[1, 1], [1, 1]], "same rating"),
        (fleiss_kappa, [[0, 1]], "two raters"),
    ],
)
def test_what_is_not_defined_says_why(statistic, ratings, reason):
    arguments = (True,) if statistic is kendall_w else ()
    with pytest.raises(NotDefinedError, match=reason):
        statistic(ratings, *arguments)
    assert reason in value_or_reason(lambda: statistic(ratings, *arguments))
    assert np.isnan(value_or_nan(lambda: statistic(ratings, *arguments)))


def test_one_constant_rater_leaves_w_defined():
    assert 0 < kendall_w([[2, 2, 2], [1, 2, 3]], True).coefficient < 1


def test_words_of_landis_and_koch():
    """As Kapsner et al. 2024 use them: 0.77 substantial, 0.85 almost perfect, 0.13 slight, -0.009 poor and so on."""
    words = {-0.009: "poor", 0.0: "slight", 0.13: "slight", 0.2: "slight", 0.21: "fair", 0.33: "fair", 0.5: "moderate"}
    words |= {0.55: "moderate", 0.67: "substantial", 0.77: "substantial", 0.85: "almost perfect", 1.0: "almost perfect"}
    assert {value: agreement_word(value) for value in words} == words
