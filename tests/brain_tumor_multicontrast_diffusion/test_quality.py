"""The shipped weights reach what the bundle's docs say, on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.prepare_brats import prepare_brats
from tests.conftest import run_bundle, run_script

CASES = 32
FIRST_SEED = 20_000


@pytest.mark.slow
def test_shipped_weights_reach_their_stated_quality(tmp_path):
    arguments = ("--output", tmp_path / "raw", "--num", 2 * CASES, "--first", FIRST_SEED)
    run_script("make_phantoms.py", "brain", *arguments)
    datalist = prepare_brats(str(tmp_path / "raw"), str(tmp_path), fractions=(0.5, 0.0, 0.5))
    knobs = {"input": datalist, "floor_sections": "['training']", "device": "cpu"}
    run_bundle(["inference.json", "evaluate.json"], output_dir=tmp_path / "report", **knobs)
    tables = json.loads((tmp_path / "report" / "report.json").read_text())["tables"]
    rows = {name: table["rows"] for name, table in tables.items()}
    psnr = {row["contrast"]: row["PSNR"] for row in rows["Reconstruction"]}
    assert psnr["mean"] >= 27
    assert psnr["T2"]["mean"] >= 23  # below the aim of 27, as the docs say
    adherence = {row["region"]: row["samples"]["mean"] for row in rows["Adherence to the mask"]}
    assert adherence["whole"] >= 0.85
    assert adherence["core"] >= 0.70
    assert adherence["enhancing"] >= 0.60
    order = {row["contrast"]: row["samples"] for row in rows["Order of intensities"]}
    assert order["all four"] >= 0.8  # 0.9 on the larger set of the docs; 64 samples leave +-0.07
    between, within = (row["MS-SSIM"]["mean"] for row in rows["Diversity"])
    assert between < within
