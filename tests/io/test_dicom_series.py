import shutil

import nibabel
import numpy as np
import pydicom
import pytest

from common.errors import InputError
from common.io.dicom_headers import find_series
from common.io.dicom_series import load_series
from common.io.volumes import load_volume, same_grid, save_nifti
from tests.io.test_dicom_writer import OBLIQUE, grid, write


@pytest.fixture
def series(tmp_path):
    """A sound oblique series of nine slices, file numbers ascending with position."""
    array = np.random.default_rng(0).integers(0, 4000, (8, 7, 9))
    write(tmp_path / "series", array, grid(OBLIQUE), seconds=3600.5)
    return tmp_path / "series"


def change(path, **tags):
    header = pydicom.dcmread(path)
    for key, value in tags.items():
        setattr(header, key, value)
    header.save_as(path)


def refused(source):
    with pytest.raises(InputError) as error:
        load_series(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_voxels_lie_where_each_file_says(series):
    volume = load_series(series)
    assert volume.shape == (1, 8, 7, 9)
    assert volume.meta["filename_or_obj"] == str(series)
    to_voxel = np.linalg.inv(volume.affine.numpy())
    for path in series.iterdir():
        header = pydicom.dcmread(path)
        along_row, along_column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        for row, column in ((0, 0), (3, 5), (6, 7)):
            lps = np.array(header.ImagePositionPatient, float)
            lps = lps + along_row * float(header.PixelSpacing[1]) * column
            lps = lps + along_column * float(header.PixelSpacing[0]) * row
            x, y, z, _ = np.rint(to_voxel @ (-lps[0], -lps[1], lps[2], 1)).astype(int)
            assert (x, y) == (column, row)
            assert volume[0, x, y, z] == header.pixel_array[row, column]


def test_the_contract_is_that_of_other_volumes(series, tmp_path):
    volume = load_series(series)
    save_nifti(tmp_path / "v.nii.gz", volume[0].numpy(), volume.affine.numpy())
    other = load_volume(tmp_path / "v.nii.gz")
    assert same_grid(volume, other) and volume.dtype == other.dtype
    assert nibabel.aff2axcodes(volume.affine) == nibabel.aff2axcodes(other.affine)
    np.testing.assert_array_equal(volume.numpy(), other.numpy())


def test_neither_names_nor_file_order_matter_and_other_files_are_passed_over(series, tmp_path):
    expected = load_series(series)
    shuffled = tmp_path / "shuffled" / "deep"
    shuffled.mkdir(parents=True)
    for number, path in enumerate(sorted(series.iterdir())):
        shutil.copy(path, shuffled / f"IM{number * 5 % 9}")
    (shuffled / "LICENSE").write_text("text")
    (shuffled / ".hidden.dcm").write_text("text")
    volume = load_series(tmp_path / "shuffled")
    np.testing.assert_array_equal(volume.numpy(), expected.numpy())
    np.testing.assert_array_equal(volume.affine.numpy(), expected.affine.numpy())


def test_a_series_is_described_by_its_headers(series):
    (found,) = find_series(series.parent)
    assert (found.description, found.number, found.modality) == ("SYNTHETIC ax dyn pre", 2, "MR")
    assert (found.seconds, found.temporal_index, found.folder) == (3600.5, 0, "series")
    assert np.all(np.diff(found.positions_mm) > 0) and len(found.files) == 9


@pytest.mark.parametrize("key", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime"])
def test_phases_in_one_series_are_told_apart_and_ordered(tmp_path, key):
    array = np.random.default_rng(0).integers(0, 100, (8, 7, 5))
    values = {"AcquisitionTime": ("100000", "100130.5", "100300")}.get(key, (1, 2, 130000))
    for phase, value in reversed(list(enumerate(values))):
        for path in write(tmp_path / str(phase), array + 1000 * phase, uid_root_text="one", seconds=36000.0):
            change(path, **{key: value, "SOPInstanceUID": f"1.2.{phase}.{path.stem[2:].lstrip('0')}"})
    found = find_series(tmp_path)
    assert [entry.temporal_index for entry in found] == [0, 1, 2]
    for phase, entry in enumerate(found):
        np.testing.assert_array_equal(load_series(entry)[0].numpy(), array + 1000 * phase)
    if key == "TriggerTime":
        assert [entry.seconds for entry in found] == [36000.001, 36000.002, 36130.0]
    if key == "AcquisitionTime":
        assert [entry.seconds for entry in found] == [36000.0, 36090.5, 36180.0]
    assert "3 phases" in refused(tmp_path)


def test_folders_without_exactly_one_series_say_what_is_there(series, tmp_path):
    write(tmp_path / "other", np.zeros((8, 7, 9), int), description="ax dyn 1st pass", series_number=3)
    message = refused(tmp_path)
    assert "2 series mixed" in message and "'SYNTHETIC ax dyn 1st pass' (series 3, 9 files)" in message
    assert "give a folder with one series alone" in message
    (tmp_path / "empty").mkdir()
    assert "holds no DICOM file" in refused(tmp_path / "empty")
    assert "no such folder" in refused(tmp_path / "none")


@pytest.mark.parametrize("modality", ["CT", "MG", "SEG"])
def test_another_modality_is_named(series, modality):
    for path in series.iterdir():
        change(path, Modality=modality)
    assert f"has modality {modality}; give an MR series" in refused(series)


@pytest.mark.parametrize("keep", [0.6, 0.3, 0.02, 0.0])
def test_a_truncated_file_is_named(series, keep):
    path = series / "1-004.dcm"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    message = refused(series)
    assert "1-004.dcm" in message and "copy it again" in message


def test_missing_slices_are_counted_and_placed(series):
    (series / "1-004.dcm").unlink()
    (series / "1-005.dcm").unlink()
    message = refused(series)
    assert "2 slices are missing between instance 3 at" in message and "and instance 6 at" in message


def test_slices_that_do_not_fit_together_are_named(series, tmp_path):
    def broken(name, **tags):
        folder = tmp_path / "broken" / name
        shutil.copytree(series, folder)
        change(folder / "1-004.dcm", **tags)
        return refused(folder)

    third = pydicom.dcmread(series / "1-003.dcm").ImagePositionPatient
    assert "at the same position" in broken("double", ImagePositionPatient=third)
    small = {"Rows": 7, "Columns": 4, "PixelData": b"\0" * 56}
    assert "1-004.dcm has 7 x 4 pixels" in broken("small", **small)
    assert "oriented differently" in broken("turned", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert "pixel spacing of 2 mm" in broken("spacing", PixelSpacing=[2, 2])
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert "colour images" in broken("colour", **colour)
    assert "multi-frame" in broken("frames", NumberOfFrames=3)
    assert "has no position" in broken("nowhere", ImagePositionPatient=None)


def test_a_single_slice_is_refused(series, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(series / "1-001.dcm", tmp_path / "one")
    assert "single slice" in refused(tmp_path / "one")


def test_a_real_series_is_read_as_itk_reads_it(real_data):
    from monai.data import ITKReader

    folder = real_data / "breast_mri" / "duke_153" / "0_pre"
    volume = load_series(folder)
    reader = ITKReader()
    array, meta = reader.get_data(reader.read(str(folder)))
    np.testing.assert_array_equal(volume[0].numpy(), array)
    np.testing.assert_allclose(volume.affine.numpy(), meta["affine"], atol=1e-5)
    titles = [series.description for series in find_series(folder.parent)]
    assert titles == ["ax dyn pre", "ax dyn 1st pass", "ax dyn 2nd pass", "Segmentation"]
    assert "modality SEG" in refused(folder.parent / "seg")
