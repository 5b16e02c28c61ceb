"""A volume of 512 x 512 x 160 voxels needs less than 3 GB beyond the weights, and no file per slice."""

import subprocess
import sys

import numpy as np
import pytest

from common.io.volumes import save_nifti
from tests.conftest import BREAST_DCE

CODE = """
import resource, sys
sys.path.insert(0, {bundle!r})
from monai.bundle import run
import monai.engines, itk, diffusers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(config_file={bundle!r} + "/configs/inference.json", input={path!r}, output_dir={output!r}, device="cpu")
print("GROWTH", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


@pytest.mark.slow
def test_full_size_volume_stays_below_three_gigabytes(tmp_path):
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 900, (512, 512, 160), dtype=np.int16)
    save_nifti(tmp_path / "big.nii.gz", volume, np.diag([-0.7, -0.7, 1.0, 1.0]))
    code = CODE.format(bundle=str(BREAST_DCE), path=str(tmp_path / "big.nii.gz"), output=str(tmp_path / "out"))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=3000, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split("GROWTH")[1]) < 3
    assert len([p for p in (tmp_path / "out").rglob("*") if p.is_file()]) == 11
