import csv
import json

import nibabel
import numpy as np
import pydicom
import pytest

from common.cohorts.duke_boxes import read_boxes
from common.errors import InputError
from common.io.dicom_headers import find_series
from common.io.dicom_series import load_series
from common.phantoms.breast_dce import make_breast_dce
from common.phantoms.write_breast_dce import PHASES, is_written, primary_lesion, write_boxes, write_case
from tests.conftest import error_line, run_script

SMALL = {"shape": (64, 64, 20), "spacing_mm": (5.3, 5.3, 6.4)}


@pytest.fixture(scope="module")
def duke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("duke")
    for seed in (1, 6):
        write_case(folder, seed, "duke", **SMALL)
    write_boxes(folder)
    return folder


def test_dicom_is_laid_out_as_the_collection_is_downloaded(duke):
    (study,) = (duke / "Breast_MRI_001").iterdir()
    assert study.name.startswith("01-01-1990-NA-MRI BREAST BILATERAL W WO-")
    names = sorted(path.name for path in study.iterdir())
    assert [name.split("-")[0] + "-" + name.split("-")[1] for name in names] == [
        f"{2 + number}.000000-{phase}" for number, phase in enumerate(PHASES)
    ]
    assert sorted(path.name for path in (study / names[0]).iterdir())[0] == "1-001.dcm"
    header = pydicom.dcmread(next((study / names[0]).iterdir()))
    assert header.PatientID == "Breast_MRI_001" and header.SeriesDescription == "SYNTHETIC ax dyn pre"
    assert header.PatientPosition == "FFP" and header.ImageType[0] == "DERIVED"
    assert not list(duke.glob(".*"))


def test_every_phase_holds_the_phantoms_voxels_at_their_place(duke):
    for seed in (1, 6):
        phantom = make_breast_dce(seed, **SMALL)
        series = find_series(duke / f"Breast_MRI_{seed:03d}")
        assert len(series) == 4 and len({entry.frame_of_reference for entry in series}) == 1
        for phase, entry in zip(phantom.image, series, strict=True):
            volume = load_series(entry)
            image = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume[0].numpy(), volume.affine.numpy()))
            np.testing.assert_array_equal(np.asarray(image.dataobj), phase)
            np.testing.assert_allclose(image.affine @ (31.5, 31.5, 9.5, 1), (0, 0, 0, 1), atol=1e-6)
        seconds = np.diff([entry.seconds for entry in series])
        np.testing.assert_allclose(np.cumsum(seconds), phantom.seconds, atol=1e-3)


def test_boxes_are_the_same_in_both_tables(duke):
    boxes = read_boxes(duke / "Annotation_Boxes.csv")
    assert boxes == read_boxes(duke / "Annotation_Boxes.xlsx")
    assert sorted(boxes) == ["Breast_MRI_001", "Breast_MRI_006"]
    with (duke / "Annotation_Boxes.csv").open() as stream:
        assert next(csv.reader(stream))[0] == "Patient ID"


def test_masks_and_truth_lie_beside_the_images(duke):
    phantom = make_breast_dce(6, **SMALL)
    mask = nibabel.load(duke / "masks" / "Breast_MRI_006.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), phantom.label)
    truth = json.loads((duke / "masks" / "Breast_MRI_006.json").read_text())
    assert truth["lesions"] == phantom.lesions
    sizes = np.bincount(phantom.label.ravel())[1:]
    assert sizes[primary_lesion(phantom) - 1] == sizes.max()


def test_nifti_is_laid_out_as_mama_mia(tmp_path):
    write_case(tmp_path, 3, "nifti", **SMALL)
    phantom = make_breast_dce(3, **SMALL)
    files = sorted((tmp_path / "images" / "PhantomDCE_00003").iterdir())
    assert [file.name for file in files] == [f"phantomdce_00003_000{phase}.nii.gz" for phase in range(4)]
    for phase, file in zip(phantom.image, files, strict=True):
        image = nibabel.load(file)
        assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S") and image.get_data_dtype() == np.int16
        np.testing.assert_array_equal(np.asarray(nibabel.as_closest_canonical(image).dataobj), phase)
    expert = tmp_path / "segmentations" / "expert"
    mask = nibabel.as_closest_canonical(nibabel.load(expert / "phantomdce_00003.nii.gz"))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), phantom.label)
    assert json.loads((expert / "phantomdce_00003.json").read_text())["seconds"] == list(phantom.seconds)


def test_a_case_is_complete_or_not_there(tmp_path):
    assert not is_written(tmp_path, 3, "nifti")
    write_case(tmp_path, 3, "nifti", **SMALL)
    assert is_written(tmp_path, 3, "nifti")
    (tmp_path / "segmentations" / "expert" / "phantomdce_00003.json").unlink()
    assert not is_written(tmp_path, 3, "nifti")


def test_a_grid_too_coarse_for_the_lesions_is_refused(tmp_path):
    with pytest.raises(InputError, match="no voxel in a lesion"):
        write_case(tmp_path, 1, "duke", shape=(8, 8, 4), spacing_mm=(42.0, 42.0, 32.0))


def test_the_command_line_keeps_what_exists_and_names_formats(tmp_path):
    write_case(tmp_path, 4, "duke", **SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    options = ["breast_dce", "--output", tmp_path, "--num", "1", "--first", "4", "--workers", "1"]
    assert "0 phantom cases written, 1 were there" in run_script("make_phantoms.py", *options).stdout
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    assert "Breast_MRI_004" in read_boxes(tmp_path / "Annotation_Boxes.xlsx")
    result = run_script("make_phantoms.py", *options, "--format", "png", check=False)
    assert "format=png: use duke or nifti" in error_line(result)
