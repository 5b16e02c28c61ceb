import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation

from common.errors import InputError
from common.io.dicom_headers import find_series
from common.io.dicom_series import load_series
from common.io.dicom_writer import write_dicom_series

STRAIGHT = np.eye(3)
OBLIQUE = Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix()


def grid(axes=STRAIGHT, spacing=(0.7, 0.9, 2.5), origin=(10.0, -20.0, 33.333)):
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def write(folder, array, affine=None, **options):
    options = {"description": "ax dyn pre", "series_number": 2, "uid_root_text": "test", **options}
    return write_dicom_series(folder, array, grid() if affine is None else affine, **options)


@pytest.mark.parametrize(
    "values", [(0, 4000, np.int16), (0, 65536, np.int64), (-300, 300, np.int32), (0, 99, np.float32), (0, 2, np.bool_)]
)
@pytest.mark.parametrize("axes", [STRAIGHT, OBLIQUE, np.diag([-1.0, -1.0, 1.0]), np.eye(3)[[2, 0, 1]]])
def test_whole_numbers_come_back_exactly_with_their_grid(tmp_path, values, axes):
    low, high, kind = values
    array = np.random.default_rng(0).integers(low, high, (9, 7, 5)).astype(kind)
    files = write(tmp_path / "s", array, grid(axes))
    volume = load_series(tmp_path / "s")
    np.testing.assert_array_equal(volume[0].numpy(), array.astype(np.float32))
    np.testing.assert_allclose(volume.affine.numpy(), grid(axes), atol=1e-9)
    header = pydicom.dcmread(files[0])
    assert "RescaleSlope" not in header
    assert header.PixelRepresentation == (low < 0)


@pytest.mark.parametrize("axes", [np.diag([-1.0, 1.0, 1.0]), np.diag([1.0, 1.0, -1.0])])
def test_slices_against_the_normal_come_back_at_the_same_place(tmp_path, axes):
    array = np.random.default_rng(0).integers(0, 4000, (6, 7, 5))
    write(tmp_path / "s", array, grid(axes))
    volume = load_series(tmp_path / "s")
    np.testing.assert_array_equal(volume[0].numpy(), array[:, :, ::-1])
    np.testing.assert_allclose(volume.affine.numpy() @ (2, 3, 4, 1), grid(axes) @ (2, 3, 0, 1), atol=1e-9)


def test_fractions_come_back_within_half_a_step_and_large_values_keep_their_range(tmp_path):
    rng = np.random.default_rng(1)
    for name, array in {
        "a": rng.random((6, 7, 5)),
        "b": rng.normal(0, 1e6, (6, 7, 5)),
        "c": np.full((3, 3, 3), 0.3),
    }.items():
        write(tmp_path / name, array)
        step = max(np.ptp(array) / 65535, 1e-6)
        np.testing.assert_allclose(load_series(tmp_path / name)[0].numpy(), array, atol=0.51 * step, rtol=1e-6)


def test_synthetic_images_say_so_everywhere_and_others_do_not(tmp_path):
    array = np.arange(60).reshape(3, 4, 5)
    options = {"software": "bundle", "software_version": "0.1.0", "extra_tags": {"BodyPartExamined": "BREAST"}}
    header = pydicom.dcmread(write(tmp_path / "s", array, **options)[0])
    assert list(header.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert header.SeriesDescription == "SYNTHETIC ax dyn pre"
    assert "SYNTHETIC" in header.ImageComments and "SYNTHETIC" in header.DerivationDescription
    equipment = header.ContributingEquipmentSequence[0]
    assert (equipment.ManufacturerModelName, equipment.SoftwareVersions) == ("bundle", "0.1.0")
    assert (header.PatientID, str(header.PatientName), header.BodyPartExamined) == ("SYNTHETIC", "SYNTHETIC", "BREAST")
    plain = pydicom.dcmread(write(tmp_path / "p", array, synthetic=False, patient_id="case 1")[0])
    assert "SYNTHETIC" not in str(plain)
    assert plain.SeriesDescription == "ax dyn pre" and plain.PatientID == "case 1"


def test_the_same_call_gives_the_same_bytes_and_texts_tie_series_together(tmp_path):
    array = np.arange(60).reshape(3, 4, 5)
    first = write(tmp_path / "a", array, seconds=86399.5, study_text="study")
    again = write(tmp_path / "b", array, seconds=86399.5, study_text="study")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = write(tmp_path / "c", array, series_number=3, seconds=86400.25, study_text="study")
    a, c = pydicom.dcmread(first[0]), pydicom.dcmread(other[0])
    assert a.StudyInstanceUID == c.StudyInstanceUID and a.FrameOfReferenceUID == c.FrameOfReferenceUID
    assert a.SeriesInstanceUID != c.SeriesInstanceUID and a.SOPInstanceUID != c.SOPInstanceUID
    assert (a.AcquisitionTime, c.AcquisitionTime) == ("235959.500000", "000000.250000")
    assert find_series(tmp_path / "c")[0].seconds == 0.25
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_stored_is_refused(tmp_path):
    array = np.zeros((3, 4, 5))
    with pytest.raises(InputError, match="not orthogonal"):
        write(tmp_path / "s", array, grid(np.array([[1.0, 0.3, 0], [0, 1, 0], [0, 0, 1]])))
    with pytest.raises(InputError, match="NaN"):
        write(tmp_path / "s", array + np.nan)
    with pytest.raises(InputError, match="give a numeric"):
        write(tmp_path / "s", array[0])
    (tmp_path / "s").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "s", array)
