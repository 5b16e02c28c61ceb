"""Every form in which lesions with classes arrive, written on the fly, and every refusal."""

import json

import itk
import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from common.cohorts.lesion_annotations import (
    LesionAnnotation,
    boxes_annotation,
    read_annotation,
    save_annotation,
    soft_from_raters,
)
from common.cohorts.lesion_classes import class_from_name, read_class_table
from common.errors import InputError

OBLIQUE = np.array([[1.2, -0.3, 0, 10], [0.4, 0.9, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1.0]])
SHAPE = (12, 9)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def plane(**values):
    """Label map with one 2x2 square per entry: `at_3_4=5` is value 5 from pixel (3, 4)."""
    labels = np.zeros(SHAPE, np.uint8)
    for place, value in values.items():
        x, y = map(int, place.split("_")[1:])
        labels[x : x + 2, y : y + 2] = value
    return labels


def nifti(path, array, affine=OBLIQUE):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def sidecar(mask, content):
    mask.with_name(mask.name.split(".")[0] + ".json").write_text(json.dumps(content))
    return mask


def seg_nrrd(path, layers, segments, affine=OBLIQUE, **fields):
    """Write 3D Slicer's form: `layers` (L, X, Y, Z), `segments` as (name, value, layer, tags)."""
    lps = LPS @ affine
    rows = lps[:3, :3].T
    header = {"space": "left-posterior-superior", "space origin": lps[:3, 3], **fields}
    if len(layers) > 1:
        data = np.asarray(layers)
        header |= {"kinds": ["list", *["domain"] * 3], "space directions": np.vstack([np.full(3, np.nan), rows])}
    else:
        data = layers[0]
        header |= {"kinds": ["domain"] * 3, "space directions": rows}
    for k, (name, value, layer, tags) in enumerate(segments):
        header |= {f"Segment{k}_Name": name, f"Segment{k}_LabelValue": str(value), f"Segment{k}_Layer": str(layer)}
        header[f"Segment{k}_Tags"] = f"Segmentation.Status:inprogress|{tags}"
    nrrd.write(str(path), data, header, index_order="F")
    return path


def refused(match, *arguments, **options):
    with pytest.raises(InputError, match=match) as raised:
        read_annotation(*arguments, **options)
    assert "\n" not in str(raised.value)


def test_instances_take_their_classes_from_the_json_file(tmp_path):
    labels = plane(at_0_0=3, at_6_6=7)
    labels[11, 0] = 3  # a second part of the same lesion
    mask = sidecar(nifti(tmp_path / "a.nii.gz", labels[..., None]), {"instances": {"3": 4, "7": 2}})
    lesions = read_annotation(mask)
    assert lesions.classes == {3: 4, 7: 2}
    assert lesions.instances.dtype == np.uint16
    np.testing.assert_array_equal(lesions.instances, labels)
    np.testing.assert_array_equal(lesions.class_map(), np.select([labels == 3, labels == 7], [4, 2], 0))
    np.testing.assert_allclose(lesions.affine, OBLIQUE, atol=1e-6)
    assert read_annotation(mask, classes="{3: 6}").classes == {3: 6, 7: 2}
    assert read_annotation(mask, classes={3: 0}).classes == {7: 2}


def test_the_phantoms_json_form_and_other_json_files(tmp_path):
    mask = nifti(tmp_path / "a.nii.gz", plane(at_0_0=1)[..., None])
    sidecar(mask, {"seconds": [0, 60], "lesions": [{"instance": 1, "birads": 5, "radius_mm": 3.0}]})
    assert read_annotation(mask).classes == {1: 5}
    sidecar(mask, {"RepetitionTime": 2})  # a converter's file says nothing of classes
    refused("value 1 is no BI-RADS class", mask)
    sidecar(mask, {"lesions": [{"instance": 1, "curve_type": "I"}]})
    refused("value 1 is no BI-RADS class", mask)


@pytest.mark.parametrize("content", [{"instances": {}}, {"lesions": []}, None])
def test_a_mask_without_lesions_is_a_case(tmp_path, content):
    mask = nifti(tmp_path / "a.nii.gz", plane()[..., None])
    if content:
        sidecar(mask, content)
    lesions = read_annotation(mask)
    assert lesions.classes == {}
    assert not lesions.class_map().any()


def test_json_and_mask_have_to_agree(tmp_path):
    mask = nifti(tmp_path / "a.nii.gz", plane(at_0_0=1, at_6_6=2)[..., None])
    refused("instance 2 has no class", sidecar(mask, {"instances": {"1": 4}}))
    refused("a.json: instance 8 is not in the mask", sidecar(mask, {"instances": {"1": 4, "2": 4, "8": 2}}))
    refused("class 1 means no finding", sidecar(mask, {"instances": {"1": 1, "2": 4}}))
    refused("7 is not a BI-RADS class", sidecar(mask, {"instances": {"1": 7, "2": 4}}))
    refused("None is not a BI-RADS class", sidecar(mask, {"lesions": [{"instance": 1}, {"instance": 2, "birads": 3}]}))
    refused("expected", sidecar(mask, {"1": 4, "2": 4}))
    (tmp_path / "a.json").write_text("{broken")
    refused("not valid JSON", mask)
    refused("instance 1 has no class", nifti(tmp_path / "b.nii.gz", plane(at_0_0=1)[..., None]), "instance")


def test_label_maps_of_classes_become_components(tmp_path):
    labels = plane(at_0_0=4, at_2_2=4, at_7_0=4, at_7_2=2)  # the first two touch at a corner
    lesions = read_annotation(nifti(tmp_path / "a.nii.gz", labels[..., None]))
    np.testing.assert_array_equal(lesions.class_map(), labels)
    assert sorted(lesions.classes.values()) == [2, 4, 4]
    assert lesions.instances[0, 0] == lesions.instances[3, 3] != lesions.instances[7, 0]
    slope = nifti(tmp_path / "b.nii.gz", labels[..., None].astype(np.float32) * np.float32(0.99999))
    np.testing.assert_array_equal(read_annotation(slope).class_map(), labels)


def test_values_without_a_class_are_refused_with_both_ways_out(tmp_path):
    binary = nifti(tmp_path / "a_mask.nii.gz", plane(at_0_0=1)[..., None])
    refused(r'--classes "\{1: 4\}" or with a_mask.json beside it: \{"instances": \{"1": 4\}\}', binary)
    refused("value 1 marks pixels, but class 1 means no finding", binary, "birads")
    assert read_annotation(binary, classes="{1: 4}").classes == {1: 4}
    refused("value 7 is no BI-RADS class", nifti(tmp_path / "b.nii.gz", plane(at_0_0=7, at_4_4=3)[..., None]))
    refused("value 3 has no BI-RADS class", tmp_path / "b.nii.gz", classes={7: 2})
    assert read_annotation(tmp_path / "b.nii.gz", classes={7: 2, 3: 0}).classes == {1: 2}
    half = nifti(tmp_path / "c.nii.gz", plane(at_0_0=1)[..., None] * np.float32(0.5))
    refused("whole numbers", half)
    refused("NaN", nifti(tmp_path / "d.nii.gz", np.full((*SHAPE, 1), np.nan, np.float32)))


def test_two_readings_are_refused_until_one_is_said(tmp_path):
    mask = sidecar(nifti(tmp_path / "a.nii.gz", plane(at_0_0=3, at_6_6=4)[..., None]), {"instances": {"1": 5, "2": 5}})
    refused("BI-RADS classes, or as instances.*--label_meaning", mask)
    assert read_annotation(mask, "birads").classes == {1: 3, 2: 4}
    refused("instance 3 has no class", mask, "instance")
    refused("label_meaning=colour", mask, "colour")
    refused("holds no segments", mask, "segment")
    refused("a soft mask has shape", mask, "soft")


@pytest.mark.parametrize(("text", "table"), [
    ("{1: 4, 2: 5}", {"1": 4, "2": 5}),
    ("{red: 5, ff0000: 0}", {"red": 5, "ff0000": 0}),
    ('{"255,0,0": 5, left upper: 4a}', {"255,0,0": 5, "left upper": 4}),
    ({1: 4, (0, 255, 0): 2}, {"1": 4, "0,255,0": 2}),
    (None, {}),
])  # fmt: skip
def test_class_tables_arrive_in_many_forms(tmp_path, text, table):
    assert read_class_table(text) == table
    (tmp_path / "t.json").write_text(json.dumps(table))
    assert read_class_table(str(tmp_path / "t.json")) == table


@pytest.mark.parametrize(("text", "match"), [
    ("{1: 1}", "class 1 means no finding"),
    ("{1: 7}", "7 is not a BI-RADS class"),
    ("{1 4}", "not a table"),
    ("{1: 4", "not a table"),
    ("nowhere.json", "neither a table"),
])  # fmt: skip
def test_bad_class_tables_are_refused(text, match):
    with pytest.raises(InputError, match=match):
        read_class_table(text)


def test_any_axis_may_be_the_one_of_length_one(tmp_path):
    labels = plane(at_1_5=4)
    for axis in range(3):
        lesions = read_annotation(nifti(tmp_path / f"{axis}.nii", np.expand_dims(labels, axis)))
        np.testing.assert_array_equal(lesions.class_map(), labels)
        voxel = np.insert([1.0, 5.0], axis, 0.0)
        np.testing.assert_allclose(lesions.affine @ [1, 5, 0, 1], OBLIQUE @ [*voxel, 1], atol=1e-5)
    np.testing.assert_array_equal(read_annotation(nifti(tmp_path / "flat.nii", labels)).class_map(), labels)


def test_three_dimensional_masks_are_projected_on_demand(tmp_path):
    coronal = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -2.0, 0, 40], [0, 0, 0, 1]])  # axis 1 is cranio-caudal
    labels = np.zeros((8, 6, 7), np.uint8)
    labels[1:4, 1, 2:5] = 3
    labels[2:6, 4, 3:6] = 5
    mask = nifti(tmp_path / "a.nii.gz", labels, coronal)
    refused("pass --project True", mask)
    lesions = read_annotation(mask, project=True)
    np.testing.assert_array_equal(lesions.class_map(), labels.max(1))
    assert lesions.classes == {1: 3, 2: 5}
    np.testing.assert_allclose(lesions.affine[:3, 2], [0, 0, -12])
    np.testing.assert_allclose(lesions.affine @ [0, 0, 0, 1], [0, 0, 35, 1])


def test_metaimage_and_nrrd_keep_their_place(tmp_path):
    labels = plane(at_3_2=6)
    image = itk.image_from_array(np.ascontiguousarray(labels.T[None]))
    image.SetSpacing([0.5, 2.0, 3.0])
    image.SetOrigin([7.0, 8.0, 9.0])
    for name in ("a.mha", "a.nrrd"):
        itk.imwrite(image, str(tmp_path / name))
        lesions = read_annotation(tmp_path / name)
        np.testing.assert_array_equal(lesions.class_map(), labels)
        np.testing.assert_allclose(lesions.affine, LPS @ [[0.5, 0, 0, 7], [0, 2, 0, 8], [0, 0, 3, 9], [0, 0, 0, 1]])
    flat = itk.image_from_array(np.ascontiguousarray(labels.T))
    flat.SetSpacing([0.5, 2.0])
    flat.SetOrigin([7.0, 8.0])
    for name in ("b.mha", "b.nrrd"):
        itk.imwrite(flat, str(tmp_path / name))
        lesions = read_annotation(tmp_path / name)
        np.testing.assert_array_equal(lesions.class_map(), labels)
        np.testing.assert_allclose(lesions.affine, LPS @ [[0.5, 0, 0, 7], [0, 2, 0, 8], [0, 0, 1, 0], [0, 0, 0, 1]])
    rows = OBLIQUE[:3, :3].T
    header = {"space": "right-anterior-superior", "space origin": OBLIQUE[:3, 3], "space directions": rows}
    nrrd.write(str(tmp_path / "c.nrrd"), labels[..., None], header, index_order="F")
    np.testing.assert_allclose(read_annotation(tmp_path / "c.nrrd").affine, OBLIQUE)


def test_slicer_segments_in_two_layers(tmp_path):
    first, second = plane(at_0_0=1, at_8_4=1)[..., None], plane(at_1_1=1, at_5_6=2)[..., None]
    path = seg_nrrd(tmp_path / "a.seg.nrrd", [first, second], [
        ("mass left", 1, 0, "BI-RADS:3|x:y"),
        ("BI-RADS 5", 1, 1, ""),
        ("nothing here", 9, 1, ""),
        ("rest", 2, 1, ""),
    ])  # fmt: skip
    lesions = read_annotation(path, classes={"rest": 2})
    expected = np.where(first, 3, 0)[..., 0]
    expected[second[..., 0] == 2] = 2
    expected[second[..., 0] == 1] = 5  # the higher class wins where the two overlap
    np.testing.assert_array_equal(lesions.class_map(), expected)
    assert lesions.classes == {1: 3, 2: 3, 3: 5, 4: 2}, "the first segment has two parts"
    np.testing.assert_allclose(lesions.affine, OBLIQUE, atol=1e-9)
    refused('class of segment rest cannot be told.*--classes "{rest: 4}"', path)
    assert set(read_annotation(path, classes="{mass left: 4, rest: 0}").classes.values()) == {4, 5}
    refused("has 2 channels", path, "birads")


def test_files_that_only_look_like_segmentations(tmp_path):
    nrrd.write(str(tmp_path / "a.seg.nrrd"), plane(at_0_0=4)[..., None], index_order="F")
    refused("holds no segments", tmp_path / "a.seg.nrrd")
    one = [plane(at_0_0=1)[..., None]]
    refused("in layer 3 of 1", seg_nrrd(tmp_path / "b.seg.nrrd", one, [("B4", 1, 3, "")]))
    refused("class 1 means no finding", seg_nrrd(tmp_path / "c.seg.nrrd", one, [("BI-RADS 1", 1, 0, "")]))
    renamed = seg_nrrd(tmp_path / "renamed.nrrd", one, [("B4", 1, 0, "")])
    assert read_annotation(renamed).classes == {1: 4}


def test_cropped_segmentations_are_refused(tmp_path):
    one = [plane(at_0_0=1)[..., None]]
    for offset in ("0 0 0", "0 12 0"):
        fields = {"Segmentation_ReferenceImageExtentOffset": offset}
        path = seg_nrrd(tmp_path / "a.seg.nrrd", one, [("B4", 1, 0, "")], **fields)
        if offset == "0 0 0":
            assert read_annotation(path).classes == {1: 4}
        else:
            refused("was cropped", path)


@pytest.mark.parametrize(("name", "birads"), [
    ("BI-RADS 4", 4), ("BIRADS4", 4), ("B4", 4), ("B4a", 4), ("b5 right", 5), ("4 - suspicious", 4), ("4", 4),
    ("4a", 4), ("birads_5 left", 5), ("BI-RADS: 4B", 4), ("Lesion 2 BI-RADS category 6", 6), ("mass_birads3", 3),
    ("BI-RADS 1", 1),
    ("Segment_4", None), ("lesion 4", None), ("4 o'clock", None), ("2-3 o'clock", None), ("tumour", None),
    ("B45", None),
    ("BI-RADS 4, was BI-RADS 3", None), ("rib4", None),
])  # fmt: skip
def test_classes_in_names(name, birads):
    assert class_from_name(name) == birads


def png(path, array, mode=None):
    Image.fromarray(np.ascontiguousarray(array.swapaxes(0, 1)), mode).save(path)
    return path


def test_grey_pictures_are_label_maps(tmp_path):
    labels = plane(at_7_3=4)
    for path in (
        png(tmp_path / "a.png", labels),
        png(tmp_path / "b.png", labels.astype(np.uint16)),
        png(tmp_path / "c.png", np.repeat(labels[..., None], 3, -1)),
    ):
        lesions = read_annotation(path)
        np.testing.assert_array_equal(lesions.class_map(), labels)
        np.testing.assert_array_equal(lesions.affine, np.diag([-1, -1, 1, 1]))
    refused(r'value 255 is no BI-RADS class.*--classes "\{255: 4\}"', png(tmp_path / "d.png", plane(at_0_0=255)))
    assert read_annotation(tmp_path / "d.png", classes="{255: 4}").classes == {1: 4}
    numbered = sidecar(png(tmp_path / "e.png", plane(at_0_0=1)), {"instances": {"1": 6}})
    assert read_annotation(numbered).classes == {1: 6}


def test_colour_pictures_need_a_table(tmp_path):
    colours = np.zeros((*SHAPE, 4), np.uint8)
    colours[..., 3] = 255
    colours[0:2, 0:3, :3] = 255, 0, 0
    colours[5:8, 4:6, :3] = 0, 255, 0
    path = png(tmp_path / "a.png", colours)
    palette = tmp_path / "b.png"
    Image.open(path).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE).save(palette)
    for picture in (path, palette):
        refused("colour picture", picture)
        for table in ("{red: 5, green: 2}", "{ff0000: 5, 00ff00: 2}", {"255,0,0": 5, "0,255,0": 2}):
            lesions = read_annotation(picture, classes=table)
            assert lesions.classes == {1: 2, 2: 5}
            assert (lesions.class_map()[0:2, 0:3] == 5).all()
            assert (lesions.class_map()[5:8, 4:6] == 2).all()
    refused(r"colour 0,255,0 \(6 pixels\) is not in the table", path, classes="{red: 5}")
    refused("puce is not a colour", path, classes="{puce: 5}")
    refused("colours can only mean classes", path, "instance", classes="{red: 5}")
    colours[0:2, 0:3, 3] = 0
    assert read_annotation(png(tmp_path / "c.png", colours), classes="{green: 2}").classes == {1: 2}


def soft(*shares):
    """(X, Y, 5) with one 2x2 square at (0, 0) and one at (6, 4) of given shares."""
    values = np.zeros((*SHAPE, 5), np.float32)
    for (x, y), share in zip(((0, 0), (6, 4)), shares, strict=False):
        values[x : x + 2, y : y + 2] = share
    return values


def test_soft_masks(tmp_path):
    values = soft([0, 0, 0.25, 0.5, 0], [0.5, 0, 0, 0, 0.5])
    for array in (values, values[:, :, None]):
        lesions = read_annotation(nifti(tmp_path / "a.nii.gz", array))
        np.testing.assert_allclose(lesions.fractions, np.moveaxis(values, -1, 0))
        assert lesions.classes == {1: 5, 2: 6}, "among equals the higher class"
        np.testing.assert_allclose(lesions.affine, OBLIQUE, atol=1e-6)
    refused("sum to at most 1", nifti(tmp_path / "b.nii.gz", soft([0.6, 0, 0, 0, 0.6])))
    refused("from 0 to 1", nifti(tmp_path / "c.nii.gz", soft([-0.2, 0.3, 0, 0, 0])))
    certain = nifti(tmp_path / "d.nii.gz", soft([0, 0, 1, 0, 0]).astype(np.uint8))
    refused("--label_meaning soft or --project True", certain)
    assert read_annotation(certain, "soft").classes == {1: 4}
    assert read_annotation(certain, classes="{1: 3}", project=True).classes == {1: 3}
    refused("has 3 channels", nifti(tmp_path / "e.nii.gz", np.zeros((*SHAPE, 1, 3), np.uint8)))


def test_raters_become_shares(tmp_path):
    first = read_annotation(nifti(tmp_path / "a.nii", plane(at_0_0=4)))
    second = read_annotation(nifti(tmp_path / "b.nii", plane(at_1_0=5)))
    shares = soft_from_raters([first, second])
    assert shares.shape == (5, *SHAPE)
    np.testing.assert_array_equal(shares[2], (first.class_map() == 4) / 2)
    np.testing.assert_array_equal(shares[3], (second.class_map() == 5) / 2)
    moved = read_annotation(nifti(tmp_path / "c.nii", plane(at_0_0=4), np.eye(4)))
    with pytest.raises(InputError, match="not on the grid"):
        soft_from_raters([first, moved])
    with pytest.raises(InputError, match="no annotation"):
        soft_from_raters([])


def test_boxes_become_ellipses():
    lesions = boxes_annotation([(1, 2, 9, 8, 3), (2, 3, 6, 5, 5), (0, 0, 1, 1, 2)], SHAPE, OBLIQUE)
    assert lesions.classes == {1: 3, 2: 5, 3: 2}
    places = np.argwhere(lesions.instances)
    assert (lesions.class_map()[1:9, 2:8] > 0).sum() == pytest.approx(np.pi / 4 * 8 * 6, rel=0.1)
    assert lesions.instances[1, 2] == 0, "the corner of a box is not in its ellipse"
    assert lesions.class_map()[4, 4] == 5
    assert places.max(0).tolist() == [8, 7]
    for box in ((3, 3, 3, 5, 4), (0, 0, 13, 2, 4), (-1, 0, 2, 2, 4), (0, 0, 2, 2, 1)):
        with pytest.raises(InputError, match="box"):
            boxes_annotation([box], SHAPE, OBLIQUE)


def test_lesions_that_others_cover_are_left_out_and_told(caplog):
    lesions = boxes_annotation([(2, 2, 4, 4, 2), (0, 0, 8, 8, 6)], SHAPE, OBLIQUE)
    assert lesions.classes == {1: 6}
    assert "1 lesions are wholly covered" in caplog.text


def test_saved_annotations_read_back_as_they_were(tmp_path):
    instances = plane(at_4_4=2).astype(np.uint16)
    instances[:2, :2] = 300
    lesions = LesionAnnotation("x", instances, {300: 6, 2: 3}, OBLIQUE)
    save_annotation(tmp_path / "a_mask.nii.gz", lesions, "SYNTHETIC")
    assert json.loads((tmp_path / "a_mask.json").read_text()) == {"instances": {"2": 3, "300": 6}}
    again = read_annotation(tmp_path / "a_mask.nii.gz")
    np.testing.assert_array_equal(again.instances, instances)
    np.testing.assert_allclose(again.affine, OBLIQUE, atol=1e-5)
    assert again.classes == lesions.classes
    assert nibabel.load(tmp_path / "a_mask.nii.gz").shape == (*SHAPE, 1)
    shares = read_annotation(nifti(tmp_path / "s.nii.gz", soft([0, 0.5, 0, 0, 0.25])))
    save_annotation(tmp_path / "a_mask.nii.gz", shares)
    np.testing.assert_allclose(read_annotation(tmp_path / "a_mask.nii.gz").fractions, shares.fractions)


def test_a_kill_never_leaves_a_mask_without_its_classes(tmp_path, monkeypatch):
    lesions = LesionAnnotation("x", plane(at_0_0=1).astype(np.uint16), {1: 4}, OBLIQUE)
    save_annotation(tmp_path / "a.nii.gz", lesions)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.cohorts.lesion_annotations.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        save_annotation(tmp_path / "a.nii.gz", lesions)
    assert not (tmp_path / "a.nii.gz").exists()
    monkeypatch.undo()
    monkeypatch.setattr("common.cohorts.lesion_annotations.save_nifti", killed)
    with pytest.raises(KeyboardInterrupt):
        save_annotation(tmp_path / "b.nii.gz", lesions)
    assert [path.name for path in tmp_path.glob("b*")] == ["b.json"]


def test_files_that_are_no_masks(tmp_path):
    refused("no such file", tmp_path / "missing.nii.gz")
    (tmp_path / "a.jpg").write_bytes(b"x")
    refused("not a mask; give one of .nii.gz.*.png", tmp_path / "a.jpg")
    for name in ("a.nii.gz", "a.seg.nrrd", "a.mha", "a.png"):
        (tmp_path / name).write_bytes(b"x")
        refused("cannot be read as an image", tmp_path / name)


@pytest.mark.parametrize(("name", "classes"), [
    ("benign_277", [2]), ("benign_281", [2]), ("malignant_4111", [5, 5]), ("malignant_4122", [5]),
])  # fmt: skip
def test_real_colour_masks(real_data, name, classes):
    path = real_data / "breast_mri" / "breastdm" / "masks" / f"{name}.png"
    lesions = read_annotation(path, classes="{red: 5, green: 2}")
    picture = np.asarray(Image.open(path).convert("RGB")).swapaxes(0, 1)
    np.testing.assert_array_equal(lesions.class_map() > 0, picture.any(-1))
    assert list(lesions.classes.values()) == classes
    refused("colour picture", path)


def test_real_slicer_segmentations(real_data):
    folder = real_data / "slicer_dicom" / "slicerio_ctchest"
    refused("segment ribs cannot be told", folder / "Segmentation.seg.nrrd")
    path = folder / "SegmentationOverlapping.seg.nrrd"
    header = nrrd.read_header(str(path))
    names = [header[key] for key in header if key.endswith("_Name")]
    table = dict.fromkeys(names, 0) | {"overlapping sphere": 6, "right lung": 3}
    refused("--project True", path, classes=table)
    lesions = read_annotation(path, classes=table, project=True)
    data, _ = nrrd.read(str(path), index_order="F")
    keys = {header[f"Segment{k}_Name"]: k for k in range(len(names))}

    def seen(name):
        k = keys[name]
        return (data[int(header[f"Segment{k}_Layer"])] == int(header[f"Segment{k}_LabelValue"])).any(-1)

    np.testing.assert_array_equal(lesions.class_map() == 6, seen("overlapping sphere"))
    np.testing.assert_array_equal(lesions.class_map() == 3, seen("right lung") & ~seen("overlapping sphere"))
    ct, _ = nrrd.read(str(folder / "CTChest4.nrrd"), index_order="F")
    assert lesions.instances.shape == ct.shape[:2]
    np.testing.assert_allclose(lesions.affine[:2, 3], [-193.09599304, -216.39599609])


def test_real_raters_of_one_tumour(real_data):
    folder = real_data / "slicer_dicom" / "segnrrd"
    table = {"Tumor": 4, "brain": 0, "Background": 0}
    raters = [
        read_annotation(folder / f"MRBrainTumor1_{rater}_Segmentation.seg.nrrd", classes=table, project=True)
        for rater in ("laurenap", "shoaibgi")
    ]
    shares = soft_from_raters(raters)
    assert set(np.unique(shares[2])) == {0, 0.5, 1}, "they agree in part"
    assert not shares[[0, 1, 3, 4]].any()
