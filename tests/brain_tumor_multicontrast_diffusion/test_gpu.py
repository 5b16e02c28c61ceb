"""The same runs on CUDA: samples close to the CPU's, trainings that learn in mixed precision."""

import nibabel
import numpy as np
import pytest

from tests.conftest import TINY, run_bundle

CASE = "PhantomBraTS_10008"


@pytest.mark.gpu
def test_samples_agree_with_the_cpu(tmp_path):
    for device in ("cpu", "cuda"):
        run_bundle("inference.json", output_dir=tmp_path / device, device=device, precision="fp32")
    volumes = [
        nibabel.load(tmp_path / device / f"{CASE}_sample0" / f"{CASE}_sample0_T1.nii.gz").get_fdata()
        for device in ("cpu", "cuda")
    ]
    assert np.abs(volumes[0] - volumes[1]).mean() < 1e-3 * volumes[0].max()


@pytest.mark.gpu
def test_both_stages_train_in_bf16(datalist, tmp_path):
    short = {"input": datalist, "device": "cuda", "max_epochs": 2, "batch_size": 2}
    first = {key: TINY[key] for key in ("spatial_size", "autoencoder_channels", "autoencoder_groups", "ssim_crop")}
    second = {key: value for key, value in TINY.items() if key != "ssim_crop"}
    run_bundle("train_autoencoder.json", output_dir=tmp_path / "a", **short, **first)
    weights = tmp_path / "a" / "model_autoencoder.pt"
    run_bundle("train_diffusion.json", output_dir=tmp_path / "d", autoencoder_weights=weights, **short, **second)
    assert (tmp_path / "d" / "model.pt").is_file()
