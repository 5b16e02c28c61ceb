"""Training at a tiny size: both stages and the reader learn, resume to the same result, refuse what does not fit."""

import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import BREAST_MIP, TINY_MIP, error_line, run_bundle
from tests.trainings import check_continuing, check_two_processes, curve, same_weights

SHORT = {"batch_size": 2, "max_epochs": 4, "val_interval": 2, "device": "cpu", "warmup_steps": 1}
AUTOENCODER = ("spatial_size", "autoencoder_channels", "autoencoder_groups", "num_embeddings", "precision")
SIZES = {
    "train_autoencoder.json": {key: TINY_MIP[key] for key in AUTOENCODER} | {"revive_epochs": 2},
    "train_diffusion.json": TINY_MIP | {"preview_interval": 4, "num_preview": 1},
    "train_reader.json": {"spatial_size": [64, 64], "reader_channels": [4, 8], "precision": "fp32"},
}


def train(config, folder, datalist, **knobs):
    name = config if isinstance(config, str) else config[0]
    return run_bundle(config, bundle=BREAST_MIP, input=datalist, output_dir=folder, **{**SHORT, **SIZES[name], **knobs})


@pytest.fixture(scope="module")
def autoencoder(mip_datalist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    train("train_autoencoder.json", folder, mip_datalist, adversarial_weight=0.1, adversarial_start=4)
    return folder


@pytest.fixture(scope="module")
def diffusion(mip_datalist, autoencoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    train("train_diffusion.json", folder, mip_datalist, autoencoder_weights=autoencoder / "model_autoencoder.pt")
    return folder


def test_autoencoder_learns_and_the_discriminator_joins_late(autoencoder):
    rows = curve(autoencoder)
    assert float(rows[-1]["l1"]) < float(rows[0]["l1"])
    assert not rows[0]["adversarial"]
    assert all(float(rows[-1][name]) > 0 for name in ("codebook", "discriminator"))
    assert sorted(p.name for p in (autoencoder / "previews").iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    state = torch.load(autoencoder / "model_autoencoder.pt", weights_only=True)
    assert all(key.startswith("autoencoder.") and value.dtype == torch.float16 for key, value in state.items())


def test_diffusion_learns_and_its_file_is_all_that_sampling_needs(diffusion, tmp_path):
    rows = curve(diffusion)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert rows[1]["validation_loss"]
    assert (diffusion / "previews" / "epoch_0004.png").is_file()
    assert any(b"train_loss" in path.read_bytes() for path in (diffusion / "tensorboard").iterdir())
    sizes = {key: value for key, value in TINY_MIP.items() if key != "precision"}
    options = {"weights": diffusion / "model.pt", "num_samples": 1, "num_steps": 2, "device": "cpu"}
    run_bundle("inference.json", bundle=BREAST_MIP, output_dir=tmp_path, **options, **sizes)
    assert (tmp_path / "PhantomDCE_10001_samples.png").is_file()


@pytest.mark.parametrize("stage", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_training_continues_to_the_result_of_an_uninterrupted_one(
    stage, mip_datalist, autoencoder, diffusion, tmp_path
):
    if stage == 1:
        config, weights, uninterrupted = "train_autoencoder.json", "model_autoencoder.pt", autoencoder
        knobs = {"adversarial_weight": 0.1, "adversarial_start": 4}
    else:
        config, weights, uninterrupted = "train_diffusion.json", "model.pt", diffusion
        knobs = {"autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    options = {"input": mip_datalist, "output_dir": tmp_path, **SHORT, **SIZES[config], **knobs}
    check_continuing(BREAST_MIP, config, weights, uninterrupted, **options)


def test_training_with_other_settings_is_refused_in_the_same_folder(autoencoder, mip_datalist):
    assert "other settings" in error_line(
        train("train_autoencoder.json", autoencoder, mip_datalist, learning_rate=0.5, check=False)
    )


def test_reader_learns(mip_datalist, tmp_path):
    train("train_reader.json", tmp_path, mip_datalist, max_epochs=6)
    rows = curve(tmp_path)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert (tmp_path / "model_reader.pt").is_file()


def test_paper_recipe_differs_in_json_only(mip_datalist, autoencoder, tmp_path):
    """The paper's losses, schedule, EMA and ordinal mask at a tiny size; then its sampler."""
    sizes = {**TINY_MIP, "patch_size": 2, "denoiser_patch": 1, "unet_head_channels": [0, 0, 8]}
    sizes |= {"unet_attention": [False, False, False], "unet_blocks": [1, 1, 1], "autoencoder_blocks": 1}
    sizes.pop("conditioner_channels")
    knobs = {"max_epochs": 2, "val_interval": 1, "num_preview": 1, "preview_interval": 2, "num_embeddings": 32}
    knobs |= {"autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    options = {"bundle": BREAST_MIP, "input": mip_datalist, **SHORT, **sizes, **knobs}
    run_bundle(["train_diffusion.json", "paper.json"], output_dir=tmp_path, **options)
    first = {key: options[key] for key in ("bundle", "input", "device", "batch_size", *AUTOENCODER, "patch_size")}
    first |= {"autoencoder_blocks": 1, "max_epochs": 1, "adversarial_start": 0}
    run_bundle(["train_autoencoder.json", "paper.json"], output_dir=tmp_path / "first", **first)
    assert all(float(curve(tmp_path / "first")[0][term]) for term in ("l1", "codebook", "adversarial", "discriminator"))
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert state["denoiser.conditioner.layers.0.weight"].shape == (4, 1, 1, 1)  # one ordinal channel, without bias
    assert "denoiser.conditioner.layers.0.bias" not in state
    assert torch.equal(state["latent_scale"], torch.ones(1, 3, 1, 1))
    sizes.pop("precision")
    options = {"weights": tmp_path / "model.pt", "num_samples": 1, "num_steps": 3, "device": "cpu"}
    configs = ["inference.json", "paper.json"]
    run_bundle(configs, bundle=BREAST_MIP, output_dir=tmp_path / "out", **{**sizes, **options})


def test_fine_tuning_starts_from_given_weights(mip_datalist, diffusion, tmp_path):
    knobs = {"init_from": diffusion / "model.pt", "max_epochs": 1, "learning_rate": 0, "weight_decay": 0}
    train("train_diffusion.json", tmp_path, mip_datalist, **knobs)
    before, after = (torch.load(folder / "model.pt", weights_only=True) for folder in (diffusion, tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[key].float(), after[key].float(), rtol=2e-3, atol=1e-5) for key in before)


def test_exams_without_annotation_train_the_autoencoder_only(mip_datalist, tmp_path):
    content = json.loads(mip_datalist.read_text())
    for section in ("training", "validation"):
        for number, item in enumerate(content[section]):
            for key in ("image", "breast", "label"):
                item[key] = str((mip_datalist.parent / item[key]).resolve())
            if section == "training" and number > 1:
                item.pop("label")
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(content))
    train("train_autoencoder.json", tmp_path / "a", path, max_epochs=1)
    knobs = {"autoencoder_weights": tmp_path / "a" / "model_autoencoder.pt", "max_epochs": 1}
    result = train("train_diffusion.json", tmp_path / "d", path, **knobs)
    assert "2 of 4 cases have no label and are left out" in result.stdout + result.stderr
    for item in content["training"] + content["validation"]:
        item.pop("label", None)
    path.write_text(json.dumps(content))
    line = error_line(train("train_diffusion.json", tmp_path / "e", path, check=False, **knobs))
    assert "no case with label" in line


@pytest.mark.slow
def test_two_processes_train_together(mip_datalist, autoencoder, tmp_path):
    knobs = {"input": mip_datalist, **SHORT, "max_epochs": 2}
    own = {**SIZES["train_autoencoder.json"], "adversarial_weight": 0.1, "adversarial_start": 1}
    first = {"output_dir": tmp_path / "a", **knobs, **own}
    check_two_processes(BREAST_MIP, "train_autoencoder.json", "model_autoencoder.pt", **first)
    own = {**SIZES["train_diffusion.json"], "autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    check_two_processes(BREAST_MIP, "train_diffusion.json", "model.pt", output_dir=tmp_path / "d", **knobs, **own)


def test_published_first_stage_is_taken(mip_datalist, autoencoder, tmp_path):
    """A file in the authors' form, made from our weights, trains the same second stage as our own file."""
    code = f"""
import sys, torch
sys.path.insert(0, {str(BREAST_MIP)!r})
from monai.bundle import ConfigParser
from scripts.common.networks.vqgan_weights import load_vqgan, published_names
parser = ConfigParser()
parser.read_config({str(BREAST_MIP / "configs" / "train_diffusion.json")!r})
parser.update({ ({key: TINY_MIP[key] for key in AUTOENCODER})!r})
network = load_vqgan(parser.get_parsed_content("autoencoder_def"), {str(autoencoder / "model_autoencoder.pt")!r})
state = network.state_dict()
torch.save({{"state_dict": {{new: state[own] for new, own in published_names(network).items()}}}}, sys.argv[1])
"""
    path = tmp_path / "epoch=000188.ckpt"
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    for name, weights in (("ours", autoencoder / "model_autoencoder.pt"), ("theirs", path)):
        train("train_diffusion.json", tmp_path / name, mip_datalist, max_epochs=1, autoencoder_weights=weights)
    assert same_weights(tmp_path / "ours" / "model.pt", tmp_path / "theirs" / "model.pt")
