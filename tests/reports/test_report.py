"""One report in JSON, Markdown and HTML: valid by its schema, the same bytes each time, with nothing left undefined."""

import hashlib
import json
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from common.engines.mask_evaluation import MaskEvaluation
from common.io.files import write_json
from common.io.volumes import save_nifti
from common.metrics.uncertainty import mean_with_interval
from common.reports.cells import plain, shared_n
from common.reports.pictures import save_png
from common.reports.report import Curve, Figure, Report, format_value
from tests.conftest import ROOT

SCHEMA = json.loads((ROOT / "common" / "reports" / "report_schema.json").read_text())


def invalid(content) -> str:
    """The first thing that the schema finds wrong; empty where there is none."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return next((error.json_path for error in validator.iter_errors(content)), "")


@pytest.fixture
def report(tmp_path):
    save_png(tmp_path / "inside.png", np.zeros((3, 5, 3), np.uint8), "SYNTHETIC")
    save_png(tmp_path / "picture.png", np.full((2, 2), 9, np.uint8), "SYNTHETIC")
    output = tmp_path / "output"
    (output / "pictures").mkdir(parents=True)
    inside = output / "pictures" / "a b.png"
    (tmp_path / "inside.png").rename(inside)
    made = Report("Title", {"synthetic": True, "seed": np.int64(3), "rate": 0.000123456, "sizes": (1, 2)})
    made.warnings.append("few | images\nonly <3")
    interval = {"mean": 0.5, "low": 0.25, "high": float("inf"), "n": np.int64(4), "floor": np.float32(0.125)}
    made.add("Table", ("a|b", "c"), [{"a|b": "x|y", "c": interval}, {"a|b": float("nan"), "hidden": True}], "A note.")
    made.curves.append(Curve("Curve", "x", "y", {"line": [(0, 1), (0.5, float("nan"))]}))
    made.figures += [
        Figure("Inside", inside, "Three rows."),
        Figure("Outside", tmp_path / "picture.png"),
        Figure("As bytes!", (tmp_path / "picture.png").read_bytes()),
    ]
    return made


def test_json_is_valid_and_has_no_undefined_numbers(report, tmp_path):
    paths = report.write(tmp_path / "output")
    assert [path.name for path in paths] == ["report.json", "report.md", "report.html"]
    content = json.loads(paths[0].read_text(), parse_constant=pytest.fail)
    assert invalid(content) == ""
    assert content["facts"] == {"synthetic": True, "seed": 3, "rate": 0.000123456, "sizes": [1, 2]}
    assert content["tables"]["Table"] == {
        "columns": ["a|b", "c"],
        "rows": [
            {"a|b": "x|y", "c": {"mean": 0.5, "low": 0.25, "high": None, "n": 4, "floor": 0.125}},
            {"a|b": None, "hidden": True},
        ],
        "note": "A note.",
    }
    assert content["curves"][0]["series"] == {"line": [[0, 1], [0.5, None]]}


def test_figures_lie_where_the_report_says(report, tmp_path):
    output = tmp_path / "output"
    paths = report.write(output)
    listed = json.loads(paths[0].read_text())["figures"]
    assert [f["file"] for f in listed] == ["pictures/a b.png", "figures/2_outside.png", "figures/3_as_bytes.png"]
    for figure in listed:
        assert hashlib.sha256((output / figure["file"]).read_bytes()).hexdigest() == figure["sha256"]
    assert (listed[0]["width"], listed[0]["height"]) == (5, 3)
    markdown = paths[1].read_text()
    assert "![Inside](pictures/a%20b.png)\n\nThree rows.\n" in markdown and "(figures/2_outside.png)" in markdown


def test_markdown_says_the_same_in_escaped_lines(report):
    assert report.to_markdown().splitlines()[:14] == [
        "# Title",
        "",
        "**Synthetic images are described here: they were made by a generative model, show no patient and are not for "
        "diagnosis.**",
        "",
        "> - **Warning:** few \\| images only &lt;3",
        "",
        "- synthetic: yes",
        "- seed: 3",
        "- rate: 0.000123456",
        "- sizes: 1, 2",
        "",
        "## Table",
        "",
        "| a\\|b | c |",
    ]
    assert "| x\\|y | 0.5, floor 0.125 |\n| n/a |  |\n\nn = 4 for every interval.\n\nA note." in report.to_markdown()


def test_the_same_report_gives_the_same_bytes_and_leaves_nothing_else(report, tmp_path):
    first = {path: path.read_bytes() for path in report.write(tmp_path / "output")}
    assert {path: path.read_bytes() for path in report.write(tmp_path / "output")} == first
    names = sorted(p.relative_to(tmp_path / "output").as_posix() for p in (tmp_path / "output").rglob("*"))
    assert names == [
        *("figures", "figures/2_outside.png", "figures/3_as_bytes.png", "pictures", "pictures/a b.png"),
        *("report.html", "report.json", "report.md"),
    ]


def test_mistakes_in_a_report_are_refused_before_anything_is_written(report, tmp_path):
    report.add("Table", ("a",), [])
    with pytest.raises(ValueError, match="two tables are called 'Table'"):
        report.write(tmp_path / "output")
    report.tables.pop()
    report.figures.append(Figure("Text", b"no picture"))
    with pytest.raises(ValueError, match="figure 'Text': not a PNG"):
        report.write(tmp_path / "output")
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["pictures"]


def test_the_schema_refuses_what_is_no_report(report, tmp_path):
    good = report.to_json(tmp_path / "output")
    row = good["tables"]["Table"]["rows"][0]
    wrong = {
        "$": {**good, "more": 1},
        "$.schema_version": {**good, "schema_version": "2.0"},
        "$.warnings[0]": {**good, "warnings": [3]},
        "$.tables.T": {**good, "tables": {"T": {"rows": [], "note": ""}}},
        "$.tables.T.rows[0].c": {**good, "tables": {"T": _table({"c": {"mean": 1, "low": 0}})}},
        "$.tables.T.rows[0].c.floor": {**good, "tables": {"T": _table({"c": {**row["c"], "floor": "0.1"}})}},
        "$.curves[0].series.line[0]": {**good, "curves": [{**good["curves"][0], "series": {"line": [[1]]}}]},
        "$.figures[0].sha256": {**good, "figures": [{**good["figures"][0], "sha256": "abc"}]},
    }
    assert {place: invalid(content) for place, content in wrong.items()} == {place: place for place in wrong}
    assert invalid(good) == ""


def test_a_real_evaluation_is_valid(tmp_path):
    """Three cases; in one of them nothing is found, so that its HD95 is not defined."""
    items = []
    for case in range(3):
        label = np.zeros((8, 8, 8), np.float32)
        label[2:5, 2:5, 2 : 4 + case] = 1
        found = np.roll(label, case, 0) * (case < 2)
        (tmp_path / f"c{case}").mkdir()
        save_nifti(tmp_path / f"label{case}.nii.gz", label, np.eye(4))
        save_nifti(tmp_path / f"c{case}" / f"c{case}_mask.nii.gz", found, np.eye(4))
        image = str(tmp_path / f"label{case}.nii.gz")
        items.append({"case": f"c{case}", "patient": f"p{case}", "image": image, "label": image})
    write_json(tmp_path / "datalist.json", {"training": [], "validation": [], "test": items})
    provenance = {f"c{case}": {"bundle": "b", "weights_sha256": "0" * 64} for case in range(3)}
    plan = SimpleNamespace(output_dir=tmp_path, provenance=provenance)
    MaskEvaluation(str(tmp_path / "datalist.json"), ["test"], plan)()
    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert invalid(content) == ""
    cases = content["tables"]["Each case"]
    assert cases["columns"] == ["case", "dice", "hd95", "centre distance", "volume ratio"]
    assert [row["hd95"] for row in cases["rows"]][::2] == [0.0, None]
    assert content["tables"]["All cases"]["rows"][0]["Dice"]["n"] == 3
    assert "<td>c2</td>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"mean": 0.8567, "low": 0.8, "high": 0.9}, "0.857 (0.8 to 0.9)"),
        ({"mean": 1.0, "low": None, "high": float("nan"), "n": 1}, "1"),
        ({"mean": 2.0, "low": 1.0, "high": 3.0, "floor": {"mean": 0.5, "low": 0.25, "high": 1.0}}, None),
        (mean_with_interval([]), "n/a"),
        (float("-inf"), "n/a"),
        (None, "n/a"),
        (True, "yes"),
        (12345.678, "12345.7"),
        ([0.12345, "x"], "0.123, x"),
        ({"a": 1, "b": False}, "a: 1; b: no"),
        ({}, "none"),
    ],
)
def test_a_value_as_text(value, text):
    assert format_value(value) == (text or "2 (1 to 3), floor 0.5 (0.25 to 1)")
    if isinstance(value, dict):
        assert format_value(plain(value)) == format_value(value)


def test_settings_keep_their_digits():
    assert format_value(0.123456789, exact=True) == "0.123456789"
    assert format_value({"a": [1e-5, 150.25]}, exact=True) == "a: 1e-05, 150.25"


def test_numbers_of_cases_are_said_once_only_where_they_agree():
    interval = mean_with_interval([1.0, 2.0])
    assert shared_n([{"a": interval, "b": 3}, {"a": "text"}]) == 2
    assert shared_n([{"a": interval}, {"a": mean_with_interval([1.0])}]) is None
    assert shared_n([{"a": 3}]) is None
    report = Report("T")
    report.add("Mixed", ("a",), [{"a": interval}, {"a": mean_with_interval([1.0])}])
    assert "| 1.5 (1 to 2), n 2 |\n| 1 (1 to 1), n 1 |\n" in report.to_markdown()


def _table(row):
    return {"columns": list(row), "rows": [row], "note": ""}
