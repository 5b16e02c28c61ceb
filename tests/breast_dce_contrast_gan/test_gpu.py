"""The same runs on CUDA: phases close to the CPU's, a training that learns in mixed precision."""

import nibabel
import numpy as np
import pytest

from tests.conftest import BREAST_DCE, TINY_DCE, run_bundle

CASE = "PhantomDCE_10004_pre"


@pytest.mark.gpu
def test_phases_agree_with_the_cpu(tmp_path):
    for device in ("cpu", "cuda"):
        options = {"output_dir": tmp_path / device, "device": device, "precision": "fp32"}
        run_bundle("inference.json", bundle=BREAST_DCE, **options)
    first, second = (
        nibabel.load(tmp_path / device / CASE / f"{CASE}_phase1.nii.gz").get_fdata() for device in ("cpu", "cuda")
    )
    assert np.abs(first - second).mean() < 1e-3 * first.max()


@pytest.mark.gpu
def test_adversarial_training_in_bf16(dce_datalist, tmp_path):
    knobs = {**TINY_DCE, "precision": "bf16", "device": "cuda", "max_epochs": 2, "val_interval": 1}
    run_bundle("train.json", bundle=BREAST_DCE, input=dce_datalist, output_dir=tmp_path, adversarial_weight=1, **knobs)
    assert (tmp_path / "model.pt").is_file()
