"""The subtraction command on phantoms and on real DICOM."""

import json

import nibabel
import numpy as np

from common.io.dicom_series import load_series
from tests.conftest import error_line, run_script


def test_datalist_gives_subtractions_and_projections(dce_datalist, tmp_path):
    run_script("subtract.py", "--input", dce_datalist, "--output", tmp_path)
    item = json.loads(dce_datalist.read_text())["training"][0]
    pre, post = (nibabel.load(dce_datalist.parent / path) for path in (item["image"], item["phases"][1]))
    difference = nibabel.load(tmp_path / item["case"] / f"{item['case']}_subtraction2.nii.gz")
    assert np.allclose(difference.affine, pre.affine, atol=1e-4)
    assert np.array_equal(difference.get_fdata(), post.get_fdata() - pre.get_fdata())
    mip = nibabel.load(tmp_path / item["case"] / f"{item['case']}_mip2.nii.gz")
    assert np.array_equal(mip.get_fdata()[..., 0], np.clip(difference.get_fdata(), 0, None).max(2))
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 6 * 3 * 2
    again = ("subtract.py", "--input", dce_datalist, "--output", tmp_path)
    assert "0 cases written, 6 were there" in run_script(*again).stdout
    assert "exists with other clip" in error_line(run_script(*again, "--clip", check=False))


def test_what_is_missing_is_said(tmp_path):
    assert "give --input" in error_line(run_script("subtract.py", "--output", tmp_path, check=False))
    assert "slab=10" in error_line(
        run_script("subtract.py", "--pre", "a", "--post", "b", "--slab", 10, "--output", tmp_path, check=False)
    )
    result = run_script("subtract.py", "--pre", "no.nii.gz", "--post", "no.nii.gz", "--output", tmp_path, check=False)
    assert "no such file" in error_line(result)


def test_real_slab_shows_its_tumour(real_data, tmp_path):
    folder = real_data / "breast_mri" / "duke_153"
    run_script("subtract.py", "--pre", folder / "0_pre", "--post", folder / "1_post1", "--output", tmp_path)
    difference = nibabel.load(tmp_path / "0_pre" / "0_pre_subtraction1.nii.gz")
    expected = (load_series(folder / "1_post1") - load_series(folder / "0_pre"))[0]
    assert np.array_equal(difference.get_fdata(), np.asarray(expected))
    mip = nibabel.load(tmp_path / "0_pre" / "0_pre_mip1.nii.gz")
    assert mip.shape == (448, 448, 1)
    assert abs(mip.header.get_zooms()[2] - 24 * 1.1) < 1e-3
