import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from common.cohorts.datalist import save_datalist
from common.io.files import write_json
from common.io.volumes import save_nifti
from tests.conftest import BREAST_MIP, TINY_MIP, run_bundle

EVALUATE = ["inference.json", "evaluate.json"]
STEPS = [*EVALUATE, "steps.json"]
READER = [4, 8, 8]
# Weights as a training would write them, of a process of its own: two bundles in one would mix their scripts up.
MAKE_WEIGHTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from monai.bundle import ConfigParser
from scripts.common.weights import save_weights
parser = ConfigParser()
parser.read_config([sys.argv[1] + "/configs/" + name for name in ("inference.json", "evaluate.json")])
parser.update(json.loads(sys.argv[3]))
network = parser.get_parsed_content("network_def")
network.latent_shift.zero_()
network.latent_scale.fill_(1)
save_weights(network, sys.argv[2] + "/model.pt")
save_weights(parser.get_parsed_content("reader_def"), sys.argv[2] + "/model_reader.pt")
"""


@pytest.fixture(scope="module")
def knobs(tmp_path_factory):
    """Tiny random networks, and three annotated exams (one of them healthy) beside an unlabelled one."""
    folder, rng = tmp_path_factory.mktemp("exams"), np.random.default_rng(0)
    sizes = {**TINY_MIP, "reader_channels": READER}
    command = [sys.executable, "-c", MAKE_WEIGHTS, str(BREAST_MIP), str(folder), json.dumps(sizes)]
    subprocess.run(command, check=True, capture_output=True)
    width, height = TINY_MIP["spatial_size"]
    items = []
    for number, birads in enumerate((4, 6, None, None)):
        image = rng.uniform(-1, 1, (width, height, 1)).astype(np.float32)
        instances = np.zeros((width, height, 1), np.uint8)
        item = {"case": f"exam{number}", "patient": f"exam{number}", "image": str(folder / f"exam{number}_mip.nii.gz")}
        if number < 3:
            item["label"] = str(folder / f"exam{number}_mask.nii.gz")
            instances[4:10, 4:10] = birads is not None
            image[4:10, 4:10] = 0.9 if birads else -0.5
            save_nifti(item["label"], instances, np.eye(4))
            write_json(folder / f"exam{number}_mask.json", {"instances": {"1": birads} if birads else {}})
        save_nifti(item["image"], image, np.eye(4))
        items.append(item)
    save_datalist(folder / "datalist.json", {"training": items[3:], "validation": items[3:], "test": items[:3]})
    return {
        **sizes,
        "input": folder / "datalist.json",
        "weights": folder / "model.pt",
        "reader_weights": folder / "model_reader.pt",
        "num_steps": 2,
        "num_samples": 2,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def report(knobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    run_bundle(EVALUATE, bundle=BREAST_MIP, output_dir=folder, **knobs)
    return folder


def test_report_has_its_tables_and_says_what_they_rest_on(report):
    content = json.loads((report / "report.json").read_text())
    assert list(content["tables"]) == [
        "MS-SSIM",
        "Distribution",
        "Adherence to the mask",
        "Lesions that nobody asked for",
        "Class agreement",
        "Class agreement of samples against real images",
        "Confusion of classes, real images",
        "Confusion of classes, samples",
        "Reconstruction",
        "Memorisation",
        "Closest pairs",
    ]
    facts = content["facts"]
    assert facts["held-out cases"] == 3
    assert len(facts["reader_sha256"]) == len(facts["weights_sha256"]) == 64
    assert any("not pretrained" in warning for warning in content["warnings"])
    first, every = (row for row in content["tables"]["Distribution"]["rows"] if row["n synthetic"] == 3)
    assert first["KID"] != every["KID"]
    assert "copies of" in facts["memorisation"]
    assert [row["n"] for row in content["tables"]["Lesions that nobody asked for"]["rows"]] == [2, 1]
    assert "nan" not in (report / "report.json").read_text().lower()
    for name in (
        "report.md",
        "report.html",
        "copies.csv",
        "closest_pairs.png",
        "confusion.png",
        "samples.png",
        "cases.csv",
    ):
        assert (report / name).is_file()
    assert len(list(csv.DictReader((report / "lesions.csv").open()))) == 2 * (2 + 1 + 1)


def test_steps_compare_with_the_spread_of_the_reference(knobs, tmp_path):
    settings = "[['ddim', 4], ['dpm', 2]]"
    run_bundle(STEPS, bundle=BREAST_MIP, output_dir=tmp_path, step_settings=settings, num_seeds=2, **knobs)
    tables = json.loads((tmp_path / "report.json").read_text())["tables"]
    rows = tables["KID, random"]["rows"]
    assert [(row["sampler"], row["steps"]) for row in rows] == [("ddim", 4), ("dpm", 2)]
    assert rows[0]["against the reference"] == "the reference"
    assert set(rows[0]) == set(rows[1]) == {"sampler", "steps", "mean", "SD", "min", "max", "against the reference"}
    assert tables["Lesions"]["rows"][0]["found"] is not None
