"""`.seg.nrrd` in and out: voxels, place, names, colours and terminology, also as slicerio and ITK read them."""

import itk
import nrrd
import numpy as np
import pytest
import slicerio

from common.cohorts.lesion_annotations import LesionAnnotation, read_annotation, save_annotation_segments
from common.errors import InputError
from common.io.label_images import read_label_image
from common.io.segment_files import is_segment_file, read_segment_file
from common.io.segmentation_writer import save_segmentation
from common.io.terminology import BRAIN_TUMOUR, BREAST_TUMOUR, Code
from tests.io.test_dicom_writer import OBLIQUE, grid

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
KINDS = {2: BRAIN_TUMOUR["necrosis"], 7: BRAIN_TUMOUR["enhancing"], 1: BRAIN_TUMOUR["oedema"]}
AFFINES = {
    "straight": grid(),
    "oblique": grid(OBLIQUE),
    "left-handed": grid(np.diag([-1.0, 1.0, 1.0])),
    "permuted": grid(OBLIQUE[:, [2, 0, 1]] @ np.diag([1.0, -1.0, 1.0])),
    "odd numbers": grid(OBLIQUE, (0.7589286, 1 / 3, 1.1), (-173.87409785896, 1e-7, 12345.678901234)),
}


def labels(seed=0):
    return np.random.default_rng(seed).choice([0, 1, 2, 7], (6, 5, 4)).astype(np.uint8)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_slicerio_and_itk_find_each_voxel_where_it_was(tmp_path, affine):
    path, mask = tmp_path / "a.seg.nrrd", labels()
    save_segmentation(path, mask, affine, KINDS, "SYNTHETIC mask")
    seen = slicerio.read_segmentation(str(path))
    np.testing.assert_array_equal(seen["voxels"], mask)
    np.testing.assert_allclose(LPS @ seen["ijkToLPS"], affine, rtol=0, atol=1e-9)
    image = itk.imread(str(path))
    np.testing.assert_array_equal(itk.array_from_image(image).T, mask)
    corner = np.array(image.TransformIndexToPhysicalPoint((5, 4, 3)))
    np.testing.assert_allclose(corner, (LPS @ affine @ (5, 4, 3, 1))[:3], atol=1e-6)
    back = read_segment_file(path)
    assert back.shape == mask.shape
    np.testing.assert_allclose(back.affine, affine, rtol=0, atol=1e-9)
    for segment, value in zip(back.segments, KINDS, strict=True):
        np.testing.assert_array_equal(segment.mask, mask == value)


def test_names_colours_and_terminology_are_those_of_slicer(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    save_segmentation(path, labels(), grid(), KINDS, "SYNTHETIC mask")
    seen = slicerio.read_segmentation(str(path))
    assert seen["description"] == "SYNTHETIC mask"
    assert [segment["name"] for segment in seen["segments"]] == ["Necrosis", "Enhancing tumour", "Oedema"]
    assert [segment["labelValue"] for segment in seen["segments"]] == [2, 7, 1]
    assert len({segment["id"] for segment in seen["segments"]}) == 3
    for segment, kind in zip(seen["segments"], KINDS.values(), strict=True):
        np.testing.assert_allclose(np.array(segment["color"]) * 255, kind.colour, atol=0.01)
        entry = segment["terminology"]
        assert entry["category"] == ["SCT", "49755003", "Morphologically Abnormal Structure"]
        assert entry["type"] == list(kind.type)
        assert entry["anatomicRegion"] == ["SCT", "12738006", "Brain"]
    header = nrrd.read_header(str(path))
    assert header["space"] == "left-posterior-superior"
    entry = header["Segment0_Tags"].split("TerminologyEntry:")[1].rstrip("|")
    assert entry.count("~") == 6
    back = read_segment_file(path).segments
    assert back[1].type == Code("NCIt", "C113842", "Enhancing Lesion")
    assert [segment.colour for segment in back] == [kind.colour for kind in KINDS.values()]


def test_codes_are_those_of_the_dicom_dictionary():
    from pydicom.sr.codedict import codes

    for code, entry in [
        (BREAST_TUMOUR.category, codes.cid7150.MorphologicallyAbnormalStructure),
        (BREAST_TUMOUR.type, codes.cid7159.Mass),
        (BREAST_TUMOUR.region, codes.cid4031.Breast),
        (BRAIN_TUMOUR["necrosis"].type, codes.cid7168.Necrosis),
        (BRAIN_TUMOUR["oedema"].type, codes.cid7168.Edema),
        (BRAIN_TUMOUR["enhancing"].type, codes.cid7168.EnhancingLesion),
        (BRAIN_TUMOUR["whole"].type, codes.cid7159.Neoplasm),
        (BRAIN_TUMOUR["whole"].region, codes.cid4030.Brain),
    ]:
        assert code == (entry.scheme_designator, entry.value, entry.meaning)


def test_the_same_voxels_give_the_same_bytes_and_no_time(tmp_path):
    for name in ("a", "b"):
        save_segmentation(tmp_path / f"{name}.seg.nrrd", labels(), grid(), KINDS, "x")
    content = (tmp_path / "a.seg.nrrd").read_bytes()
    assert content == (tmp_path / "b.seg.nrrd").read_bytes()
    assert b"GMT" not in content.partition(b"\n\n")[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.seg.nrrd", "b.seg.nrrd"]


def test_a_segment_without_voxels_is_kept_by_name_and_large_labels_fit(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    save_segmentation(path, np.zeros((3, 4, 5), np.uint8), grid(), {1: BREAST_TUMOUR})
    assert [segment["name"] for segment in slicerio.read_segmentation(str(path))["segments"]] == ["Tumour"]
    assert read_segment_file(path).segments == []
    save_segmentation(path, np.full((3, 4, 5), 300), grid(), {300: BREAST_TUMOUR})
    assert read_segment_file(path).segments[0].mask.all()


@pytest.mark.parametrize(("change", "words"), [
    ({"path": "a.nrrd"}, "name it .seg.nrrd"),
    ({"labels": labels() + 1}, "nothing says what label 3 is"),
    ({"labels": labels().astype(float)}, "give whole numbers"),
    ({"labels": labels()[0]}, r"shape \(5, 4\)"),
    ({"labels": labels().astype(int) - 1}, "whole numbers from 1 to 65535"),
])  # fmt: skip
def test_what_is_no_label_map_is_refused_and_nothing_written(tmp_path, change, words):
    arguments = {"path": "a.seg.nrrd", "labels": labels(), "affine": grid(), "kinds": KINDS, **change}
    with pytest.raises(InputError, match=words) as raised:
        save_segmentation(**{**arguments, "path": tmp_path / arguments["path"]})
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    rng = np.random.default_rng(0)
    save_segmentation(path, rng.choice([0, 1, 2, 7], (40, 40, 20)).astype(np.uint8), grid(), KINDS)
    for content in (path.read_bytes()[:-2000], b"no image at all"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as an image") as raised:
            read_segment_file(path)
        assert "\n" not in str(raised.value)


def test_lesions_come_back_with_their_numbers_and_classes(tmp_path):
    instances = np.zeros((12, 9), np.uint16)
    instances[0:2, 0:2], instances[9:11, 5:8], instances[2:5, 2:4], instances[11, 8] = 3, 1, 8, 3
    annotation = LesionAnnotation("a", instances, {1: 4, 3: 4, 8: 6}, grid(OBLIQUE))
    path = tmp_path / "a.seg.nrrd"
    save_annotation_segments(path, annotation, dict.fromkeys(range(2, 7), (255, 0, 0)), "SYNTHETIC")
    back = read_annotation(path)
    np.testing.assert_array_equal(back.instances, instances)  # two parts of 3 stay one, 3 and 8 touch
    assert back.classes == annotation.classes
    np.testing.assert_allclose(back.affine, annotation.affine, atol=1e-9)
    seen = slicerio.read_segmentation(str(path))["segments"]
    assert [segment["name"] for segment in seen] == ["BI-RADS 4", "BI-RADS 4", "BI-RADS 6"]
    assert all(segment["terminology"]["type"][1] == "4147007" for segment in seen)


def test_what_people_change_in_slicer_counts(tmp_path):
    instances = np.zeros((8, 8), np.uint16)
    instances[0:3, 0:3], instances[5:, 5:] = 1, 2
    path = tmp_path / "a.seg.nrrd"
    annotation = LesionAnnotation("a", instances, {1: 4, 2: 4}, grid())
    save_annotation_segments(path, annotation, {4: (255, 0, 0)})
    content = slicerio.read_segmentation(str(path))
    content["segments"][1]["name"] = "BI-RADS 5"
    slicerio.write_segmentation(str(path), content)
    assert read_annotation(path).classes == {1: 4, 2: 5}
    del content["segments"][0]["tags"]  # a segment that was drawn anew has no number: parts are counted again
    content["voxels"][0, 7] = 1
    slicerio.write_segmentation(str(path), content)
    assert sorted(read_annotation(path).classes.values()) == [4, 4, 5]


def test_an_exam_without_lesions_is_a_segmentation_too(tmp_path):
    annotation = LesionAnnotation("a", np.zeros((8, 8), np.uint16), {}, grid())
    save_annotation_segments(tmp_path / "a.seg.nrrd", annotation, {})
    assert read_annotation(tmp_path / "a.seg.nrrd").classes == {}


@pytest.mark.parametrize("name", ["Segmentation.seg.nrrd", "SegmentationOverlapping.seg.nrrd"])
def test_real_segmentations_are_read_as_slicerio_reads_them(real_data, name):
    path = real_data / "slicer_dicom" / "slicerio_ctchest" / name
    seen = slicerio.read_segmentation(str(path))
    back = read_segment_file(path)
    voxels = seen["voxels"] if seen["voxels"].ndim == 4 else seen["voxels"][None]
    wanted = [entry for entry in seen["segments"] if (voxels[entry["layer"]] == entry["labelValue"]).any()]
    assert [segment.name for segment in back.segments] == [entry["name"] for entry in wanted]
    for segment, entry in zip(back.segments, wanted, strict=True):
        np.testing.assert_array_equal(segment.mask, voxels[entry["layer"]] == entry["labelValue"])
        assert list(segment.type) == entry["terminology"]["type"]
        np.testing.assert_allclose(segment.colour, np.array(entry["color"]) * 255, atol=0.51)
    np.testing.assert_allclose(LPS @ back.affine, seen["ijkToLPS"], atol=1e-9)
    if len(voxels) > 1:
        total = sum(segment.mask.astype(int) for segment in back.segments)
        assert total.max() == 2, "the sphere overlaps others and both are whole"


@pytest.mark.parametrize(
    "name", ["CTACardio_kidney", "MRBrainTumor1_laurenap_Segmentation", "MRBrainTumor1_shoaibgi_Segmentation"]
)
def test_real_segmentations_make_the_round_trip(real_data, tmp_path, name):
    image = read_label_image(real_data / "slicer_dicom" / "segnrrd" / f"{name}.seg.nrrd")
    mask = image.values[..., 0]
    kinds = {int(value): BREAST_TUMOUR for value in np.unique(mask) if value}
    path = tmp_path / "a.seg.nrrd"
    save_segmentation(path, mask, image.affine, kinds)
    seen = slicerio.read_segmentation(str(path))
    np.testing.assert_array_equal(seen["voxels"], mask)
    np.testing.assert_allclose(LPS @ seen["ijkToLPS"], image.affine, rtol=0, atol=1e-3)


def test_files_of_segments_are_known_by_their_names():
    names = ("a.seg.nrrd", "A.SEG.NRRD", "a.dcm", "a.nrrd", "a.nii.gz", "a.png")
    assert [is_segment_file(name) for name in names] == [True, True, True, False, False, False]
