import dataclasses

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.io.dicom_segmentation import write_dicom_segmentation
from common.io.segmentation_writer import save_segmentation
from common.io.segmentations import Segment, Segmentation
from common.io.terminology import BRAIN_TUMOUR, ENHANCING, MASS, NECROSIS, Code
from common.io.volumes import load_volume, save_nifti
from common.transforms.segment_regions import paint_regions, segment_region
from common.transforms.tumor_regions import (
    LoadRegionsd,
    as_regions,
    canonical_regions,
    load_mask,
    region_channels,
    region_map,
)
from tests.io.test_dicom_writer import OBLIQUE, grid, write

TISSUE = Code("SCT", "85756007", "Tissue")  # what 3D Slicer gives a segment that nobody described


@pytest.mark.parametrize(
    ("labels", "values", "path", "expected"),
    [
        ("brats", {1, 2, 4}, "", {1: 1, 2: 2, 4: 3}),
        ("brats2023", {1, 2, 3}, "", {1: 1, 2: 2, 3: 3}),
        ("msd", {1, 2, 3}, "", {1: 2, 2: 1, 3: 3}),
        ("whole", {1, 2, 7}, "", {1: 4, 2: 4, 7: 4}),
        ("{1: oedema, 2: enhancing}", {1, 2}, "", {1: 2, 2: 3}),
        ({1: "oedema", 2: "enhancing"}, {1, 2}, "", {1: 2, 2: 3}),
        ("auto", {1, 2, 4}, "any_seg.nii.gz", {1: 1, 2: 2, 4: 3}),
        ("auto", {1}, "any_seg.nii.gz", {1: 4}),
        ("auto", {1, 2, 3}, "BraTS-GLI-00000-000-seg.nii.gz", {1: 1, 2: 2, 3: 3}),
        ("auto", {1, 2, 3}, "BRATS_001.nii.gz", {1: 2, 2: 1, 3: 3}),
    ],
)
def test_values_are_read_as_their_convention_says(labels, values, path, expected):
    mapping = region_map(labels, values, path)
    assert {value: mapping[value] for value in values} == expected


@pytest.mark.parametrize(
    ("labels", "values", "words"),
    [
        ("auto", {1, 2, 3}, ("brats2023", "msd", "--labels")),
        ("auto", {1, 2}, ("brats", "msd", "--labels")),
        ("auto", {7}, ("7", "no known set")),
        ("brats", {1, 3}, ("label 3", "0, 1, 2, 4")),
        ("glioma", {1}, ("glioma", "unknown")),
        ("{1: skull}", {1}, ("skull", "not a region")),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused_with_the_reason(labels, values, words):
    with pytest.raises(InputError) as error:
        region_map(labels, values, "x_seg.nii.gz")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_empty_and_fractional_masks_are_refused():
    with pytest.raises(InputError, match="empty"):
        canonical_regions(MetaTensor(torch.zeros(1, 4, 4, 4)), "brats")
    with pytest.raises(InputError, match="between whole numbers"):
        canonical_regions(MetaTensor(torch.full((1, 4, 4, 4), 0.5)), "brats")


def test_channels_of_unknown_regions_give_the_whole_tumour_only():
    mask = torch.tensor([0.0, 1, 2, 3, 4]).view(1, 5, 1, 1)
    channels = region_channels(mask)[:, :, 0, 0]
    assert channels.tolist() == [[0, 1, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert torch.equal(region_channels(mask[None])[0], region_channels(mask))


def segment(name, code=TISSUE, value=1, where=slice(None)):
    mask = np.zeros((4, 3, 2), bool)
    mask[where] = True
    return Segment(name, value, "", mask, code)


@pytest.mark.parametrize(("name", "code", "region"), [
    ("Necrosis", TISSUE, 1), ("necrotic core", TISSUE, 1), ("NCR", TISSUE, 1), ("NCR/NET", None, 1),
    ("Non-enhancing tumor", TISSUE, 1), ("non_enhancing", TISSUE, 1), ("nonenhancing core", MASS, 1),
    ("Oedema", TISSUE, 2), ("peritumoral edema", TISSUE, 2), ("ED", TISSUE, 2),
    ("Enhancing tumour", TISSUE, 3), ("contrast-enhancing", MASS, 3), ("ET", TISSUE, 3),
    ("Tumor", TISSUE, 4), ("whole_tumor", TISSUE, 4), ("Tumour_1", None, 4), ("WT", TISSUE, 4),
    ("Background", TISSUE, 0), ("Segment_1", ENHANCING, 3), ("Segment_1", NECROSIS, 1), ("Segment_1", MASS, 4),
    ("Segment_1", Code("SRT", "M-36300", "Edema"), 2), ("oedema", MASS, 2),
    ("Segment_1", TISSUE, None), ("brain", TISSUE, None), ("Tumor core", TISSUE, None), ("Tumor core", MASS, None),
    ("oedema and necrosis", TISSUE, None), ("Oedema", NECROSIS, None), ("set", TISSUE, None), ("medal", TISSUE, None),
])  # fmt: skip
def test_names_and_codes_of_segments_tell_their_region(name, code, region):
    assert segment_region(segment(name, code)) == region


def test_overlapping_segments_show_the_more_specific_region():
    segments = [
        segment("ET", where=np.s_[0]),
        segment("Necrosis", where=np.s_[:2]),
        segment("edema", where=np.s_[:3]),
        segment("Tumor"),
    ]
    mask = paint_regions(Segmentation(segments, (4, 3, 2), np.eye(4)), {}, "a.seg.nrrd")
    assert mask[:, 0, 0].tolist() == [3, 1, 2, 4]


def test_a_map_names_segments_or_their_values():
    segmentation = Segmentation([segment("core", value=5), segment("rest", value=7, where=0)], (4, 3, 2), np.eye(4))
    assert paint_regions(segmentation, {"core": 3, "7": 2}, "a").ravel()[[0, -1]].tolist() == [3, 3]
    with pytest.raises(InputError, match=r"segment rest .*\(segments: core, rest; understood: .*--labels \"{rest: "):
        paint_regions(segmentation, {"core": 3}, "a")
    same = Segmentation([segment("core"), segment("rest")], (4, 3, 2), np.eye(4))
    with pytest.raises(InputError, match="segment core"):
        paint_regions(same, {"1": 3}, "a")  # two layers with one value: which is meant is not said


def regions_file(path, affine):
    labels = np.random.default_rng(0).choice([0, 1, 2, 3], (6, 5, 4), p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)
    kinds = {3: BRAIN_TUMOUR["necrosis"], 1: BRAIN_TUMOUR["enhancing"], 2: BRAIN_TUMOUR["oedema"]}
    save_segmentation(path, labels, affine, kinds)
    return np.select([labels == 3, labels == 2, labels == 1], [1, 2, 3], 0), labels, kinds


def test_segments_of_slicer_become_regions(tmp_path):
    path = str(tmp_path / "a.seg.nrrd")
    regions, labels, kinds = regions_file(path, grid(OBLIQUE))
    mask, mapping = load_mask(path)
    assert mapping == {1: 1, 2: 2, 3: 3}
    np.testing.assert_array_equal(mask[0], regions)
    np.testing.assert_allclose(mask.affine, grid(OBLIQUE), atol=1e-6)
    assert mask.meta["filename_or_obj"] == path
    item = LoadRegionsd("image", "{Necrosis: background, 2: whole}")({"image": path})
    assert sorted(item["image"].unique().tolist()) == [0, 3, 4]
    whole = LoadRegionsd("image", "brats")({"image": path, "labels": "whole"})["image"]
    np.testing.assert_array_equal(whole[0], (labels > 0) * 4)
    np.testing.assert_array_equal(load_mask(path, "msd")[0][0], np.array([0, 2, 1, 3])[labels])
    with pytest.raises(InputError, match="every value is mapped to background"):
        LoadRegionsd("image", "{1: background, 2: background, 3: background}")({"image": path})
    save_segmentation(path, labels * 0, grid(), kinds)
    with pytest.raises(InputError, match="mask is empty"):
        load_mask(path)


def test_label_maps_keep_their_values(tmp_path):
    path = str(tmp_path / "a.nii.gz")
    labels = np.random.default_rng(0).choice([0, 1, 2, 4], (6, 5, 4)).astype(np.uint8)
    save_nifti(path, labels, grid())
    mask, mapping = load_mask(path)
    np.testing.assert_array_equal(mask[0], labels)
    assert torch.equal(as_regions(mask, mapping), canonical_regions(load_volume(path), "auto"))
    with pytest.raises(InputError, match="ET is no value of a label map"):
        load_mask(path, "{ET: enhancing}")
    for labels in ("{1 oedema}", "{1: oedema"):
        with pytest.raises(InputError, match="not a map"):
            load_mask(path, labels)


def test_dicom_segments_take_their_grid_from_the_reference(tmp_path):
    regions, labels, kinds = regions_file(tmp_path / "a.seg.nrrd", grid(OBLIQUE))
    labels[:, :, :2] = 0
    regions = np.where(labels, regions, 0)
    write(tmp_path / "series", np.zeros(labels.shape, int), grid(OBLIQUE))
    texts = {"description": "a", "software": ("a", "1"), "uid_root_text": "a"}
    path = str(tmp_path / "a.dcm")
    write_dicom_segmentation(path, labels, grid(OBLIQUE), kinds, tmp_path / "series", **texts)
    with pytest.raises(InputError, match="pass --reference"):
        load_mask(path)
    image = nibabel.Nifti1Image(np.ones(labels.shape, np.uint8), grid(OBLIQUE))
    turned = nibabel.as_closest_canonical(image).as_reoriented([[1, 1], [0, -1], [2, 1]])
    nibabel.save(turned, tmp_path / "reference.nii.gz")
    item = LoadRegionsd("image")({"image": path, "reference": str(tmp_path / "reference.nii.gz")})
    assert tuple(item["image"].shape[1:]) == turned.shape
    source = nibabel.Nifti1Image(regions.astype(np.uint8), grid(OBLIQUE))
    wanted = nibabel.as_closest_canonical(source).as_reoriented([[1, 1], [0, -1], [2, 1]])
    np.testing.assert_array_equal(item["image"][0], np.asarray(wanted.dataobj))
    shifted = nibabel.Nifti1Image(np.ones(labels.shape, np.uint8), grid(OBLIQUE, origin=(0, 0, 0.3)))
    nibabel.save(shifted, tmp_path / "other.nii.gz")
    with pytest.raises(InputError, match="do not lie on the voxels"):
        load_mask(path, reference=str(tmp_path / "other.nii.gz"))


def test_kinds_can_be_renamed(tmp_path):
    kind = dataclasses.replace(BRAIN_TUMOUR["oedema"], name="Swelling")
    save_segmentation(tmp_path / "a.seg.nrrd", np.ones((3, 3, 3), np.uint8), grid(), {1: kind})
    assert load_mask(str(tmp_path / "a.seg.nrrd"))[1] == {2: 2}, "its code tells"


def test_real_segmentations_of_one_tumour_by_two_raters(real_data):
    folder = real_data / "slicer_dicom" / "segnrrd"
    first = str(folder / "MRBrainTumor1_laurenap_Segmentation.seg.nrrd")
    second = str(folder / "MRBrainTumor1_shoaibgi_Segmentation.seg.nrrd")
    tumour, mapping = load_mask(first)  # its other segment is named Background
    assert mapping == {4: 4}
    with pytest.raises(InputError, match="segments: Tumor, brain; understood"):
        load_mask(second)
    other, _ = load_mask(second, "{brain: background}")
    assert torch.allclose(tumour.affine, other.affine)
    shared = ((tumour > 0) & (other > 0)).sum() * 2 / ((tumour > 0).sum() + (other > 0).sum())
    assert shared > 0.7
