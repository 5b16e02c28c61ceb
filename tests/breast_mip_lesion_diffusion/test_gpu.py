"""The same runs on CUDA: MIPs close to the CPU's, a training that learns in mixed precision."""

import nibabel
import numpy as np
import pytest

from tests.conftest import BREAST_MIP, TINY_MIP, run_bundle

NAME = "PhantomDCE_10001_sample0"


@pytest.mark.gpu
def test_mips_agree_with_the_cpu(tmp_path):
    for device in ("cpu", "cuda"):
        options = {"output_dir": tmp_path / device, "device": device, "precision": "fp32", "num_samples": 1}
        run_bundle("inference.json", bundle=BREAST_MIP, num_steps=5, **options)
    first, second = (
        nibabel.load(tmp_path / device / NAME / f"{NAME}_mip.nii.gz").get_fdata() for device in ("cpu", "cuda")
    )
    assert np.abs(first - second).mean() < 1e-2  # a latent near a border between two codes may take the other


@pytest.mark.gpu
def test_both_stages_train_in_bf16(mip_datalist, tmp_path):
    knobs = {**TINY_MIP, "precision": "bf16", "device": "cuda", "max_epochs": 2, "val_interval": 1}
    own = ("spatial_size", "autoencoder_channels", "autoencoder_groups", "num_embeddings", "precision", "device")
    first = {key: knobs[key] for key in (*own, "max_epochs", "val_interval")}
    options = {"bundle": BREAST_MIP, "input": mip_datalist}
    run_bundle("train_autoencoder.json", output_dir=tmp_path / "a", adversarial_weight=1, **options, **first)
    weights = tmp_path / "a" / "model_autoencoder.pt"
    run_bundle("train_diffusion.json", output_dir=tmp_path / "d", autoencoder_weights=weights, **options, **knobs)
    assert (tmp_path / "d" / "model.pt").is_file()
