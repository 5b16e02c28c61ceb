from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, stats

from common.errors import InputError
from common.metrics.reader_study import Rating, rating_auc, rating_counts, read_sheet, reader_study, roc_points

# The radiologist of Montoya-del-Angel et al. 2023, from surely synthetic to surely real.
REAL, SYNTHETIC = (1, 12, 3, 7, 5), (0, 11, 1, 11, 2)


def spread(counts):
    return [rating for rating, count in enumerate(counts) for _ in range(count)]


def sheet_of(reader, real, synthetic):
    rows = [Rating(f"real{i}", "real", reader, rating) for i, rating in enumerate(real)]
    return rows + [Rating(f"synthetic{i}", "synthetic", reader, rating) for i, rating in enumerate(synthetic)]


def write(path, lines, header="image,truth,reader,rating"):
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_the_papers_reader_has_an_auc_of_0_490_exactly():
    auc = rating_auc(spread(REAL), spread(SYNTHETIC))
    assert auc == Fraction(49, 100)
    assert f"{float(auc):.3f}" == "0.490"
    points = roc_points(spread(REAL), spread(SYNTHETIC))
    assert [(round(x, 3), round(y, 3)) for x, y in points] == [
        (0.036, 0),
        (0.464, 0.44),
        (0.571, 0.48),
        (0.821, 0.92),
        (1, 1),
    ]


def test_auc_is_that_of_mann_and_whitney_and_the_area_under_the_points():
    rng = np.random.default_rng(0)
    for _ in range(20):
        real, synthetic = rng.integers(0, 5, 31), rng.integers(0, 4, 17)
        auc = rating_auc(real, synthetic)
        assert float(auc) == pytest.approx(stats.mannwhitneyu(real, synthetic).statistic / (31 * 17))
        x, y = zip((0.0, 0.0), *roc_points(real, synthetic), strict=True)
        assert float(auc) == pytest.approx(integrate.trapezoid(y, x))
        assert rating_auc(synthetic, real) == 1 - auc


def test_auc_by_hand():
    assert rating_auc([4, 4], [0, 1]) == 1
    assert rating_auc([0], [4]) == 0
    assert rating_auc([2, 2, 2], [2]) == Fraction(1, 2)
    assert rating_auc([1, 3], [2, 1]) == Fraction(5, 8)
    assert rating_counts([0, 4, 4]).tolist() == [1, 0, 0, 0, 2]


def test_interval_agrees_with_that_of_delong():
    """DeLong et al. 1988: the variance from how each image fares against all of the other kind."""
    real, synthetic = np.array(spread(REAL)), np.array(spread(SYNTHETIC))
    wins = (real[:, None] > synthetic) + 0.5 * (real[:, None] == synthetic)
    error = np.sqrt(wins.mean(1).var(ddof=1) / len(real) + wins.mean(0).var(ddof=1) / len(synthetic))
    (reader,) = reader_study(sheet_of("one", real, synthetic))["readers"].values()
    assert reader["mean"] == 0.49 and reader["exact"] == "49/100"
    assert (reader["n"], reader["n_real"], reader["n_synthetic"]) == (53, 28, 25)
    assert reader["counts"] == {"real": list(REAL), "synthetic": list(SYNTHETIC)}
    assert reader["low"] == pytest.approx(0.49 - 1.96 * error, abs=0.02)
    assert reader["high"] == pytest.approx(0.49 + 1.96 * error, abs=0.02)


def test_several_readers_have_their_own_figures_and_a_mean():
    good, bad = sheet_of("good", [4] * 8, [0] * 6), sheet_of("bad", [2] * 8, [2] * 6)
    study = reader_study(good + bad, resamples=200)
    assert {name: reader["mean"] for name, reader in study["readers"].items()} == {"good": 1.0, "bad": 0.5}
    assert study["mean"] == {"mean": 0.75, "low": 0.75, "high": 0.75, "n": 14, "n_readers": 2}


def test_the_same_reader_twice_is_no_more_certain_than_once():
    """Images are resampled, not ratings."""
    real, synthetic = spread(REAL), spread(SYNTHETIC)
    once = reader_study(sheet_of("a", real, synthetic))["mean"]
    twice = reader_study(sheet_of("a", real, synthetic) + sheet_of("b", real, synthetic))["mean"]
    assert (once["low"], once["high"]) == pytest.approx((twice["low"], twice["high"]))


def test_readers_may_have_rated_different_images():
    first = sheet_of("first", [4, 3], [1, 0])
    second = [Rating(rating.image + "b", rating.truth, "second", 4 - rating.rating) for rating in first]
    study = reader_study(first + second, resamples=50)
    assert [reader["mean"] for reader in study["readers"].values()] == [1.0, 0.0]
    assert [reader["n"] for reader in study["readers"].values()] == [4, 4]
    assert (study["mean"]["mean"], study["mean"]["n"]) == (0.5, 8)


def test_sheet_is_read(tmp_path):
    lines = ["x.png,real,Dr A,4,seen", "y.png, Synthetic ,Dr A,0,", "x.png,real,Dr B,1,"]
    path = write(tmp_path / "sheet.csv", [*lines, "y.png,synthetic,Dr B,1,"], "image,truth,reader,rating,note")
    ratings = read_sheet(path)
    assert ratings[1] == Rating("y.png", "synthetic", "Dr A", 0)
    study = reader_study(ratings, resamples=50)
    assert {name: reader["mean"] for name, reader in study["readers"].items()} == {"Dr A": 1.0, "Dr B": 0.5}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["x,real,a,5"], "line 2: rating '5': use 0"),
        (["x,real,a,"], "rating ''"),
        (["x,real,a,2.5"], "rating '2.5'"),
        (["x,sinthetic,a,2"], "did you mean synthetic?"),
        (["x,real,a,2", "x,synthetic,b,2"], "both real and synthetic"),
        (["x,real,a,2", "x,real,a,3"], "a rates image x twice"),
        (["x,real,a,2"], "a rates only real images"),
        (["x,real,,2"], "line 2: has no reader"),
        ([], "holds no rating"),
    ],
)
def test_wrong_sheets_are_refused(tmp_path, lines, told):
    with pytest.raises(InputError) as refused:
        read_sheet(write(tmp_path / "sheet.csv", lines))
    assert told in str(refused.value)


def test_a_sheet_without_its_columns_or_without_a_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no column truth, rating"):
        read_sheet(write(tmp_path / "sheet.csv", ["x,a"], "image,reader"))
    with pytest.raises(InputError, match="cannot be read"):
        read_sheet(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="UTF-8"):
        read_sheet(tmp_path / "binary.csv")


def test_other_ratings_are_refused():
    for wrong in ([5], [-1], [0.5]):
        with pytest.raises(InputError, match="from 0 to 4"):
            rating_auc(wrong, [1])
    with pytest.raises(InputError, match="both real and synthetic"):
        rating_auc([1], [])
