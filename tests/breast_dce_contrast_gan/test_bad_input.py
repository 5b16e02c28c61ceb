"""Each mistake gives one line and leaves nothing half-written."""

import gzip

import nibabel
import numpy as np
import pydicom
import pytest

from common.io.dicom_writer import write_dicom_series
from tests.conftest import BREAST_DCE, error_line, run_bundle

AFFINE = np.diag([-5.0, -5.0, 8.0, 1.0])


def voxels(seed=0, shape=(32, 32, 8)):
    return np.random.default_rng(seed).integers(1, 900, shape).astype(np.int16)


def nifti(folder, array, name="x.nii.gz"):
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), folder / name)
    return folder / name


def series(folder, name="series", number=1, **tags):
    path = folder / name
    write_dicom_series(
        path, voxels(number), AFFINE, description="ax dyn", series_number=number, uid_root_text=name, synthetic=False,
        extra_tags=tags,
    )  # fmt: skip
    return path


def truncated_nifti(folder):
    path = nifti(folder, voxels())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text(folder):
    (folder / "x.nii.gz").write_bytes(gzip.compress(b"this is no image"))
    return folder / "x.nii.gz"


def mixed(folder):
    first, second = series(folder), series(folder, "other", 2)
    for file in second.iterdir():
        file.rename(first / f"other-{file.name}")
    return first


def gap(folder):
    path = series(folder)
    sorted(path.iterdir())[4].unlink()
    return path


def truncated_dicom(folder):
    path = series(folder)
    file = sorted(path.iterdir())[3]
    file.write_bytes(file.read_bytes()[:-700])
    return path


def headless_dicom(folder):
    path = series(folder)
    file = sorted(path.iterdir())[3]
    file.write_bytes(file.read_bytes()[:200])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: d / "absent.nii.gz", ("no such file",)),
        (lambda d: nifti(d, np.zeros((32, 32, 8), np.int16)), ("every voxel is 0",)),
        (lambda d: nifti(d, np.full((32, 32, 8), 7, np.int16)), ("constant",)),
        (lambda d: nifti(d, voxels(shape=(32, 32, 8, 3))), ("three-dimensional",)),
        (lambda d: nifti(d, np.where(voxels() > 800, np.nan, voxels())), ("NaN or infinite",)),
        (truncated_nifti, ("truncated",)),
        (text, ("truncated or not what its name says",)),
        (lambda d: series(d, Modality="CT"), ("modality CT", "give an MR series")),
        (lambda d: series(d, Modality="MG"), ("modality MG", "give an MR series")),
        (mixed, ("2 series mixed",)),
        (gap, ("missing between instance 4", "instance 6")),
        (truncated_dicom, ("truncated",)),
        (headless_dicom, ("copy it again",)),
        (lambda d: d, ("no DICOM",)),
    ],
    ids=[
        "absent", "zero", "constant", "4D", "nan", "truncated", "not an image", "CT", "mammogram", "two series",
        "slice missing", "truncated DICOM", "DICOM header", "empty folder",
    ],
)  # fmt: skip
def test_bad_volume(tmp_path, make, words):
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    out = tmp_path / "out"
    line = error_line(
        run_bundle("inference.json", bundle=BREAST_DCE, input=path, output_dir=out, device="cpu", check=False)
    )
    assert all(word in line for word in words), line
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"flip_averge": True}, ("--flip_averge", "did you mean --flip_average")),
        ({"flip_average": 3}, ("flip_average=3", "True or False")),
        ({"output_format": "png"}, ("output_format=png", "nifti or nrrd or dicom")),
        ({"batch_size": 0}, ("batch_size=0",)),
        ({"weights": "absent.pt"}, ("absent.pt", "--weights")),
        ({"base_channels": 12}, ("do not fit the network",)),
        ({"input": "a#b.nii.gz"}, ("may not hold '#'",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_knob(tmp_path, knobs, words):
    options = {"output_dir": tmp_path / "out", "device": "cpu", **knobs}
    line = error_line(run_bundle("inference.json", bundle=BREAST_DCE, check=False, **options))
    assert all(word in line for word in words), line


def test_subtracted_input_is_warned_of(tmp_path):
    path = nifti(tmp_path, voxels() - 450)
    result = run_bundle("inference.json", bundle=BREAST_DCE, input=path, output_dir=tmp_path / "o", device="cpu")
    assert "are negative, as in a subtraction" in result.stdout + result.stderr


def test_subtraction_series_is_warned_of(tmp_path):
    path = series(tmp_path, SeriesDescription="ax dyn 1st pass SUB")
    result = run_bundle("inference.json", bundle=BREAST_DCE, input=path, output_dir=tmp_path / "o", device="cpu")
    assert "looks like a subtraction" in result.stdout + result.stderr


def test_identity_of_the_patient_stays_behind(tmp_path):
    path = series(tmp_path, PatientName="Doe^Jane", PatientID="12345", InstitutionName="Hospital of Somewhere")
    knobs = {"output_format": "dicom", "device": "cpu"}
    result = run_bundle("inference.json", bundle=BREAST_DCE, input=path, output_dir=tmp_path / "o", **knobs)
    header = pydicom.dcmread(next((tmp_path / "o" / "series" / "series_phase1").iterdir()))
    written = b"".join(p.read_bytes() for p in (tmp_path / "o").rglob("*") if p.is_file())
    for secret in ("Doe", "12345", "Somewhere"):
        assert secret not in str(header)
        assert secret.encode() not in written
        assert secret not in result.stdout + result.stderr
