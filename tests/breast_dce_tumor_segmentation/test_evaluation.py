"""The report of an evaluation: Dice as counted from the files, intervals, cases without a label."""

import json

import nibabel
import numpy as np
import pytest

from tests.conftest import SEGMENTATION, error_line, run_bundle

CONFIGS = ["inference.json", "evaluate.json"]
KNOBS = {
    "sections": "['validation', 'test']",
    "mirroring": False,
    "bias_correction": False,
    "device": "cpu",
    "precision": "bf16",
}


def evaluate(folder, datalist, **knobs):
    return run_bundle(CONFIGS, bundle=SEGMENTATION, input=datalist, output_dir=folder, **{**KNOBS, **knobs})


@pytest.fixture(scope="module")
def report(dce_datalist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    evaluate(folder, dce_datalist)
    return folder


def test_dice_is_that_of_the_written_masks(report, dce_datalist):
    content = json.loads(dce_datalist.read_text())
    tables = json.loads((report / "report.json").read_text())["tables"]
    rows = {row["case"]: row for row in tables["Each case"]["rows"]}
    expected = {}
    for item in content["validation"] + content["test"]:
        case = item["case"]
        paths = (report / case / f"{case}_mask.nii.gz", dce_datalist.parent / item["label"])
        mask, truth = (np.asarray(nibabel.load(path).dataobj) > 0 for path in paths)
        expected[case] = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        assert mask.any() == (rows[case]["hd95"] is not None)
    assert len(expected) == 2
    assert {case: row["dice"] for case, row in rows.items()} == pytest.approx(expected, abs=1e-4)
    (summary,) = tables["All cases"]["rows"]
    assert summary["Dice"]["mean"] == pytest.approx(np.mean(list(expected.values())), abs=1e-4)
    assert summary["Dice"]["low"] <= summary["Dice"]["mean"] <= summary["Dice"]["high"]
    assert summary["nothing found"] == sum(row["hd95"] is None for row in rows.values())
    assert "| " + next(iter(expected)) in (report / "report.md").read_text()
    assert "nan" not in (report / "report.json").read_text().lower()


def test_second_evaluation_keeps_the_masks(report, dce_datalist):
    masks = {path: path.stat().st_mtime_ns for path in report.rglob("*_mask.nii.gz")}
    assert len(masks) == 2
    before = (report / "report.json").read_bytes()
    evaluate(report, dce_datalist)
    assert masks == {path: path.stat().st_mtime_ns for path in report.rglob("*_mask.nii.gz")}
    assert (report / "report.json").read_bytes() == before


def test_case_without_a_label_is_named(dce_datalist, tmp_path):
    (item,) = json.loads(dce_datalist.read_text())["test"]
    folder = dce_datalist.parent
    item |= {"image": str(folder / item["image"]), "phases": [str(folder / phase) for phase in item["phases"]]}
    del item["label"]
    (tmp_path / "datalist.json").write_text(json.dumps({"test": [item]}))
    line = error_line(evaluate(tmp_path / "o", tmp_path / "datalist.json", sections="['test']", check=False))
    assert f"case {item['case']} has no label" in line
    assert "datalist.json" in line
