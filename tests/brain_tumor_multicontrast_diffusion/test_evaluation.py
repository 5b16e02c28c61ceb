import json

import pytest

from tests.conftest import error_line, run_bundle

CONFIGS = ["inference.json", "evaluate.json"]
KNOBS = {"num_steps": 3, "sections": "['test']", "floor_sections": "['validation']"}


@pytest.fixture(scope="module")
def report(datalist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    run_bundle(CONFIGS, input=datalist, output_dir=folder, **KNOBS)
    return folder


def test_report_has_the_papers_tables_and_their_anchors(report):
    content = json.loads((report / "report.json").read_text())
    tables = content["tables"]
    rows = tables["Reconstruction"]["rows"]
    assert [row["contrast"] for row in rows] == ["T1", "T1C", "T2", "FLAIR", "mean"]
    assert all(row["PSNR bound"]["mean"] > row["PSNR"]["mean"] for row in rows[:4])
    adherence = {row["region"]: row for row in tables["Adherence to the mask"]["rows"]}
    assert set(adherence) == {"whole", "core", "enhancing"}
    assert "real images (ceiling)" in adherence["whole"]
    assert {row["contrast"] for row in tables["Order of intensities"]["rows"]} == {
        "T1",
        "T1C",
        "T2",
        "FLAIR",
        "all four",
    }
    assert [row["contrast"] for row in tables["Distribution"]["rows"]] == ["T1", "T1C", "T2", "FLAIR"]
    assert any("not pretrained" in warning for warning in content["warnings"])
    assert "copies of" in content["facts"]["memorisation"]
    assert content["facts"]["held-out cases"] == 1
    markdown = (report / "report.md").read_text()
    assert "| contrast | PSNR | SSIM | MAE |" in markdown
    assert "nan" not in (report / "report.json").read_text().lower()


def test_second_run_reuses_the_records(report, datalist):
    records = {path: path.stat().st_mtime_ns for path in (report / "records").iterdir()}
    run_bundle(CONFIGS, input=datalist, output_dir=report, **KNOBS)
    assert records == {path: path.stat().st_mtime_ns for path in (report / "records").iterdir()}


def test_no_case_and_one_sample_are_refused(datalist, tmp_path):
    empty = tmp_path / "datalist.json"
    empty.write_text('{"test": []}')
    assert "no case" in error_line(run_bundle(CONFIGS, input=empty, output_dir=tmp_path / "o", check=False))
    line = error_line(
        run_bundle(CONFIGS, input=datalist, output_dir=tmp_path / "o", num_samples=1, check=False, **KNOBS)
    )
    assert "at least 2 samples" in line
