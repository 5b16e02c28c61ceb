"""Training at a tiny size: both stages learn, resume to the same result, refuse what does not fit."""

import pytest
import torch

from tests.conftest import MAMMOGRAM, TINY_MAMMOGRAM, error_line, run_bundle
from tests.trainings import check_continuing, check_two_processes, curve

SHORT = {"batch_size": 4, "max_epochs": 4, "val_interval": 2, "device": "cpu", "warmup_steps": 1}
VAE = ("image_size", "vae_channels", "vae_groups", "precision")
SIZES = {
    "train_autoencoder.json": {key: TINY_MAMMOGRAM[key] for key in VAE},
    "train_diffusion.json": TINY_MAMMOGRAM | {"preview_interval": 4, "num_preview": 1, "num_encodings": 1},
}
SAMPLING = {key: value for key, value in TINY_MAMMOGRAM.items() if key != "precision"}


def train(config, folder, datalist, **knobs):
    name = config if isinstance(config, str) else config[0]
    return run_bundle(config, bundle=MAMMOGRAM, input=datalist, output_dir=folder, **{**SHORT, **SIZES[name], **knobs})


@pytest.fixture(scope="module")
def autoencoder(mammogram_datalist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    train("train_autoencoder.json", folder, mammogram_datalist, adversarial_weight=0.1, adversarial_start=4)
    return folder


@pytest.fixture(scope="module")
def diffusion(mammogram_datalist, autoencoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    weights = autoencoder / "model_autoencoder.pt"
    train("train_diffusion.json", folder, mammogram_datalist, autoencoder_weights=weights)
    return folder


def test_autoencoder_learns(autoencoder):
    rows = curve(autoencoder)
    assert float(rows[-1]["l1"]) < float(rows[0]["l1"])
    assert not rows[0]["adversarial"] and float(rows[-1]["discriminator"]) > 0
    assert sorted(p.name for p in (autoencoder / "previews").iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    state = torch.load(autoencoder / "model_autoencoder.pt", weights_only=True)
    assert all(key.startswith("autoencoder.") and value.dtype == torch.float16 for key, value in state.items())


def test_diffusion_learns_and_its_file_is_all_that_both_uses_need(diffusion, tmp_path):
    rows = curve(diffusion)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert rows[1]["validation_loss"]
    assert (diffusion / "previews" / "epoch_0004.png").is_file()
    options = {"weights": diffusion / "model.pt", "num_samples": 1, "num_steps": 2, "device": "cpu", **SAMPLING}
    for config in ("inference.json", "generate.json"):
        run_bundle(config, bundle=MAMMOGRAM, output_dir=tmp_path / config[:-5], **options)
        assert (tmp_path / config[:-5] / "samples.png").is_file()


@pytest.mark.parametrize("stage", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_training_continues_to_the_result_of_an_uninterrupted_one(
    stage, mammogram_datalist, autoencoder, diffusion, tmp_path
):
    if stage == 1:
        config, weights, uninterrupted = "train_autoencoder.json", "model_autoencoder.pt", autoencoder
        knobs = {"adversarial_weight": 0.1, "adversarial_start": 4}
    else:
        config, weights, uninterrupted = "train_diffusion.json", "model.pt", diffusion
        knobs = {"autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    options = {"input": mammogram_datalist, "output_dir": tmp_path, **SHORT, **SIZES[config], **knobs}
    check_continuing(MAMMOGRAM, config, weights, uninterrupted, **options)


@pytest.mark.slow
def test_two_processes_train_together(mammogram_datalist, autoencoder, tmp_path):
    knobs = {"input": mammogram_datalist, "output_dir": tmp_path, **SHORT, "max_epochs": 1}
    knobs |= {**SIZES["train_diffusion.json"], "autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    check_two_processes(MAMMOGRAM, "train_diffusion.json", "model.pt", **knobs)


def test_paper_recipe_differs_in_json_only_and_goes_on_from_its_own_pipeline(mammogram_datalist, autoencoder, tmp_path):
    """The paper's recipe at a tiny size: a pipeline comes out, is fine-tuned for inpainting, and paints."""
    first = train("train_autoencoder.json", tmp_path / "vae", mammogram_datalist, max_epochs=1, patch_size=1,
                  vae_image_channels=3,
        latent_channels=4)  # fmt: skip
    assert first.returncode == 0
    sizes = {**TINY_MAMMOGRAM, "patch_size": 1, "vae_image_channels": 3, "vae_blocks": 1, "vae_attention": False}
    sizes |= {"text_heads": 2, "text_length": 32, "vocab_size": 60, "unet_attention": [False, True, True]}
    sizes |= {"unet_blocks": 1, "unet_heads": 2, "batch_size": 2, "accumulation_steps": 3, "max_epochs": 1}
    sizes |= {"optimizer_kind": "adafactor", "preview_interval": 1, "num_preview": 1}
    overlay = ["train_diffusion.json", "paper.json"]
    weights = tmp_path / "vae" / "model_autoencoder.pt"
    generator = {"pretrained": "none", "autoencoder_weights": weights, "task": "generate"}
    train(overlay, tmp_path / "first", mammogram_datalist, **sizes, **generator)
    pipeline = tmp_path / "first" / "pipeline"
    assert not (tmp_path / "first" / "model.pt").exists()
    tuning = {**sizes, "pretrained": pipeline, "task": "inpaint"}
    refused = train(overlay, tmp_path / "second", mammogram_datalist, **tuning, check=False)
    assert "--widen True" in error_line(refused)
    train(overlay, tmp_path / "second", mammogram_datalist, **tuning, widen=True, lora_rank=2)
    options = {"weights": tmp_path / "second" / "pipeline", "num_steps": 2, "device": "cpu"}
    run_bundle("inference.json", bundle=MAMMOGRAM, output_dir=tmp_path / "painted", **options)
    assert (tmp_path / "painted" / "samples.png").is_file()
    refused = run_bundle("inference.json", bundle=MAMMOGRAM, output_dir=tmp_path / "no", check=False,
                         **{**options, "weights": pipeline})  # fmt: skip
    assert "not inpaint" in error_line(refused)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"learning_rate": 0.5}, ("other settings",)),
        ({"autoencoder_weights": "nowhere.pt"}, ("nowhere.pt", "no such file")),
        ({"image_size": 128}, ("--size 128",)),
        ({"task": "inpant"}, ("task", "inpaint")),
    ],
)
def test_mistakes_are_told_in_one_line(knobs, words, diffusion, autoencoder, mammogram_datalist, tmp_path):
    folder = diffusion if "learning_rate" in knobs else tmp_path
    weights = {"autoencoder_weights": autoencoder / "model_autoencoder.pt"}
    line = error_line(train("train_diffusion.json", folder, mammogram_datalist, **{**weights, **knobs}, check=False))
    assert all(word in line for word in words), line
