"""The networks that judge: both learn, a killed training continues to the same result, and the judge fits them."""

import json

import pytest
import torch

from tests.conftest import MAMMOGRAM, run_bundle
from tests.trainings import command_line, curve, kill_after_epoch, same_weights

READERS = {"attributes": "model_reader.pt", "malignancy": "model_cad.pt"}
SIZES = {"reader_channels": [8, 8], "reader_downsamplings": 2, "cad_channels": [8, 8], "cad_downsamplings": 2}
# The five patients of the tests' cohort have too few lesions and classes for the shipped questions.
SMALL = {
    "image_size": 64,
    "close_look": 32,
    "precision": "fp32",
    "batch_size": 4,
    "max_epochs": 4,
    "val_interval": 2,
    "warmup_steps": 1,
    "device": "cpu",
    **{name: str(value) for name, value in SIZES.items()},
}


@pytest.fixture(scope="module")
def listed(mammogram_datalist, tmp_path_factory):
    """Every image of the tests' cohort in each section, the first lesion malignant."""
    content = json.loads(mammogram_datalist.read_text())
    items = [item for name in ("training", "validation", "test") for item in content[name]]
    for item in items:
        for key in ("image", "breast", "label"):
            if key in item:
                item[key] = str((mammogram_datalist.parent / item[key]).resolve())
    with_lesions = [item for item in items if item["lesions"]]
    with_lesions[0]["lesions"][0].update(type="mass", pathology="malignant")
    path = tmp_path_factory.mktemp("listed") / "datalist.json"
    path.write_text(json.dumps(dict.fromkeys(("training", "validation", "test"), items)))
    return path


def knobs_of(reads, datalist):
    items = json.loads(datalist.read_text())["training"]
    classes = {name: sorted({item[name] for item in items}) for name in ("view", "vendor", "density")}
    return {**SMALL, "reads": reads, "reader_classes": str(classes), "input": datalist}


@pytest.fixture(scope="module")
def trained(listed, tmp_path_factory):
    folders = {reads: tmp_path_factory.mktemp(reads) for reads in READERS}
    for reads, folder in folders.items():
        run_bundle("train_reader.json", bundle=MAMMOGRAM, output_dir=folder, **knobs_of(reads, listed))
    return folders


@pytest.mark.parametrize("reads", READERS)
def test_reader_learns_and_is_written_alone(trained, reads):
    rows = curve(trained[reads])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    heads = {"attributes": ("view", "vendor", "density"), "malignancy": ("malignant",)}[reads]
    assert all(rows[-1][f"{head}_accuracy"] for head in heads)
    state = torch.load(trained[reads] / READERS[reads], weights_only=True)
    assert {key.split(".")[1] for key in state if key.startswith("heads.")} == set(heads)
    assert all(key.startswith(("features.", "heads.")) for key in state)


def test_killed_training_continues_to_the_result_of_an_uninterrupted_one(trained, listed, tmp_path):
    options = {"output_dir": tmp_path, **knobs_of("malignancy", listed)}
    kill_after_epoch(command_line(MAMMOGRAM, "train_reader.json", **options), tmp_path / "checkpoint.pt", 2)
    result = run_bundle("train_reader.json", bundle=MAMMOGRAM, **options)
    assert "continuing after epoch 2" in result.stdout + result.stderr
    assert same_weights(tmp_path / "model_cad.pt", trained["malignancy"] / "model_cad.pt")


def test_the_judging_readers_are_the_trained_ones():
    trained, judging = (
        json.loads((MAMMOGRAM / "configs" / name).read_text()) for name in ("train_reader.json", "evaluate.json")
    )
    names = [f"{kind}_{part}" for kind in ("reader", "cad") for part in ("def", "classes", "channels", "downsamplings")]
    assert {name: trained[name] for name in names} == {name: judging[name] for name in names}
    assert trained["lesion_types"] == judging["lesion_types"]
