"""Each mistake gives one line and leaves nothing half-written."""

import gzip

import nibabel
import numpy as np
import pytest
import torch

from tests.conftest import error_line, run_bundle


def mask_file(folder, change=None, shape=(48, 48, 31), name="x_seg.nii.gz"):
    data = np.zeros(shape, np.float32)
    data[tuple(slice(n // 2 - 3, n // 2 + 3) for n in shape)] = 1
    if change:
        change(data)
    path = folder / name
    nibabel.save(nibabel.Nifti1Image(data, np.diag([5, 5, 5, 1])), path)
    return path


def _set(value):
    def change(data):
        data[20, 20, 10] = value

    return change


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d / "absent_seg.nii.gz", ("no such file",)),
        (lambda d: mask_file(d, lambda data: data.fill(0)), ("mask is empty",)),
        (lambda d: mask_file(d, _set(7)), ("7", "--labels")),
        (lambda d: mask_file(d, _set(np.nan)), ("NaN or infinite",)),
        (lambda d: mask_file(d, _set(np.inf)), ("NaN or infinite",)),
        (lambda d: mask_file(d, shape=(48, 48)), ("three-dimensional",)),
        (lambda d: mask_file(d, shape=(24, 24, 16, 3)), ("three-dimensional",)),
        (lambda d: _truncated(d), ("truncated",)),
        (lambda d: _text(d), ("truncated or not what its name says",)),
    ],
    ids=["absent", "empty", "unknown label", "nan", "infinite", "2D", "4D", "truncated", "not an image"],
)
def test_bad_mask(tmp_path, make, words):
    path = make(tmp_path)
    line = error_line(run_bundle("inference.json", input=path, output_dir=tmp_path / "out", num_steps=2, check=False))
    assert all(word in line for word in words), line
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())


def _truncated(folder):
    path = mask_file(
        folder, lambda data: data.__setitem__(slice(None), np.random.default_rng(0).integers(0, 2, data.shape))
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _text(folder):
    path = folder / "x_seg.nii.gz"
    path.write_bytes(gzip.compress(b"this is no image"))
    return path


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"num_step": 5}, ("--num_step", "did you mean --num_steps")),
        ({"num_steps": 0}, ("num_steps=0",)),
        ({"num_samples": "many"}, ("num_samples=many", "whole number")),
        ({"sampler": "euler"}, ("sampler=euler", "dpm or ddim or ddpm")),
        ({"output_grid": "atlas"}, ("output_grid=atlas",)),
        ({"labels": "glioma"}, ("labels=glioma",)),
        ({"weights": "absent.pt"}, ("absent.pt", "--weights")),
        ({"input": "a#b.nii.gz"}, ("may not hold '#'",)),
        ({"input": "$HOME/a.nii.gz"}, ("may not begin with $",)),
        ({"output_dir": "@out"}, ("may not begin with @",)),
        ({"precision": "fp16"}, ("precision=fp16",)),
        ({"reference": "absent.nii.gz"}, ("absent.nii.gz",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_knob(tmp_path, knobs, words):
    line = error_line(run_bundle("inference.json", check=False, **{"output_dir": tmp_path / "out", **knobs}))
    assert all(word in line for word in words), line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none(tmp_path):
    line = error_line(run_bundle("inference.json", output_dir=tmp_path / "out", device="cuda", check=False))
    assert "--device cpu" in line


def test_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = error_line(run_bundle("inference.json", output_dir=tmp_path / "file" / "out", check=False))
    assert "cannot be written" in line


def test_weights_that_do_not_fit(tmp_path):
    torch.save({"autoencoder.x": torch.zeros(3)}, tmp_path / "other.pt")
    line = error_line(
        run_bundle("inference.json", output_dir=tmp_path / "out", weights=tmp_path / "other.pt", check=False)
    )
    assert "do not fit the network" in line
    (tmp_path / "half.pt").write_bytes((tmp_path / "other.pt").read_bytes()[:300])
    line = error_line(
        run_bundle("inference.json", output_dir=tmp_path / "out", weights=tmp_path / "half.pt", check=False)
    )
    assert "cannot be loaded" in line
