"""The report of an evaluation: the paper's tables, identity rows, kinetics, the wrapped values on request."""

import json
import math

import pytest
from PIL import Image

from tests.conftest import BREAST_DCE, error_line, run_bundle

CONFIGS = ["inference.json", "evaluate.json"]
KNOBS = {"sections": "['validation', 'test']", "floor_sections": "['training']", "paper_compat": True, "device": "cpu"}


@pytest.fixture(scope="module")
def report(dce_datalist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    run_bundle(CONFIGS, bundle=BREAST_DCE, input=dce_datalist, output_dir=folder, **KNOBS)
    return folder


def test_report_has_the_papers_tables_with_identity_and_intervals(report):
    content = json.loads((report / "report.json").read_text())
    tables = {name: table["rows"] for name, table in content["tables"].items()}
    images = tables["Images"]
    assert [(row["phase"], row["against real"][:9]) for row in images] == [
        (phase, kind) for phase in (1, 2, 3) for kind in ("synthetic", "pre-contr")
    ]
    for row in [*images, *tables["Subtraction images"]]:
        assert row["LPIPS"] == "not computed"
        for metric in ("MAE", "MSE", "PSNR", "SSIM", "MS-SSIM"):
            assert row[metric]["low"] <= row[metric]["mean"] <= row[metric]["high"]
        assert row["MSE"]["mean"] < row["MAE"]["mean"]  # errors below 1 on the common scale
    boxes = tables["Lesion boxes, pooled"]
    assert len(tables["Lesion boxes, per case"]) == 6
    assert sum(row["n"] for row in boxes) == sum(
        row["n"] for row in tables["Missed lesions and false enhancement"] if row["missed"] != ""
    )
    assert {"Order of phases", "Contrast kinetics", "Curve types", "Distribution"} <= tables.keys()
    kinetic = {
        row["images"]: row
        for row in tables["Contrast kinetics"]
        if row["lesions"] == tables["Lesion boxes, pooled"][0]["lesions"]
    }
    assert kinetic["real"]["initial (%)"]["mean"] > 20
    assert not math.isnan(kinetic["real"]["time to peak (s), median"])
    assert any("not pretrained" in warning for warning in content["warnings"])
    assert "pre-contrast as phase 1" in {row["slices"] for row in tables["Distribution"]}
    assert "copies of" in content["facts"]["memorisation"]
    wrapped = tables["Published (wrapped) values"]
    assert all(0 <= row["MSE*"] < 256 and 0 <= row["MAE*"] < 256 for row in wrapped)
    assert "NOT errors" in content["tables"]["Published (wrapped) values"]["note"]
    assert "nan" not in (report / "report.json").read_text().lower()


def test_figures_are_drawn(report):
    for name in ("kinetics_cohort.png", "kinetics_lesions.png"):
        picture = Image.open(report / name)
        assert min(picture.size) > 200


def test_second_run_reuses_the_records(report, dce_datalist):
    records = {path: path.stat().st_mtime_ns for path in (report / "records").iterdir()}
    run_bundle(CONFIGS, bundle=BREAST_DCE, input=dce_datalist, output_dir=report, **KNOBS)
    assert records == {path: path.stat().st_mtime_ns for path in (report / "records").iterdir()}


def test_no_case_is_refused(tmp_path):
    (tmp_path / "datalist.json").write_text('{"test": []}')
    line = error_line(
        run_bundle(CONFIGS, bundle=BREAST_DCE, input=tmp_path / "datalist.json", output_dir=tmp_path / "o", check=False)
    )
    assert "no case" in line
