"""Each mistake gives one line and leaves nothing half-written."""

import json
import shutil

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from tests.conftest import BREAST_MIP, error_line, run_bundle

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def mask(folder, values, instances=None, affine=AFFINE, name="x_mask"):
    nibabel.save(nibabel.Nifti1Image(values, affine), folder / f"{name}.nii.gz")
    if instances is not None:
        (folder / f"{name}.json").write_text(json.dumps({"instances": instances}))
    return folder / f"{name}.nii.gz"


def plane(*values):
    image = np.zeros((64, 64, 1), np.uint8)
    for number, value in enumerate(values):
        image[8 + 12 * number : 16 + 12 * number, 20:30] = value
    return image


def truncated(folder):
    path = mask(folder, np.random.default_rng(0).integers(0, 3, (256, 256, 1)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    return path


def colour(folder):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:12, 8:12] = (255, 0, 0)
    Image.fromarray(picture).save(folder / "x.png")
    return folder / "x.png"


def specks(folder):
    return mask(folder, (np.random.default_rng(0).random((256, 256, 1)) > 0.9).astype(np.uint8) * 4)


def cropped(folder):
    header = {"Segment0_ID": "a", "Segment0_Name": "BI-RADS 4", "Segment0_LabelValue": "1"}
    header |= {"Segmentation_ReferenceImageExtentOffset": "5 7 0", "kinds": ["domain"] * 3}
    nrrd.write(str(folder / "x.seg.nrrd"), plane(1), header)
    return folder / "x.seg.nrrd"


def without_segments(folder):
    nrrd.write(str(folder / "x.seg.nrrd"), np.zeros((16, 16, 1), np.uint8), {"kinds": ["domain"] * 3})
    return folder / "x.seg.nrrd"


def coronal(folder):
    affine = np.array([[2.0, 0, 0, 0], [0, 0, 2.0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    return mask(folder, plane(4), affine=affine)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d / "absent.nii.gz", ("no such file",)),
        (lambda d: d, ("no mask found",)),
        (truncated, ("truncated",)),
        (lambda d: mask(d, plane(7)), ("7",)),
        (lambda d: mask(d, plane(1, 4)), ("1", "no finding")),
        (lambda d: mask(d, plane(1, 2), {"1": 4}), ("instance 2", "x_mask.json")),
        (lambda d: mask(d, plane(1), {"1": 9}), ("9", "2 to 6")),
        (lambda d: mask(d, plane(1)), ("--classes",)),
        (lambda d: mask(d, np.repeat(plane(4), 3, axis=2)), ("--project",)),
        (coronal, ("not axial",)),
        (colour, ("--classes",)),
        (without_segments, ("segment",)),
        (cropped, ("was cropped", "3D Slicer")),
        (specks, ("separate parts",)),
    ],
    ids=["absent", "empty folder", "truncated", "class 7", "class 1", "instance missing", "class 9", "no classes",
         "3D", "coronal", "colour", "no segments", "cropped", "specks"],
)  # fmt: skip
def test_bad_mask(tmp_path, make, words):
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    out = tmp_path / "out"
    options = {"bundle": BREAST_MIP, "device": "cpu", "num_samples": 1, "num_steps": 1}
    line = error_line(run_bundle("inference.json", input=path, output_dir=out, check=False, **options))
    assert all(word in line for word in words), line
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"num_sample": 3}, ("--num_sample", "did you mean --num_samples")),
        ({"label_meaning": "lesion"}, ("label_meaning=lesion", "instance")),
        ({"num_steps": 0}, ("num_steps=0",)),
        ({"eta": 5}, ("eta=5", "from 0 to 1")),
        ({"weights": "absent.pt"}, ("absent.pt", "--weights")),
        ({"unet_channels": [32, 96, 96]}, ("do not fit the network",)),
        ({"spatial_size": [100, 100]}, ("spatial_size", "multiples of 16")),
        ({"project": 3}, ("project=3", "True or False")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_knob(tmp_path, knobs, words):
    options = {"output_dir": tmp_path / "out", "device": "cpu", **knobs}
    line = error_line(run_bundle("inference.json", bundle=BREAST_MIP, check=False, **options))
    assert all(word in line for word in words), line


def test_training_images_of_another_size_or_scale(tmp_path):
    for name in ("PhantomDCE_10001_mask.nii.gz", "PhantomDCE_10001_mask.json"):
        shutil.copy(BREAST_MIP / "sample" / name, tmp_path)
    item = {"case": "a", "patient": "a", "image": "a.nii.gz", "label": "PhantomDCE_10001_mask.nii.gz"}
    (tmp_path / "datalist.json").write_text(json.dumps({"training": [item], "validation": [item]}))
    options = {"bundle": BREAST_MIP, "device": "cpu", "max_epochs": 1, "check": False}
    for image, words in (
        (np.zeros((128, 128, 1), np.float32), ("128 x 128 pixels, 256 x 256 are needed", "--size")),
        (np.full((256, 256, 1), 300, np.float32), ("intensities run from", "breast_mips")),
    ):
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), tmp_path / "a.nii.gz")
        folder = tmp_path / words[0].split()[0]
        run = run_bundle("train_autoencoder.json", input=tmp_path / "datalist.json", output_dir=folder, **options)
        assert all(word in error_line(run) for word in words)
