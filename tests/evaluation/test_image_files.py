"""Images of a folder: all formats, their orientation and names, and what is refused."""

import itk
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from common.errors import InputError
from common.evaluation.cases import load_mask
from common.evaluation.image_files import DICOM, PICTURE, VOLUME, find_images
from common.io.dicom_writer import write_dicom_series
from common.io.mammogram_pictures import save_mammogram
from common.io.volumes import save_nifti, save_nrrd
from common.phantoms.write_mammograms import write_patient

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def volume(shape=(6, 5, 4)):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def picture(dtype=np.uint8):
    values = np.arange(35, dtype=dtype).reshape(5, 7)
    return values * 1000 if dtype == np.uint16 else values


def only(folder, pattern=None):
    files = find_images(folder, pattern)
    assert len(files) == 1
    return files[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_pictures_keep_their_own_values(tmp_path, dtype, suffix):
    Image.fromarray(picture(dtype)).save(tmp_path / f"a{suffix}")
    file = only(tmp_path)
    assert (file.name, file.kind) == ("a", PICTURE)
    assert file.load().dtype == np.float32
    assert np.array_equal(file.load(), picture(dtype))


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_black_pictures_are_images(tmp_path, mode):
    Image.new(mode, (7, 5)).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path).load(), np.zeros((5, 7)))


def test_nan_in_a_picture_is_left_to_the_caller(tmp_path):
    values = picture().astype(np.float32)
    values[2, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.isnan(only(tmp_path).load()).sum() == 1


def test_grey_pictures_in_colour_channels_are_grey(tmp_path):
    Image.fromarray(np.repeat(picture()[..., None], 3, -1)).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path).load(), picture())


def test_colour_is_refused_with_the_path(tmp_path):
    Image.fromarray(np.stack([picture()] * 2 + [picture() * 2], -1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is a colour image"):
        only(tmp_path).load()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_volumes_of_every_format(tmp_path, suffix):
    path = tmp_path / f"case{suffix}"
    if ".nii" in suffix:
        save_nifti(path, volume(), AFFINE)
    elif suffix == ".nrrd":
        save_nrrd(path, volume(), AFFINE)
    else:
        image = itk.image_from_array(np.ascontiguousarray(volume().T))
        image.SetDirection(np.diag([-1.0, -1.0, 1.0]))  # ITK is in LPS
        itk.imwrite(image, str(path))
    file = only(tmp_path)
    assert (file.name, file.kind) == ("case", VOLUME)
    assert np.array_equal(file.load(), volume())


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_a_volume_that_is_flipped_on_disk_is_the_same_image(tmp_path, axes):
    affine = AFFINE.copy()
    for axis in axes:
        affine[axis, axis] *= -1
        affine[axis, 3] = AFFINE[axis, axis] * (volume().shape[axis] - 1)
    save_nifti(tmp_path / "a.nii.gz", np.flip(volume(), axes), affine)
    assert np.array_equal(only(tmp_path).load(), volume())


def test_axes_in_another_order_are_the_same_image(tmp_path):
    affine = AFFINE[:, [2, 0, 1, 3]]
    save_nifti(tmp_path / "a.nii.gz", volume().transpose(2, 0, 1), affine)
    assert np.array_equal(only(tmp_path).load(), volume())


def test_one_slice_is_laid_out_as_its_picture(tmp_path):
    """Our own writer of pictures as NIfTI; and the same slice stored the other way round."""
    shown = picture(np.uint16)
    save_mammogram(tmp_path / "own.nii.gz", shown / 65535, (1.0, 1.0))
    assert np.array_equal(find_images(tmp_path, "own*")[0].load(), shown)
    # In RAS, X grows to the patient's right, the viewer's left, and Y to the front, which is up.
    save_nifti(tmp_path / "ras.nii.gz", np.flip(shown.T, (0, 1))[..., None].astype(np.int32), AFFINE)
    assert np.array_equal(find_images(tmp_path, "ras*")[0].load(), shown)
    nibabel.save(nibabel.Nifti1Image(np.flip(shown.T, (0, 1)).astype(np.int32), AFFINE), tmp_path / "flat.nii.gz")
    assert np.array_equal(find_images(tmp_path, "flat*")[0].load(), shown)


def test_a_sagittal_slice_stands_upright(tmp_path):
    """Rows go from head to feet, columns from front to back, as viewers show it."""
    shown = picture().astype(np.int16)
    save_nifti(tmp_path / "a.nii.gz", np.flip(shown.T, (0, 1))[None], AFFINE)
    assert np.array_equal(only(tmp_path).load(), shown)


def test_volumes_that_are_a_line_are_refused(tmp_path):
    save_nifti(tmp_path / "a.nii.gz", volume((1, 1, 9)), AFFINE)
    with pytest.raises(InputError, match=r"a\.nii\.gz: has 9 values"):
        only(tmp_path).load()


def test_four_axes_are_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(volume((3, 3, 3, 2)), AFFINE), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="three-dimensional volume is needed"):
        only(tmp_path).load()


class TestDicom:
    def series(self, folder, number=1, array=None, text="a"):
        array = volume().astype(np.int16) if array is None else array
        return write_dicom_series(folder, array, AFFINE, description="T1", series_number=number, uid_root_text=text)

    def test_a_series_is_one_volume(self, tmp_path):
        self.series(tmp_path / "patient" / "t1", 4)
        file = only(tmp_path)
        assert (file.name, file.stem, file.kind) == ("patient/t1_4", "t1_4", DICOM)
        assert len(file.files) == 4
        assert np.array_equal(file.load(), volume())

    def test_series_of_equal_numbers_have_names_of_their_own(self, tmp_path):
        self.series(tmp_path / "t1")
        self.series(tmp_path / "other", text="b")
        for path in (tmp_path / "other").iterdir():
            path.rename(tmp_path / "t1" / f"b{path.name}")
        names = [file.name for file in find_images(tmp_path)]
        assert len(set(names)) == 2
        assert all(name.startswith("t1_1_") for name in names)

    def test_a_pattern_chooses_the_slices_that_are_read(self, tmp_path):
        self.series(tmp_path / "t1")
        assert np.array_equal(only(tmp_path, "*00[123].dcm").load(), volume()[..., :3])

    def test_one_file_is_one_image(self, tmp_path):
        paths = self.series(tmp_path / "t1", array=volume((6, 5, 1)).astype(np.int16))
        file = only(tmp_path)
        assert file.name == "t1/1-001"
        assert np.array_equal(file.load(), pydicom.dcmread(paths[0]).pixel_array)

    def test_values_are_rescaled_and_inverted_as_the_header_says(self, tmp_path):
        path = self.series(tmp_path / "t1", array=volume((6, 5, 1)).astype(np.int16))[0]
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array.astype(np.float32)
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -10
        dataset.save_as(path)
        assert np.array_equal(only(tmp_path).load(), 2 * stored - 10)
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.save_as(path)
        # By what the file can hold, not by what is in it: equal tissue has equal values in all images of a set.
        assert np.array_equal(only(tmp_path).load(), 2 * (65535 - stored) - 10)

    def test_mammograms_are_one_image_each(self, tmp_path):
        write_patient(tmp_path, 0, shape=(128, 112), spacing_mm=2.0)
        files = find_images(tmp_path, "*.dicom")
        assert len(files) == len(list(tmp_path.rglob("*.dicom"))) >= 4
        assert {file.load().shape for file in files} == {(128, 112)}

    def test_files_without_suffix_that_are_no_dicom_are_passed_over(self, tmp_path):
        self.series(tmp_path / "t1")
        (tmp_path / "LICENSE").write_text("text")
        assert only(tmp_path).kind == DICOM

    def test_a_damaged_slice_is_named(self, tmp_path):
        path = self.series(tmp_path / "t1")[2]
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match=r"1-003\.dcm"):
            only(tmp_path).load()

    def test_a_damaged_file_is_named(self, tmp_path):
        path = self.series(tmp_path / "t1", array=volume((6, 5, 1)).astype(np.int16))[0]
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match=r"1-001\.dcm.* bytes of pixels"):
            only(tmp_path).load()


class TestFolders:
    def test_names_and_stems(self, tmp_path):
        (tmp_path / "deep").mkdir()
        for name in ("b_seg.nii.gz", "deep/a_mask.nii", "c-label.nrrd"):
            save = save_nrrd if name.endswith("nrrd") else save_nifti
            save(tmp_path / name, volume(), AFFINE)
        files = find_images(tmp_path)
        assert [file.name for file in files] == ["b_seg", "c-label", "deep/a_mask"]
        assert [file.stem for file in files] == ["b", "c", "a"]

    def test_hidden_files_and_folders_are_left_out(self, tmp_path):
        (tmp_path / ".hidden").mkdir()
        for name in ("a.png", ".b.png", ".hidden/c.png"):
            Image.fromarray(picture()).save(tmp_path / name)
        assert only(tmp_path).name == "a"

    def test_patterns_are_of_the_path_below_the_folder_or_of_the_name(self, tmp_path):
        for name in ("x/t1.png", "x/t2.png", "y/t1.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(picture()).save(tmp_path / name)
        assert [file.name for file in find_images(tmp_path, "t1.png")] == ["x/t1", "y/t1"]
        assert [file.name for file in find_images(tmp_path, "x/*")] == ["x/t1", "x/t2"]
        with pytest.raises(InputError, match=r"no file in it matches \*\.nii"):
            find_images(tmp_path, "*.nii")

    def test_mixed_kinds_are_counted(self, tmp_path):
        Image.fromarray(picture()).save(tmp_path / "a.png")
        for name in ("a.nii", "b.nrrd"):
            (save_nrrd if name.endswith("nrrd") else save_nifti)(tmp_path / name, volume(), AFFINE)
        with pytest.raises(InputError, match="holds 2 volume files, 1 pictures; say which are meant"):
            find_images(tmp_path)
        assert [file.name for file in find_images(tmp_path, "*.n*")] == ["a", "b"]

    def test_one_image_in_two_formats_is_refused(self, tmp_path):
        save_nifti(tmp_path / "a.nii", volume(), AFFINE)
        save_nrrd(tmp_path / "a.nrrd", volume(), AFFINE)
        with pytest.raises(InputError, match="a is there in two formats"):
            find_images(tmp_path)

    def test_no_images(self, tmp_path):
        (tmp_path / "readme.txt").write_text("text")
        with pytest.raises(InputError, match="no file in it is an image"):
            find_images(tmp_path)
        with pytest.raises(InputError, match="no such folder"):
            find_images(tmp_path / "missing")


class TestMasks:
    def test_labels_and_grey_values(self, tmp_path):
        Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8)).save(tmp_path / "a.png")
        assert load_mask(only(tmp_path)).tolist() == [[False, True], [True, False]]
        Image.fromarray(np.array([[0, 255], [100, 0]], np.uint8)).save(tmp_path / "a.png")
        assert load_mask(only(tmp_path)).tolist() == [[False, True], [True, False]]

    def test_soft_edges_are_cut_at_half_and_transparency_is_no_mask(self, tmp_path):
        soft = np.linspace(0, 200, 41).astype(np.uint8)[None]
        Image.fromarray(soft).save(tmp_path / "a.png")
        assert np.array_equal(load_mask(only(tmp_path)), soft > 100)
        Image.merge("LA", [Image.fromarray(soft), Image.new("L", (41, 1), 255)]).save(tmp_path / "a.png")
        assert np.array_equal(load_mask(only(tmp_path)), soft > 100)

    def test_colours(self, tmp_path):
        Image.fromarray(np.array([[[0, 0, 0], [0, 255, 0]]], np.uint8)).save(tmp_path / "a.png")
        assert load_mask(only(tmp_path)).tolist() == [[False, True]]

    def test_a_volume_mask_lies_as_its_image(self, tmp_path):
        save_nifti(tmp_path / "a.nii.gz", (np.flip(volume(), 0) > 50).astype(np.uint8), AFFINE * [[-1], [1], [1], [1]])
        assert np.array_equal(load_mask(only(tmp_path)), volume() > 50)

    def test_a_damaged_mask_is_named(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        with pytest.raises(InputError, match=r"a\.png: cannot be read as a picture"):
            load_mask(only(tmp_path))


class TestRealData:
    def test_a_dicom_series(self, real_data):
        file = only(real_data / "breast_mri" / "duke_153" / "0_pre")
        image = file.load()
        assert image.ndim == 3
        assert image.shape[2] == len(file.files)
        assert image.max() > 100

    def test_nifti_of_one_slice(self, real_data):
        files = find_images(real_data / "brain_mri" / "brats_2d", "*_T1C_*")
        assert len(files) == 3
        assert all(file.load().ndim == 2 for file in files)

    def test_png_and_pgm(self, real_data):
        images = find_images(real_data / "breast_mri" / "breastdm" / "images")
        masks = find_images(real_data / "breast_mri" / "breastdm" / "masks")
        assert [file.name for file in images] == [file.name for file in masks]
        assert images[0].load().shape == load_mask(masks[0]).shape
        assert all(0 < load_mask(mask).mean() < 0.2 for mask in masks)
        mammogram = find_images(real_data / "mammography" / "mini_mias", "*.pgm")[0].load()
        assert mammogram.shape == (1024, 1024)
