"""The shipped weights on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.prepare_dce import prepare_mama_mia
from common.phantoms.write_breast_dce import write_case
from tests.conftest import SEGMENTATION, run_bundle

CASES = 12
FIRST_SEED = 7000


@pytest.mark.slow
def test_mean_dice_on_unseen_phantoms(tmp_path):
    for seed in range(FIRST_SEED, FIRST_SEED + CASES):
        write_case(tmp_path / "raw", seed, "nifti", num_phases=1)
    options = {"fractions": (0.0, 0.0, 1.0), "num_phases": 1, "workers": 1}
    datalist = prepare_mama_mia(str(tmp_path / "raw"), str(tmp_path / "cohort"), **options)
    knobs = {"input": datalist, "mirroring": False, "precision": "bf16", "device": "cpu"}
    run_bundle(["inference.json", "evaluate.json"], bundle=SEGMENTATION, output_dir=tmp_path / "report", **knobs)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    (summary,) = report["tables"]["All cases"]["rows"]
    assert len(report["tables"]["Each case"]["rows"]) == CASES
    assert summary["Dice"]["mean"] >= 0.7
