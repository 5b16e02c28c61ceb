import sys

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.reports.kinetics_plots import cohort_chart, lesion_chart, save_chart

REAL = np.array([[120.0, 150, 160], [100, 180, 140]])
SYNTHETIC = REAL * 0.9
PRE = np.array([60.0, 80])


def series(axes):
    """Lines of error bars by their label."""
    return {c.get_label(): np.array(c.lines[0].get_data()) for c in axes.containers}


def test_cohort_chart_shows_means_spread_and_the_flat_line():
    axes = cohort_chart(REAL, SYNTHETIC, PRE).axes[0]
    assert series(axes)["real"][1].tolist() == [110, 165, 150]
    assert series(axes)["synthetic"][1] == pytest.approx([99, 148.5, 135])
    bars = {c.get_label(): c.lines[2][0].get_segments() for c in axes.containers}
    assert [(s[0][1], s[1][1]) for s in bars["real"]] == [(100, 120), (150, 180), (140, 160)]
    flat = next(line for line in axes.lines if line.get_label() == "pre-contrast")
    assert list(flat.get_ydata()) == [70, 70]


def test_lesion_chart_has_circles_and_crosses_with_area_by_deviation():
    std = np.array([[10.0, 20, 5], [40, 10, 0]])
    axes = lesion_chart(REAL, SYNTHETIC, std, std / 2, ["a", "b"]).axes[0]
    drawn = axes.collections
    assert len(drawn) == 6
    assert drawn[0].get_offsets().tolist() == [[0, 120], [1, 100]]
    assert drawn[1].get_offsets()[:, 1].tolist() == pytest.approx([108, 90])
    assert drawn[0].get_sizes()[1] == 4 * drawn[0].get_sizes()[0] == 2 * drawn[1].get_sizes()[1]
    colors = {tuple(drawn[i].get_edgecolor()[0]) for i in (0, 2, 4)}
    assert len(colors) == 3
    assert tuple(drawn[1].get_edgecolor()[0]) in colors
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_files_are_deterministic_marked_and_leave_pyplot_alone(tmp_path):
    for name in ("a.png", "b.png"):
        save_chart(tmp_path / name, cohort_chart(REAL, SYNTHETIC, PRE, "scanner units"), {"Cases": "2"})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = Image.open(tmp_path / "a.png")
    assert picture.size == (870, 540)
    assert picture.text["Description"].startswith("SYNTHETIC")
    assert set(picture.text) == {"Description", "Cases"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.parametrize(
    ("chart", "message"),
    [
        (lambda: cohort_chart(REAL, SYNTHETIC[:1], PRE), r"tables of \(2, 3\), \(1, 3\)"),
        (lambda: cohort_chart(REAL, SYNTHETIC, PRE[:1]), "pre-contrast means for 2 lesions"),
        (lambda: cohort_chart(REAL * np.nan, SYNTHETIC, PRE), "not finite"),
        (lambda: lesion_chart(REAL, SYNTHETIC, REAL, REAL, ["a"]), "1 names for 2 lesions"),
    ],
)
def test_wrong_tables_are_refused(chart, message):
    with pytest.raises(InputError, match=message):
        chart()
