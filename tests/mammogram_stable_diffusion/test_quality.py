"""The shipped weights reach what the bundle's docs say, on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.vindr import prepare_vindr
from tests.conftest import MAMMOGRAM, run_bundle, run_script

PATIENTS = 30
FIRST_SEED = 30_000


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of the report's tables, by the tables' names."""
    folder = tmp_path_factory.mktemp("unseen")
    arguments = ("--output", folder / "raw", "--num", PATIENTS, "--first", FIRST_SEED)
    run_script("make_phantoms.py", "mammogram", *arguments)
    datalist = prepare_vindr(folder / "raw", folder, size=256, split="leak_free", fractions=(0.4, 0.0, 0.6))
    knobs = {"input": datalist, "floor_sections": "['training']", "device": "cpu", "num_heat_maps": 0}
    knobs |= {"num_prompts": 24, "num_paintings": 24, "unseen": "[['siemens', 'D', 'small'], ['hologic', 'A', 'big']]"}
    run_bundle(["generate.json", "evaluate.json"], bundle=MAMMOGRAM, output_dir=folder / "report", **knobs)
    tables = json.loads((folder / "report" / "report.json").read_text())["tables"]
    return {name: table["rows"] for name, table in tables.items()}
