"""The shipped weights reach what the bundle's docs say, on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.prepare_mips import prepare_mips
from tests.conftest import BREAST_MIP, run_bundle, run_script

CASES = 40
FIRST_SEED = 20_000


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen")
    arguments = ("--output", folder / "raw", "--num", 2 * CASES, "--first", FIRST_SEED, "--format", "nifti")
    run_script("make_phantoms.py", "breast_dce", *arguments, "--findings", "birads", "--num_phases", 1)
    return prepare_mips(str(folder / "raw"), str(folder), fractions=(0.5, 0.0, 0.5))


def tables_of(configs, datalist, folder, **knobs):
    knobs = {"input": datalist, "floor_sections": "['training']", "device": "cpu", "num_samples": 2, **knobs}
    run_bundle(configs, bundle=BREAST_MIP, output_dir=folder, **knobs)
    tables = json.loads((folder / "report.json").read_text())["tables"]
    return {name: table["rows"] for name, table in tables.items()}


@pytest.mark.slow
def test_shipped_weights_reach_their_stated_quality(datalist, tmp_path):
    rows = tables_of(["inference.json", "evaluate.json"], datalist, tmp_path)
    adherence = next(row for row in rows["Adherence to the mask"] if row["class"] == "all")
    assert adherence["found, samples"]["mean"] >= 0.86  # the aim is 0.90; some 80 lesions leave +-0.04
    agreement = {row["images"]: row["agreement of found"]["mean"] for row in rows["Class agreement"]}
    assert agreement["samples"] >= 0.55 * agreement["real"]  # the aim is 0.80, 0.68 is what the docs state
    similarity = {row["pair"]: row["MS-SSIM"]["mean"] for row in rows["MS-SSIM"]}
    # As different from one another as from the real image of their mask, give or take what a case leaves open.
    assert similarity["samples of one mask"] < similarity["real and samples of its mask (the paper's)"] + 0.1


@pytest.mark.slow
def test_twenty_fast_steps_are_as_good_as_two_hundred(datalist, tmp_path):
    knobs = {"step_settings": [["ddim", 200], ["dpm", 20]], "num_seeds": 3, "max_cases": 20}
    rows = tables_of(["inference.json", "evaluate.json", "steps.json"], datalist, tmp_path, **knobs)
    reference, fast = next(table for name, table in rows.items() if name.startswith("KID"))
    assert fast["mean"] <= reference["max"] + (reference["max"] - reference["min"])
