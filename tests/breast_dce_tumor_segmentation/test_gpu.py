"""The same runs on CUDA: masks close to the CPU's, a training that learns in mixed precision."""

import nibabel
import numpy as np
import pytest
import torch

from tests.conftest import SEGMENTATION, run_bundle
from tests.trainings import curve

CASE = "PhantomDCE_10004_phase1"


@pytest.mark.gpu
def test_masks_agree_with_the_cpu(tmp_path):
    for device in ("cpu", "cuda"):
        run_bundle("inference.json", bundle=SEGMENTATION, output_dir=tmp_path / device, device=device)
    first, second = (
        np.asarray(nibabel.load(tmp_path / device / CASE / f"{CASE}_mask.nii.gz").dataobj) > 0
        for device in ("cpu", "cuda")
    )
    assert first.any()
    # nnU-Net computes in half precision on CUDA: voxels on the border may differ.
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) >= 0.98


@pytest.mark.gpu
def test_training_in_bf16(dce_datalist, tmp_path):
    knobs = {"patch_size": "[8,24,24]", "max_epochs": 3, "val_interval": 3, "precision": "bf16", "device": "cuda"}
    run_bundle("train.json", bundle=SEGMENTATION, input=dce_datalist, output_dir=tmp_path, **knobs)
    rows = curve(tmp_path)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state.values())
