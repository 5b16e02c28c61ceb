"""The evaluation's configs at a tiny size with random weights, and the script for reader studies."""

import csv
import json
import subprocess
import sys

import pytest

from common.errors import InputError
from common.knobs import check_knob
from tests.conftest import MAMMOGRAM, TINY_MAMMOGRAM, error_line, run_bundle, run_script

EVALUATE = ["generate.json", "evaluate.json"]
GUIDANCE = [*EVALUATE, "guidance.json"]
READERS = {"reader_channels": [8, 8], "reader_downsamplings": 2, "cad_channels": [8, 8], "cad_downsamplings": 2}
# Weights as trainings would write them, of a process of its own: two bundles in one would mix their scripts up.
MAKE_WEIGHTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
from monai.bundle import ConfigParser
from scripts.common.weights import save_weights
torch.manual_seed(0)
parser = ConfigParser()
parser.read_config([sys.argv[1] + "/configs/" + name for name in ("generate.json", "evaluate.json")])
parser.update(json.loads(sys.argv[3]))
network = parser.get_parsed_content("network_def")
network.latent_shift.zero_()
network.latent_scale.fill_(1)
save_weights(network, sys.argv[2] + "/random_weights.pt")
for name in ("reader", "cad"):
    save_weights(parser.get_parsed_content(name + "_def"), sys.argv[2] + f"/random_{name}.pt")
"""


@pytest.fixture(scope="module")
def knobs(mammogram_datalist, tmp_path_factory):
    """Tiny random networks, and a datalist all of whose images are held out; two of them with a malignant mass."""
    folder = tmp_path_factory.mktemp("weights")
    sizes = {**TINY_MAMMOGRAM, **READERS}
    command = [sys.executable, "-c", MAKE_WEIGHTS, str(MAMMOGRAM), str(folder), json.dumps(sizes)]
    subprocess.run(command, check=True, capture_output=True)
    content = json.loads(mammogram_datalist.read_text())
    items = [item for name in ("training", "validation", "test") for item in content[name]]
    for item in items:
        for key in ("image", "breast", "label"):
            if key in item:
                item[key] = str((mammogram_datalist.parent / item[key]).resolve())
        for lesion in item["lesions"]:
            lesion.update(type="mass", pathology="malignant")
    path = folder / "datalist.json"
    path.write_text(json.dumps({"training": items, "validation": items, "test": items}))
    return {
        **sizes,
        "input": path,
        "unseen": "[['siemens', 'D', 'small']]",
        "weights": folder / "random_weights.pt",
        "reader_weights": folder / "random_reader.pt",
        "cad_weights": folder / "random_cad.pt",
        "floor_sections": "['validation']",
        "num_prompts": 4,
        "num_paintings": 2,
        "num_heat_maps": 1,
        "num_steps": 2,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def report(knobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    run_bundle(EVALUATE, bundle=MAMMOGRAM, output_dir=folder, **knobs)
    return folder


def test_report_has_its_tables_and_says_what_they_rest_on(report):
    content = json.loads((report / "report.json").read_text())
    assert list(content["tables"]) == [
        "Attribute agreement",
        "Combinations never seen",
        "Contrast of painted lesions",
        "Classifier of malignancy",
        "Where the classifier looks",
        "MS-SSIM",
        "Distribution",
        "Memorisation",
        "Closest pairs",
    ]
    facts = content["facts"]
    assert {len(facts[name]) for name in ("weights_sha256", "reader_sha256", "cad_sha256")} == {64}
    assert facts["sentences, seen and unseen"] == [4, 4]
    assert facts["paintings"] == 2
    assert any("not pretrained" in warning for warning in content["warnings"])
    assert content["tables"]["Distribution"]["rows"][0]["n synthetic"] == 4
    assert facts["memorisation"].startswith("not defined")  # all held-out images were trained on
    for name in ("report.md", "report.html", "copies.csv", "samples.png", "cad_figure.png", "cases.csv", "lesions.csv"):
        assert (report / name).is_file()
    assert "PhantomMG" not in (report / "report.md").read_text()


def test_guidance_overlay_compares_values(knobs, tmp_path):
    options = {**knobs, "num_pairs": 2, "guidance_values": "[1, 3]", "num_prompts": 3}
    run_bundle(GUIDANCE, bundle=MAMMOGRAM, output_dir=tmp_path, **options)
    rows = list(csv.DictReader((tmp_path / "guidance.csv").open()))
    assert [row["guidance"] for row in rows] == ["1.0", "3.0", "other real images (floor)"]
    assert rows[0]["MS-SSIM n"] == "2"
    assert rows[0]["MS-SSIM mean"] != rows[1]["MS-SSIM mean"]
    assert (tmp_path / "guidance.png").is_file()


@pytest.mark.parametrize("name", ["num_prompts", "num_seeds", "num_paintings", "num_heat_maps", "num_pairs"])
def test_counts_of_zero_are_refused(name):
    assert name in " ".join((MAMMOGRAM / "configs" / file).read_text() for file in GUIDANCE[1:])
    with pytest.raises(InputError, match=f"{name}=0: give at least 1"):
        check_knob(name, 0)


def test_scored_sheet_of_the_published_reader_gives_the_published_area(tmp_path):
    """The counts behind the ROC of Montoya-del-Angel et al. 2023: 28 real and 25 synthetic images, AUROC 0.49."""
    counts = {"real": (1, 12, 3, 7, 5), "synthetic": (0, 11, 1, 11, 2)}
    sheet = tmp_path / "ratings.csv"
    with sheet.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "truth", "reader", "rating"])
        for truth, numbers in counts.items():
            ratings = [rating for rating, count in enumerate(numbers) for _ in range(count)]
            writer.writerows([f"{truth}{k}", truth, "R1", rating] for k, rating in enumerate(ratings))
    output = tmp_path / "results"
    run_script("reader_study.py", "analyse", "--sheet", str(sheet), "--output", str(output))
    tables = json.loads((output / "report.json").read_text())["tables"]
    row = tables["rating: AUC of synthetic images"]["rows"][0]
    assert row["exact"] == "49/100"
    sheet.write_text("image,truth,reader\n")
    broken = run_script("reader_study.py", "analyse", "--sheet", str(sheet), "--output", str(output), check=False)
    assert "rating" in error_line(broken)
