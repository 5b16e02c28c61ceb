"""Pre-contrast in, phases out: geometry, provenance, resume, formats, real DICOM."""

import json
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from common.io.dicom_series import load_series
from common.io.volumes import load_volume
from tests.conftest import BREAST_DCE, COMMAND, error_line, run_bundle

CASE = "PhantomDCE_10004_pre"
SAMPLE = BREAST_DCE / "sample" / f"{CASE}.nii.gz"
KINDS = ("phase", "subtraction", "mip")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    run_bundle("inference.json", bundle=BREAST_DCE, output_dir=folder, prefix=COMMAND, device="cpu")
    return folder


def volume(folder, kind, phase, case=CASE):
    return nibabel.load(folder / case / f"{case}_{kind}{phase}.nii.gz")


def test_outputs_lie_on_the_input_grid_and_fit_together(made):
    source = nibabel.load(SAMPLE)
    before = source.get_fdata()
    for phase in (1, 2, 3):
        synthetic, subtraction = (volume(made, kind, phase) for kind in ("phase", "subtraction"))
        for image in (synthetic, subtraction):
            assert image.shape == source.shape
            assert np.allclose(image.affine, source.affine, atol=1e-4)
            assert b"SYNTHETIC" in image.header["descrip"].tobytes()
        assert synthetic.get_data_dtype() == np.float32
        assert np.allclose(subtraction.get_fdata(), synthetic.get_fdata() - before, atol=0.01)
        mip = volume(made, "mip", phase)
        assert mip.shape == (*source.shape[:2], 1)
        assert np.allclose(mip.get_fdata()[..., 0], np.clip(subtraction.get_fdata(), 0, None).max(2), atol=0.01)
        assert mip.header.get_zooms()[2] == pytest.approx(source.header.get_zooms()[2] * source.shape[2])
        # Changes are of the size of the image, not of the network's scale.
        assert 0.01 < np.abs(subtraction.get_fdata()).max() / before.max() < 4
    record = json.loads((made / CASE / "provenance.json").read_text())
    assert record["synthetic"] is True
    assert {"weights_sha256", "input_sha256", "scale", "version"} <= record.keys()
    assert "SYNTHETIC" in Image.open(made / CASE / "preview.png").text["Description"]
    assert sorted(p.name for p in made.iterdir()) == [CASE]


def test_repeat_keeps_files_and_a_fresh_run_gives_the_same_bytes(made, tmp_path):
    files = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in files}
    result = run_bundle("inference.json", bundle=BREAST_DCE, output_dir=made, device="cpu")
    assert "1 of 1 cases exist already" in result.stdout + result.stderr
    assert times == {p: p.stat().st_mtime_ns for p in files}
    run_bundle("inference.json", bundle=BREAST_DCE, output_dir=tmp_path, device="cpu", cwd="/")
    assert all((tmp_path / p.relative_to(made)).read_bytes() == content for p, content in files.items())


def test_batch_size_does_not_matter(made, tmp_path):
    run_bundle("inference.json", bundle=BREAST_DCE, output_dir=tmp_path, device="cpu", batch_size=5)
    first, second = (volume(folder, "phase", 1).get_fdata() for folder in (made, tmp_path))
    assert np.abs(first - second).max() <= 1e-4 * first.max()


def test_other_settings_are_refused(made):
    line = error_line(
        run_bundle("inference.json", bundle=BREAST_DCE, output_dir=made, flip_average=True, device="cpu", check=False)
    )
    assert "--overwrite" in line
    assert "flip_average" in line


def test_flip_average_and_breast_mask(made, tmp_path):
    knobs = {"flip_average": True, "breast_only": True, "clip_subtraction": True}
    run_bundle("inference.json", bundle=BREAST_DCE, output_dir=tmp_path, device="cpu", **knobs)
    whole, breasts = (volume(folder, "phase", 1).get_fdata() for folder in (made, tmp_path))
    before = nibabel.load(SAMPLE).get_fdata()
    assert volume(tmp_path, "subtraction", 1).get_fdata().min() >= 0
    # The heart and the chest, behind the breasts, are left as they were.
    changed = np.abs(breasts - before).mean((0, 2)) > 1e-3 * before.max()
    assert changed.any()
    assert changed.sum() < (np.abs(whole - before).mean((0, 2)) > 1e-3 * before.max()).sum()


def test_one_orientation_is_like_another(made, tmp_path):
    source = nibabel.load(SAMPLE)
    turned = source.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.io_orientation(source.affine), nibabel.orientations.axcodes2ornt(("S", "P", "R"))
        )
    )
    (tmp_path / "in").mkdir()
    nibabel.save(turned, tmp_path / "in" / f"{CASE}.nii.gz")
    run_bundle("inference.json", bundle=BREAST_DCE, input=tmp_path / "in", output_dir=tmp_path / "out", device="cpu")
    other = volume(tmp_path / "out", "phase", 2)
    assert other.shape == turned.shape
    assert np.allclose(other.affine, turned.affine, atol=1e-4)
    first, second = (nibabel.as_closest_canonical(v).get_fdata() for v in (volume(made, "phase", 2), other))
    assert np.abs(first - second).max() <= 1e-3 * first.max()


def test_slices_that_are_not_square(tmp_path):
    source = nibabel.load(SAMPLE)
    cropped = source.slicer[:, 20:110]
    nibabel.save(cropped, tmp_path / "crop.nii.gz")
    run_bundle(
        "inference.json", bundle=BREAST_DCE, input=tmp_path / "crop.nii.gz", output_dir=tmp_path / "o", device="cpu"
    )
    assert volume(tmp_path / "o", "phase", 1, "crop").shape == cropped.shape


def test_nrrd_and_dicom(made, tmp_path):
    run_bundle("inference.json", bundle=BREAST_DCE, output_dir=tmp_path / "n", output_format="nrrd", device="cpu")
    expected = load_volume(made / CASE / f"{CASE}_phase1.nii.gz")
    nrrd = load_volume(tmp_path / "n" / CASE / f"{CASE}_phase1.nrrd")
    assert np.allclose(nrrd.affine, expected.affine, atol=1e-3)
    assert np.allclose(nrrd, expected, atol=1e-3)
    knobs = {"output_format": "dicom", "patient_id": "STUDY-7", "device": "cpu"}
    for folder in ("d", "again"):
        run_bundle("inference.json", bundle=BREAST_DCE, output_dir=tmp_path / folder, **knobs)
    series = tmp_path / "d" / CASE / f"{CASE}_phase1"
    dicom = load_series(series)
    assert np.allclose(np.sort(np.abs(dicom.affine.diagonal())), np.sort(np.abs(expected.affine.diagonal())), atol=1e-3)
    assert float(dicom.max()) == pytest.approx(float(expected.max()), rel=1e-3)
    files = sorted(series.iterdir())
    header = pydicom.dcmread(files[0])
    assert header.PatientID == "STUDY-7"
    assert header.ImageType[0] == "DERIVED"
    assert header.SeriesDescription.startswith("SYNTHETIC")
    assert len({pydicom.dcmread(file).SOPInstanceUID for file in files}) == len(files)
    assert (
        files[0].read_bytes() == (tmp_path / "again" / series.relative_to(tmp_path / "d") / files[0].name).read_bytes()
    )


def test_datalist_gives_a_folder_a_case(dce_datalist, tmp_path):
    knobs = {"sections": "['validation', 'test']", "device": "cpu"}
    run_bundle("inference.json", bundle=BREAST_DCE, input=dce_datalist, output_dir=tmp_path, **knobs)
    cases = [p for p in tmp_path.iterdir() if p.is_dir()]
    assert len(cases) == 2
    assert all((case / "preview.png").is_file() for case in cases)


@pytest.mark.parametrize("where", ["bundle", "copy"])
def test_it_runs_from_the_bundle_and_unpacked_elsewhere(where, tmp_path):
    bundle = BREAST_DCE
    if where == "copy":
        bundle = tmp_path / BREAST_DCE.name
        shutil.copytree(BREAST_DCE, bundle, ignore=shutil.ignore_patterns("__pycache__"))
        assert not (bundle / "scripts" / "common").is_symlink()
    run_bundle("inference.json", bundle=bundle, cwd=bundle, output_dir=tmp_path / "out", device="cpu")
    assert (tmp_path / "out" / CASE / "preview.png").is_file()


def test_real_dicom_series_gives_volumes_that_overlay_it(real_data, tmp_path):
    source = real_data / "breast_mri" / "duke_153" / "0_pre"
    run_bundle("inference.json", bundle=BREAST_DCE, input=source, output_dir=tmp_path, device="cpu")
    before = load_series(source)
    phase = volume(tmp_path, "phase", 1, "0_pre")
    assert phase.shape == tuple(before.shape[1:]) == (448, 448, 24)
    assert np.allclose(phase.affine, before.affine, atol=1e-3)
    synthetic, real = phase.get_fdata(), before[0].numpy()
    # What phantom weights add is not meaningful here; that the anatomy lies where it was is.
    overlay = np.corrcoef(synthetic.ravel(), real.ravel())[0, 1]
    assert overlay > 0.5
    assert all(np.corrcoef(np.flip(synthetic, axis).ravel(), real.ravel())[0, 1] < overlay - 0.1 for axis in (0, 1))
    text = (tmp_path / "0_pre" / "provenance.json").read_text()
    assert "Breast_MRI" not in text
