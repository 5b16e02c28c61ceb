"""The HTML page opens from disk in a browser, needs nothing else, shows text as text and draws bars in their places."""

import re

import numpy as np
import pytest

from common.reports.pictures import save_png
from common.reports.report import Curve, Figure, Report
from common.reports.svg_bars import interval_bar, line_chart, round_ends, shared_axis, ticks
from tests.apps.conftest import chromium  # noqa: F401

ATTACK = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
KID = [
    {"mean": 0.1, "low": 0.0, "high": 0.3, "n": 12, "floor": 0.05},
    {"mean": 0.9, "low": 0.7, "high": 1.0, "n": 12, "floor": {"mean": 0.2, "low": 0.1, "high": 0.4, "n": 6}},
    {"mean": 0.5, "low": None, "high": None, "n": 1},
    {"mean": None, "low": None, "high": None, "n": 0},
]
CENTER = """circle => circle.getBoundingClientRect().x + circle.getBoundingClientRect().width / 2"""
ENDS = """part => [part.getBoundingClientRect().left, part.getBoundingClientRect().right]"""


@pytest.fixture(scope="module")
def page_of(chromium, tmp_path_factory):  # noqa: F811
    """Opens a report in a page of the browser; with what the page asked for and complained of."""
    opened = []

    def open_report(report, **options):
        path = report.write(tmp_path_factory.mktemp("report"))[2]
        page = chromium.new_page(**{"viewport": {"width": 1280, "height": 800}, **options})
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(path.as_uri())
        opened.append(page)
        return page

    yield open_report
    for page in opened:
        page.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    picture = tmp_path_factory.mktemp("pictures") / "sheet.png"
    save_png(picture, np.full((30, 70, 3), 128, np.uint8), "SYNTHETIC")
    made = Report(f"Scores of {ATTACK}", {"synthetic": True, "weights": "ab" * 32, ATTACK: {"inner": ATTACK}})
    made.warnings = ["Only 12 images.", ATTACK]
    rows = [{"extractor": name, "KID": cell, "n": 12} for name, cell in zip("abcd", KID, strict=True)]
    made.add("Distances", ("extractor", "KID", "n"), rows, ATTACK)
    wide = [f"column {k} {ATTACK}" for k in range(12)]
    made.add("Wide", wide, [dict.fromkeys(wide, ATTACK), dict.fromkeys(wide, KID[0])])
    made.curves.append(
        Curve(f"ROC {ATTACK}", ATTACK, "true positive rate", {ATTACK: [(0, 0), (0.5, 1), (1, 1)], "b": [(0, 0.5)]})
    )
    made.figures.append(Figure("Examples", picture, ATTACK))
    return made


@pytest.fixture(scope="module")
def page(page_of, report):
    return page_of(report)


def test_the_page_needs_nothing_and_complains_of_nothing(page):
    # Pictures within the page count as requests of data: addresses.
    assert [url for url in page.asked if not url.startswith("data:")] == [page.url]
    assert page.url.startswith("file://") and page.complaints == []
    sizes = page.eval_on_selector_all("img", "images => images.map(i => [i.complete, i.naturalWidth, i.naturalHeight])")
    assert sizes == [[True, 70, 30]]


def test_text_is_shown_as_text(page):
    assert page.title() == f"Scores of {ATTACK}" == page.inner_text("h1")
    assert page.locator("script").count() == 0 and page.locator("img").count() == 1
    assert page.locator("#section-2 tbody td").first.inner_text() == ATTACK
    assert page.inner_text(".warnings li:last-child") == ATTACK
    assert page.inner_text(".facts div:last-child dt") == ATTACK
    assert page.inner_text("#section-1 > .note:last-child") == ATTACK
    assert page.inner_text("figcaption") == ATTACK == page.inner_text(".legend li:first-child")
    assert page.text_content(".chart .label") == ATTACK


def test_warnings_facts_and_contents_stand_above_the_tables(page):
    tops = [
        page.locator(part).bounding_box()["y"] for part in (".synthetic", ".warnings", ".contents", ".facts", "main")
    ]
    assert tops == sorted(tops) and len(set(tops)) == 5
    names = page.locator("h2").all_inner_texts()[1:]
    assert page.locator(".contents a").all_inner_texts() == names == ["Distances", "Wide", f"ROC {ATTACK}", "Examples"]
    for link, name in zip(page.locator(".contents a").all(), names, strict=True):
        assert page.inner_text(f"{link.get_attribute('href')} h2") == name


def test_bars_are_in_their_places_on_one_axis(page):
    """The axis runs from 0 to 1, of all values, ends and floors of the column."""
    assert page.locator("#section-1 .ends text").all_text_contents() == ["0", "1"]
    bars = page.locator("#section-1 .bar")
    assert bars.count() == 3  # the last row has no figure
    tracks = page.eval_on_selector_all("#section-1 .track", f"parts => parts.map({ENDS})")
    assert len({tuple(track) for track in tracks}) == 1
    left, right = tracks[0]

    def at(value):
        return pytest.approx(left + value * (right - left), abs=0.2)

    assert right - left > 100
    centers = page.eval_on_selector_all("#section-1 circle.value", f"parts => parts.map({CENTER})")
    assert centers == [at(0.1), at(0.9), at(0.5)]
    intervals = page.eval_on_selector_all("#section-1 rect.interval", f"parts => parts.map({ENDS})")
    assert intervals == [[at(0.0), at(0.3)], [at(0.7), at(1.0)]]
    assert all(low < center < high for (low, high), center in zip(intervals, centers, strict=False))
    floors = page.eval_on_selector_all("#section-1 path.floor", f"parts => parts.map({CENTER})")
    assert floors == [at(0.05), at(0.2)]
    assert page.eval_on_selector_all("#section-1 line.floor", f"parts => parts.map({ENDS})") == [[at(0.1), at(0.4)]]
    axis = page.eval_on_selector_all("#section-1 .ends text", f"parts => parts.map({ENDS})")
    assert [axis[0][0], axis[1][1]] == [pytest.approx(left, abs=0.5), pytest.approx(right, abs=0.5)]


def test_cells_say_figure_interval_number_and_floor(page):
    cells = [" ".join(text.split()) for text in page.locator("#section-1 td:nth-child(2)").all_inner_texts()]
    assert cells == [
        "0.1 0 to 0.3 · n 12 floor 0.05",
        "0.9 0.7 to 1 · n 12 floor 0.2 (0.1 to 0.4)",
        "0.5 n 1",
        "n/a n 0",
    ]
    assert "diamond: its floor" in page.inner_text("#section-1 .note")


def test_curves_run_through_their_points(page):
    """Three points, then one; x from 0 to 1 on the chart's width, y on its height from below."""
    lines = page.eval_on_selector_all(".chart polyline", "parts => parts.map(p => p.getAttribute('points'))")
    assert [len(line.split()) for line in lines] == [3, 1]
    numbers = "parts => parts.map(p => ['x1', 'x2', 'y1', 'y2'].map(k => +p.getAttribute(k)))"
    grid = page.eval_on_selector_all(".chart .grid", numbers)
    x0, x1 = min(g[0] for g in grid), max(g[1] for g in grid)
    y1, y0 = min(g[2] for g in grid), max(g[3] for g in grid)
    points = [[float(part) for part in point.split(",")] for point in lines[0].split()]
    assert points == [[x0, y0], [(x0 + x1) / 2, y1], [x1, y1]]
    assert page.locator(".legend li").count() == 2


@pytest.mark.parametrize("width", [1280, 420])
def test_wide_tables_scroll_and_the_page_does_not(page_of, report, width):
    page = page_of(report, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inner, outer = page.eval_on_selector("#section-2 .scroll", "part => [part.scrollWidth, part.clientWidth]")
    assert inner > outer
    page.eval_on_selector("#section-2 .scroll", "part => part.scrollLeft = 300")
    first, second = (page.locator(f"#section-2 tbody tr:first-child td:nth-child({k})").bounding_box() for k in (1, 2))
    assert first["x"] > second["x"]  # the first column stays


def test_dark_light_and_print(page_of, report):
    def colors(page):
        return page.evaluate("['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])")

    def luminance(color):
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    light, dark = page_of(report, color_scheme="light"), page_of(report, color_scheme="dark")
    assert luminance(colors(light)[0]) < 60 and luminance(colors(light)[1]) > 240
    assert luminance(colors(dark)[0]) > 200 and luminance(colors(dark)[1]) < 40
    dark.emulate_media(media="print")
    assert luminance(colors(dark)[0]) < 60 and luminance(colors(dark)[1]) > 240
    overflow = dark.eval_on_selector("#section-2 .scroll", "part => getComputedStyle(part).overflow")
    assert overflow == "visible" and not dark.is_visible(".contents")


def test_a_report_without_anything_opens(page_of):
    page = page_of(Report("Nothing"))
    assert page.inner_text("h1") == "Nothing" and page.complaints == []
    assert page.locator(".synthetic, .warnings, .contents, .facts, section").count() == 0


def test_axes_have_round_ends_around_their_values():
    assert round_ends([0.13, 0.87]) == (0.0, pytest.approx(1.0))
    assert round_ends([-3, 12]) == (-5, 15)
    low, high = round_ends([7.0, 7.0])
    assert low < 7 < high
    assert round_ends([0.0])[0] < 0 < round_ends([0.0])[1]
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-5, 15) == [-5, 0, 5, 10, 15]
    assert shared_axis(["text", 3, {"mean": None, "low": None, "high": None}]) is None
    huge = shared_axis([{"mean": 1e9, "low": 1e-9, "high": 2e9}])
    assert huge == (0, 2e9)


def test_drawings_hold_no_undefined_numbers():
    cell = {"mean": 1.0, "low": float("nan"), "high": 2.0, "floor": float("inf")}
    assert not re.search("nan|inf", interval_bar(cell, shared_axis([cell])).replace("interval", ""))
    curve = {"x_label": "x", "y_label": "y", "series": {"a": [[0, 1], [None, 2], [2, 3], [3, 3]], "empty": []}}
    assert line_chart(curve).count("<polyline") == 2  # broken at the undefined point
    assert line_chart({**curve, "series": {"a": [[None, 1]]}}) == ""
