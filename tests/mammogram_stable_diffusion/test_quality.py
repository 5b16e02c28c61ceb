"""The shipped weights reach what the bundle's docs say, on phantoms that no training or choice has seen."""

import json

import pytest

from common.cohorts.vindr import prepare_vindr
from tests.conftest import MAMMOGRAM, run_bundle, run_script

PATIENTS = 30
FIRST_SEED = 30_000
AGREEMENT = "Attribute agreement"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of the report's tables, by the tables' names."""
    folder = tmp_path_factory.mktemp("unseen")
    arguments = ("--output", folder / "raw", "--num", PATIENTS, "--first", FIRST_SEED)
    run_script("make_phantoms.py", "mammogram", *arguments)
    datalist = prepare_vindr(folder / "raw", folder, size=256, split="leak_free", fractions=(0.4, 0.0, 0.6))
    knobs = {"input": datalist, "floor_sections": "['training']", "device": "cpu", "num_heat_maps": 1}
    knobs |= {"num_prompts": 24, "num_paintings": 24, "unseen": "[['siemens', 'D', 'small'], ['hologic', 'A', 'big']]"}
    run_bundle(["generate.json", "evaluate.json"], bundle=MAMMOGRAM, output_dir=folder / "report", **knobs)
    tables = json.loads((folder / "report" / "report.json").read_text())["tables"]
    return {name: table["rows"] for name, table in tables.items()}


@pytest.mark.slow
def test_shipped_weights_draw_what_is_asked(rows):
    """Floors of the docs, less what two images of each of 24 sentences leave open."""
    found = {(row["images"], row["attribute"], row["agreement"]): row["share"]["mean"] for row in rows[AGREEMENT]}
    for images in ("SYNTHETIC, seen combinations", "SYNTHETIC, unseen combinations"):
        assert found[images, "area", "exact"] >= 0.9
        assert found[images, "density", "within one class"] >= 0.95
        assert found[images, "view", "exact"] >= 0.85
    assert found["SYNTHETIC, seen combinations", "vendor", "exact"] >= 0.85
    assert found["SYNTHETIC, seen combinations", "density", "exact"] >= 0.5


@pytest.mark.slow
def test_a_mass_is_painted_where_and_only_if_it_is_asked_for(rows):
    found = {(row["network sees"], row["lesions"]): row for row in rows["Contrast of painted lesions"]}
    masses = found["close-up", "mass"]
    assert masses["with / real"]["mean"] >= 0.6
    assert masses["without / with"]["mean"] < 0.6
