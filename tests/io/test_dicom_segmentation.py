"""DICOM SEG in and out: place, segments, identity, and what is refused; read by highdicom and ITK beside our reader."""

import shutil
import sys
import warnings

import highdicom as hd
import itk
import nrrd
import numpy as np
import pydicom
import pytest

from common.cohorts.lesion_annotations import read_annotation
from common.errors import InputError
from common.io.dicom_headers import find_series
from common.io.dicom_segmentation import cielab, read_dicom_segmentation, write_dicom_segmentation
from common.io.dicom_series import load_series
from common.io.terminology import BRAIN_TUMOUR, BREAST_TUMOUR, MASS, birads_lesion
from tests.io.test_dicom_writer import OBLIQUE, STRAIGHT, grid, write

SHAPE = (9, 7, 6)
KINDS = {4: BRAIN_TUMOUR["enhancing"], 1: BREAST_TUMOUR}
TEXTS = {"description": "tumour", "software": ("a_bundle", "0.1.0"), "uid_root_text": "record"}


def mask(shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    labels[2:5, 1:4, 2:5], labels[6, 5, 4] = 1, 4
    return labels


@pytest.fixture
def source(tmp_path):
    write(tmp_path / "series", np.random.default_rng(0).integers(0, 4000, SHAPE), grid(OBLIQUE))
    return tmp_path / "series"


@pytest.fixture
def written(source, tmp_path):
    write_dicom_segmentation(tmp_path / "seg.dcm", mask(), grid(OBLIQUE), KINDS, source, **TEXTS)
    return tmp_path / "seg.dcm"


def refused(match, function, *arguments, **options):
    with pytest.raises(InputError, match=match) as raised:
        function(*arguments, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("axes", [STRAIGHT, OBLIQUE, np.diag([-1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0])])
def test_masks_come_back_on_the_series(tmp_path, axes):
    write(tmp_path / "s", np.random.default_rng(0).integers(0, 4000, SHAPE), grid(axes))
    write_dicom_segmentation(tmp_path / "seg.dcm", mask(), grid(axes), KINDS, tmp_path / "s", **TEXTS)
    back = read_dicom_segmentation(tmp_path / "seg.dcm", (SHAPE, grid(axes)))
    assert [segment.name for segment in back.segments] == ["Enhancing tumour", "Tumour"]
    for segment, value in zip(back.segments, KINDS, strict=True):
        np.testing.assert_array_equal(segment.mask, mask() == value)
        assert segment.type.means(KINDS[value].type)
    volume = load_series(tmp_path / "s")
    on_series = read_dicom_segmentation(tmp_path / "seg.dcm", find_series(tmp_path / "s")[0])
    assert on_series.shape == tuple(volume.shape[1:])
    np.testing.assert_allclose(on_series.affine, volume.affine, rtol=0, atol=1e-3)


def test_without_a_reference_the_grid_is_that_of_the_frames(written):
    back = read_dicom_segmentation(written)
    assert back.shape == (9, 7, 3)
    np.testing.assert_allclose(back.affine @ (0, 0, 0, 1), grid(OBLIQUE) @ (0, 0, 2, 1), atol=1e-3)
    np.testing.assert_allclose(back.affine[:3, :3], grid(OBLIQUE)[:3, :3], atol=1e-3)
    np.testing.assert_array_equal(back.segments[1].mask, mask()[:, :, 2:5] == 1)


def test_masks_in_other_axis_orders_are_turned_to_the_series(source, tmp_path):
    turned = mask().transpose(2, 0, 1)[:, ::-1]
    affine = grid(OBLIQUE)[:, [2, 0, 1, 3]] @ [[1, 0, 0, 0], [0, -1, 0, 8], [0, 0, 1, 0], [0, 0, 0, 1]]
    write_dicom_segmentation(tmp_path / "seg.dcm", turned, affine, KINDS, source, **TEXTS)
    back = read_dicom_segmentation(tmp_path / "seg.dcm", find_series(source)[0])
    np.testing.assert_array_equal(back.segments[1].mask, mask() == 1)
    again = read_dicom_segmentation(tmp_path / "seg.dcm", (turned.shape, affine))
    np.testing.assert_array_equal(again.segments[1].mask, turned == 1)


def test_highdicom_sees_the_same_voxels(written, source):
    seen = hd.seg.segread(written)
    assert [item.SegmentLabel for item in seen.SegmentSequence] == ["Enhancing tumour", "Tumour"]
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in find_series(source)[0].files]
    pixels = seen.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(pixels[..., 1], (mask() == 1).transpose(2, 1, 0))
    np.testing.assert_array_equal(pixels[..., 0], (mask() == 4).transpose(2, 1, 0))


def test_itk_sees_the_same_voxels_in_the_same_place(tmp_path):
    shape = (10, 8, 6)  # ITK takes frames to begin with a byte, which those of odd sides do not
    write(tmp_path / "s", np.random.default_rng(0).integers(0, 4000, shape), grid(OBLIQUE))
    write_dicom_segmentation(tmp_path / "seg.dcm", mask(shape), grid(OBLIQUE), KINDS, tmp_path / "s", **TEXTS)
    assert_itk_agrees(tmp_path / "seg.dcm", tmp_path / "s", mask(shape), {1: 4, 2: 1})


def assert_itk_agrees(path, source, labels, numbers):
    """Each frame's pixels by ITK, its place by ITK's geometry of the series, against labels on the series' axes."""
    header, frames = pydicom.dcmread(path), itk.array_from_image(itk.imread(str(path)))
    reader = itk.ImageSeriesReader[itk.Image[itk.F, 3]].New(ImageIO=itk.GDCMImageIO.New())
    reader.SetFileNames([str(file) for file in find_series(source)[0].files])
    reader.Update()
    found = np.zeros(labels.shape, int)
    shared = header.SharedFunctionalGroupsSequence[0]
    for pixels, groups in zip(frames, header.PerFrameFunctionalGroupsSequence, strict=True):
        position = [float(value) for value in groups.PlanePositionSequence[0].ImagePositionPatient]
        x, y, z = reader.GetOutput().TransformPhysicalPointToIndex(position)
        assert (x, y) == (0, 0)
        segment = (groups if "SegmentIdentificationSequence" in groups else shared).SegmentIdentificationSequence[0]
        found[:, :, z][pixels.T > 0] = numbers[segment.ReferencedSegmentNumber]
    np.testing.assert_array_equal(found, labels)
    measures = shared.PixelMeasuresSequence[0]
    spacing = list(reader.GetOutput().GetSpacing())
    np.testing.assert_allclose(list(map(float, measures.PixelSpacing))[::-1], spacing[:2], atol=1e-6)
    assert float(measures.SpacingBetweenSlices) == pytest.approx(spacing[2], abs=1e-4)


def test_it_belongs_to_the_study_and_says_what_made_it(source, written, tmp_path):
    header, image = pydicom.dcmread(written), pydicom.dcmread(next(source.iterdir()))
    for name in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID", "StudyDate"):
        assert header[name].value == image[name].value, name
    assert header.SeriesInstanceUID != image.SeriesInstanceUID
    assert (header.Modality, header.SegmentationType, header.Manufacturer) == ("SEG", "BINARY", "OncoSynth")
    assert (header.ManufacturerModelName, header.SoftwareVersions) == ("a_bundle", "0.1.0")
    assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    item = header.SegmentSequence[1]
    assert item.SegmentAlgorithmType == "AUTOMATIC"
    assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "OncoSynth"
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == MASS.value
    assert item.AnatomicRegionSequence[0].CodeValue == "76752008"
    assert list(item.RecommendedDisplayCIELabValue) == cielab(BREAST_TUMOUR.colour)
    assert header.SeriesDescription == "tumour"
    write_dicom_segmentation(tmp_path / "b.dcm", mask(), grid(OBLIQUE), KINDS, source, **TEXTS, synthetic=True)
    assert pydicom.dcmread(tmp_path / "b.dcm").SeriesDescription == "SYNTHETIC tumour"


def test_the_same_mask_gives_the_same_bytes_and_another_other_uids(source, written, tmp_path):
    write_dicom_segmentation(tmp_path / "b.dcm", mask(), grid(OBLIQUE), KINDS, source, **TEXTS)
    assert (tmp_path / "b.dcm").read_bytes() == written.read_bytes()
    write_dicom_segmentation(tmp_path / "c.dcm", np.roll(mask(), 1, 2), grid(OBLIQUE), KINDS, source, **TEXTS)
    assert pydicom.dcmread(tmp_path / "c.dcm").SOPInstanceUID != pydicom.dcmread(written).SOPInstanceUID


def test_headers_that_lack_or_empty_what_may_be_empty_are_taken(source, tmp_path):
    for path in source.iterdir():
        header = pydicom.dcmread(path)
        del header.PatientBirthDate, header.StudyID, header.ReferringPhysicianName
        header.SpecificCharacterSet, header.PatientName, header.StudyDate = "ISO_IR 100", "Müller", "20200131"
        header.save_as(path)
    write_dicom_segmentation(tmp_path / "seg.dcm", mask(), grid(OBLIQUE), KINDS, source, **TEXTS)
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (str(header.PatientName), header.ContentDate) == ("Müller", "20200131")


def test_what_cannot_belong_together_is_refused(source, written, tmp_path):
    path, arguments = tmp_path / "x.dcm", (KINDS, source)
    refused("mask is empty", write_dicom_segmentation, path, mask() * 0, grid(OBLIQUE), *arguments, **TEXTS)
    refused("not on the grid of series", write_dicom_segmentation, path, mask(), grid(), *arguments, **TEXTS)
    moved = grid(OBLIQUE) + np.pad([[0.002]], ((0, 3), (3, 0)))
    refused("not on the grid of series", write_dicom_segmentation, path, mask(), moved, *arguments, **TEXTS)
    refused("not on the grid", write_dicom_segmentation, path, mask((9, 7, 5)), grid(OBLIQUE), *arguments, **TEXTS)
    refused("nothing says what label", write_dicom_segmentation, path, mask() + 1, grid(OBLIQUE), *arguments, **TEXTS)
    (tmp_path / "empty").mkdir()
    refused("one series", write_dicom_segmentation, path, mask(), grid(OBLIQUE), KINDS, tmp_path / "empty", **TEXTS)
    assert not path.exists()
    write(tmp_path / "other", np.zeros(SHAPE, int), grid(OBLIQUE), uid_root_text="another patient")
    refused("another frame of reference", read_dicom_segmentation, written, find_series(tmp_path / "other")[0])
    refused("do not lie on the voxels", read_dicom_segmentation, written, (SHAPE, grid()))
    refused("reaches beyond", read_dicom_segmentation, written, ((9, 7, 3), grid(OBLIQUE)))


def test_what_is_no_segmentation_or_damaged_is_refused(source, written, tmp_path):
    refused("holds MR Image Storage, not a segmentation", read_dicom_segmentation, next(source.iterdir()))
    refused("no such file", read_dicom_segmentation, tmp_path / "absent.dcm")
    path = tmp_path / "bad.dcm"
    path.write_bytes(b"no DICOM")
    refused("cannot be read", read_dicom_segmentation, path)
    for length in (400, written.stat().st_size // 2, written.stat().st_size - 10):
        path.write_bytes(written.read_bytes()[:length])
        refused("cannot be read|holds no image", read_dicom_segmentation, path)


def test_without_highdicom_it_is_named(written, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    refused("pip install highdicom", read_dicom_segmentation, written)


def test_lesions_of_one_image(tmp_path):
    """A MIP's segmentation of one slice, its classes in the labels."""
    write(tmp_path / "s", np.zeros((12, 9, 2), int), grid())
    labels = np.zeros((12, 9, 2), np.uint8)
    labels[1:4, 2:5, 0], labels[8:10, 6:8, 0] = 1, 2
    kinds = {1: birads_lesion(4, 1, (0, 255, 0)), 2: birads_lesion(6, 2, (255, 0, 0))}
    write_dicom_segmentation(tmp_path / "seg.dcm", labels, grid(), kinds, tmp_path / "s", **TEXTS)
    lesions = read_annotation(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(lesions.class_map(), np.select([labels[..., 0] == 1, labels[..., 0] == 2], [4, 6], 0))
    np.testing.assert_allclose(lesions.affine, grid(), atol=1e-3)
    assert read_annotation(tmp_path / "seg.dcm", classes={"BI-RADS 6": 0}).classes == {1: 4}
    refused("label_meaning segment", read_annotation, tmp_path / "seg.dcm", "instance")
    labels[..., 1] = labels[..., 0]
    write_dicom_segmentation(tmp_path / "seg.dcm", labels, grid(), kinds, tmp_path / "s", **TEXTS)
    refused("has 2 slices", read_annotation, tmp_path / "seg.dcm")


def test_label_maps_and_shares(source, tmp_path):
    """Segmentations of the label map kind are read, fractional ones refused."""
    headers = [pydicom.dcmread(path) for path in find_series(source)[0].files]
    pixels = np.minimum(mask().transpose(2, 1, 0), 2)
    kind = hd.seg.SegmentDescription(1, "a", hd.sr.CodedConcept(*"1xy"), hd.sr.CodedConcept(*"2xy"), "MANUAL")
    other = hd.seg.SegmentDescription(2, "b", hd.sr.CodedConcept(*"1xy"), hd.sr.CodedConcept(*"2xy"), "MANUAL")
    for name in ("LABELMAP", "FRACTIONAL"):
        if not hasattr(hd.seg.SegmentationTypeValues, name):
            pytest.skip("this highdicom knows no label maps")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = hd.seg.Segmentation(
                headers, pixels, name, [kind, other], hd.UID(), 5, hd.UID(), 1, "m", "n", "1", "0"
            )
        made.save_as(tmp_path / f"{name}.dcm")
    back = read_dicom_segmentation(tmp_path / "LABELMAP.dcm", find_series(source)[0])
    assert [segment.name for segment in back.segments] == ["a", "b"]
    np.testing.assert_array_equal(back.segments[1].mask, mask() == 4)
    refused("shares from 0 to 1", read_dicom_segmentation, tmp_path / "FRACTIONAL.dcm")


def test_colours_are_cielab():
    assert cielab((255, 255, 255)) == [65535, 32896, 32896]
    assert cielab((0, 0, 0)) == [0, 32896, 32896]
    red = np.array(cielab((255, 0, 0))) / 65535 * [100, 255, 255] - [0, 128, 128]
    np.testing.assert_allclose(red, [54.29, 80.81, 69.89], atol=0.05)  # CSS Color 4: lab of sRGB red, D50


def test_real_segmentation_of_a_liver(real_data):
    folder = real_data / "slicer_dicom" / "dcmqi_liver"
    labels, header = nrrd.read(str(folder / "liver_seg.nrrd"))
    back = read_dicom_segmentation(folder / "liver.dcm")
    assert [(segment.name, segment.type.meaning) for segment in back.segments] == [("Liver", "Liver")]
    np.testing.assert_array_equal(back.segments[0].mask, labels > 0)
    np.testing.assert_allclose(np.diag(back.affine)[:3], [-0.810547, -0.810547, 1.0], atol=1e-6)
    np.testing.assert_allclose(back.affine[:3, 3], np.array([-1, -1, 1]) * header["space origin"], atol=1e-3)


def test_real_overlapping_segments_stay_apart(real_data):
    folder = real_data / "slicer_dicom" / "dcmqi_liver"
    series = next(s for s in find_series(folder) if s.modality == "CT")
    for reference in (None, series):
        back = read_dicom_segmentation(folder / "partial_overlaps.dcm", reference)
        assert [segment.name for segment in back.segments] == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
        assert back.shape == (512, 512, 3)
        assert sum(segment.mask.astype(int) for segment in back.segments).max() > 1
        # Counted in the file's frames, whose order is by segment.
        assert [int(segment.mask.sum()) for segment in back.segments] == [9602, 11888, 10743, 6693, 4713]


def test_real_series_makes_the_round_trip(real_data, tmp_path):
    folder = real_data / "slicer_dicom" / "dcmqi_liver"
    series = next(s for s in find_series(folder) if s.modality == "CT")
    liver = read_dicom_segmentation(folder / "liver.dcm", series)
    labels = liver.segments[0].mask.astype(np.uint8)
    write_dicom_segmentation(tmp_path / "seg.dcm", labels, liver.affine, {1: BREAST_TUMOUR}, series, **TEXTS)
    back = read_dicom_segmentation(tmp_path / "seg.dcm", series)
    np.testing.assert_array_equal(back.segments[0].mask, labels > 0)
    ct = tmp_path / "ct"
    ct.mkdir()
    for file in series.files:
        (ct / file.name).symlink_to(file)
    assert_itk_agrees(tmp_path / "seg.dcm", ct, labels, {1: 1})


def test_real_sparse_frames_lie_on_the_series_although_the_stated_thickness_is_wrong(real_data, tmp_path):
    """The file says 1.0 mm, its positions are multiples of 1.1 mm; two of its frames lie in the slab that is there."""
    folder = real_data / "breast_mri" / "duke_153"
    path, series = folder / "seg" / "1-1.dcm", find_series(folder / "0_pre")[0]
    back = read_dicom_segmentation(path)
    assert len(back.segments) == 5
    assert np.linalg.norm(back.affine[:3, 2]) == pytest.approx(1.1, abs=1e-4)
    volume = load_series(folder / "0_pre")
    to_series = np.linalg.inv(volume.affine.numpy()) @ back.affine
    np.testing.assert_allclose(to_series[:3, :3], np.eye(3), atol=1e-5)
    np.testing.assert_allclose(to_series[:3, 3] - np.rint(to_series[:3, 3]), 0, atol=1e-3)
    refused("reaches beyond the given image", read_dicom_segmentation, path, series)
    # The frames within the slab alone: each lies on the slice that it names as its source.
    header = pydicom.dcmread(path)
    uids = {
        str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): k for k, file in enumerate(series.files)
    }
    slices = [
        uids.get(str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID))
        for groups in header.PerFrameFunctionalGroupsSequence
    ]
    offset = round(to_series[2, 3])
    for segment, index in zip(back.segments, slices, strict=True):
        if index is not None:
            assert np.flatnonzero(segment.mask.any((0, 1))).tolist() == [index - offset]
    assert sum(index is not None for index in slices) >= 2
    shutil.copy(path, tmp_path / "seg.dcm")  # nothing of it is changed by reading
    assert (tmp_path / "seg.dcm").read_bytes() == path.read_bytes()
