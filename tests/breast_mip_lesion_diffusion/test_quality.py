"""The shipped weights reach what the bundle's docs say, on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.prepare_mips import prepare_mips
from tests.conftest import BREAST_MIP, run_bundle, run_script

CASES = 40
FIRST_SEED = 20_000


@pytest.mark.slow
def test_shipped_weights_reach_their_stated_quality(tmp_path):
    arguments = ("--output", tmp_path / "raw", "--num", 2 * CASES, "--first", FIRST_SEED, "--format", "nifti")
    run_script("make_phantoms.py", "breast_dce", *arguments, "--findings", "birads", "--num_phases", 1)
    datalist = prepare_mips(str(tmp_path / "raw"), str(tmp_path), fractions=(0.5, 0.0, 0.5))
    knobs = {"input": datalist, "floor_sections": "['training']", "device": "cpu", "num_samples": 2}
    configs = ["inference.json", "evaluate.json"]
    run_bundle(configs, bundle=BREAST_MIP, output_dir=tmp_path / "report", **knobs)
    tables = json.loads((tmp_path / "report" / "report.json").read_text())["tables"]
    rows = {name: table["rows"] for name, table in tables.items()}
    adherence = next(row for row in rows["Adherence to the mask"] if row["class"] == "all")
    assert adherence["found, samples"]["mean"] >= 0.9
    agreement = {row["images"]: row["agreement of found"]["mean"] for row in rows["Class agreement"]}
    assert agreement["samples"] >= 0.8 * agreement["real"]
    similarity = {row["pair"]: row["MS-SSIM"]["mean"] for row in rows["MS-SSIM"]}
    assert similarity["samples of one mask"] < similarity["real and its reconstruction"]
