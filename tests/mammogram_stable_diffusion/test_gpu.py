"""The same runs on CUDA: mammograms close to the CPU's, a training that learns in mixed precision."""

import numpy as np
import pytest

from common.io.mammograms import load_mammogram
from tests.conftest import MAMMOGRAM, TINY_MAMMOGRAM, run_bundle


@pytest.mark.gpu
@pytest.mark.parametrize("config", ["generate.json", "inference.json"])
def test_mammograms_agree_with_the_cpu(config, tmp_path):
    shown = []
    for device in ("cpu", "cuda"):
        options = {"output_dir": tmp_path / device, "device": device, "precision": "fp32", "num_samples": 1}
        run_bundle(config, bundle=MAMMOGRAM, num_steps=5, output_format="png", **options)
        shown.append(load_mammogram(next((tmp_path / device).rglob("*_mammogram.png"))).display())
    assert np.abs(shown[0] - shown[1]).mean() < 1e-3


@pytest.mark.gpu
def test_both_stages_train_in_bf16(mammogram_datalist, tmp_path):
    knobs = {**TINY_MAMMOGRAM, "precision": "bf16", "device": "cuda", "max_epochs": 2, "val_interval": 1}
    own = ("image_size", "vae_channels", "vae_groups", "precision", "device", "max_epochs", "val_interval")
    options = {"bundle": MAMMOGRAM, "input": mammogram_datalist}
    first = {key: knobs[key] for key in own}
    run_bundle("train_autoencoder.json", output_dir=tmp_path / "a", adversarial_weight=1, **options, **first)
    weights = tmp_path / "a" / "model_autoencoder.pt"
    run_bundle("train_diffusion.json", output_dir=tmp_path / "d", autoencoder_weights=weights, **options, **knobs)
    assert (tmp_path / "d" / "model.pt").is_file()
