"""New lesion masks from old: every operation alone, the outline, seeds, what exists already, and the script."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from common.cohorts.datalist import load_datalist, save_datalist
from common.cohorts.edit_lesions import edit_lesions
from common.cohorts.lesion_annotations import LesionAnnotation, boxes_annotation, read_annotation, save_annotation
from common.cohorts.lesion_edits import OPERATIONS, EditLimits, LesionEditor, Patch
from common.errors import InputError
from common.sampling.lesion_plan import find_annotations
from tests.conftest import error_line, run_script

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
SHAPE = (96, 80)
BOXES = [(20, 30, 32, 40, 4), (60, 20, 66, 26, 2), (62, 44, 76, 60, 6)]


def outline():
    """Two discs."""
    x, y = np.indices(SHAPE)
    return np.minimum((x - 27) ** 2, (x - 68) ** 2) + (y - 40) ** 2 < 24**2


@pytest.fixture
def mask(tmp_path):
    save_annotation(tmp_path / "a_mask.nii.gz", boxes_annotation(BOXES, SHAPE, AFFINE))
    nibabel.save(nibabel.Nifti1Image(outline()[..., None].astype(np.uint8), AFFINE), tmp_path / "a_breast.nii.gz")
    return tmp_path / "a_mask.nii.gz"


def edited(mask, output, *operations, **options):
    """The given lesions and the new ones with what was done."""
    options = {"outline": str(mask.parent / "a_breast.nii.gz"), "num": 6} | options
    path = edit_lesions(str(mask), str(output), operations=operations, **options)
    new = [read_annotation(item["label"]) for item in load_datalist(path)]
    done = [
        json.loads((output / f"{item['case']}_mask.json").read_text())["edit"]["done"] for item in load_datalist(path)
    ]
    return read_annotation(mask), new, done


@pytest.mark.parametrize("operation", OPERATIONS)
def test_new_masks_differ_keep_inside_and_apart(mask, tmp_path, operation):
    given, new, done = edited(mask, tmp_path / "out", operation)
    assert len(new) == 6
    for lesions, words in zip(new, done, strict=True):
        assert not (lesions.instances[~outline()]).any()
        assert not np.array_equal(lesions.class_map(), given.class_map())
        assert [word.split()[0] for word in words] == [operation]
        changed = int(words[0].split()[1])
        for number in set(lesions.classes) - {changed}:
            np.testing.assert_array_equal(lesions.instances == number, given.instances == number)
            assert lesions.classes[number] == given.classes[number]
        if operation in ("move", "scale", "deform", "add"):
            around = ndimage.binary_dilation(lesions.instances == changed, np.ones((3, 3)))
            assert set(np.unique(lesions.instances[around])) == {0, changed}
        np.testing.assert_allclose(lesions.affine, AFFINE)
    assert len({lesions.class_map().tobytes() for lesions in new}) > 1


def one(operation, limits=None, **options):
    """One operation on a single lesion in a free field, often; pairs of old and new mask and class."""
    given = boxes_annotation([(40, 30, 56, 42, 4)], SHAPE, AFFINE)
    editor = LesionEditor(np.ones(SHAPE, bool), (2.0, 2.0), limits or EditLimits(), **options)
    old = given.instances > 0
    for seed in range(30):
        instances, classes, _ = editor.edit(given.instances, given.classes, [operation], np.random.default_rng(seed))
        yield old, instances, classes


def centre(mask):
    return np.argwhere(mask).mean(0) * 2.0


def test_move_keeps_the_shape_and_its_limit():
    far = []
    for old, instances, classes in one("move", EditLimits(max_shift_mm=20.0)):
        assert instances.astype(bool).sum() == old.sum()
        assert classes == {1: 4}
        far.append(np.linalg.norm(centre(instances > 0) - centre(old)))
    assert 10 < max(far) <= 20


def test_scale_changes_the_area_by_its_factor_about_the_centre():
    for old, instances, _ in one("scale", EditLimits(scale_range=(1.5, 1.5))):
        assert (instances > 0).sum() == pytest.approx(2.25 * old.sum(), rel=0.08)
        np.testing.assert_allclose(centre(instances > 0), centre(old), atol=1)
    areas = [
        (instances > 0).sum() / old.sum() for old, instances, _ in one("scale", EditLimits(scale_range=(0.5, 0.9)))
    ]
    assert 0.2 < min(areas) < max(areas) < 0.9


def test_deform_changes_the_outline_by_about_its_amount():
    shares = {}
    for amount in (1.0, 4.0):
        pairs = list(one("deform", EditLimits(deformation_mm=amount)))
        shares[amount] = np.mean([((instances > 0) ^ old).sum() / old.sum() for old, instances, _ in pairs])
        assert all(ndimage.label(instances)[1] == 1 for _, instances, _ in pairs)
    assert 0.01 < shares[1.0] < 0.2 < shares[4.0] < 1


def test_reclass_remove_and_add():
    assert {classes[1] for _, _, classes in one("reclass")} == {2, 3, 5, 6}
    assert all(classes == {} and not instances.any() for _, instances, classes in one("remove"))
    added = list(one("add"))
    assert {classes[2] for _, _, classes in added} == {2, 3, 4, 5, 6}
    areas = [(instances == 2).sum() * 4 for _, instances, _ in added]
    assert np.pi * 2.5**2 < min(areas) < max(areas) < np.pi * 12.5**2
    ring = np.ones((6, 4), bool)
    ring[2:4, 1:3] = False
    for _, instances, classes in one("add", donors=[Patch(ring, 5, (2.0, 2.0))]):
        places = np.argwhere(instances == 2)
        low, high = places.min(0), places.max(0) + 1
        np.testing.assert_array_equal(instances[low[0] : high[0], low[1] : high[1]] == 2, ring)
        assert classes[2] == 5
    for _, instances, _ in one("add", donors=[Patch(np.ones((8, 8), bool), 5, (4.0, 4.0))]):
        assert (instances == 2).sum() == pytest.approx(4 * 64, rel=0.15), "a donor's millimetres count, not its pixels"


def test_several_operations_and_an_empty_mask(mask, tmp_path):
    _, _, done = edited(mask, tmp_path / "out", *OPERATIONS, num=20)
    assert {word.split()[0] for words in done for word in words} == set(OPERATIONS)
    assert max(map(len, done)) > 2
    empty = LesionAnnotation("", np.zeros(SHAPE, np.uint16), {}, AFFINE)
    save_annotation(tmp_path / "b_mask.nii.gz", empty)
    _, new, _ = edited(tmp_path / "b_mask.nii.gz", tmp_path / "b", "move", "add", num=3)
    assert [len(lesions.classes) for lesions in new] == [1, 1, 1]
    with pytest.raises(InputError, match="no edit found a place"):
        edited(tmp_path / "b_mask.nii.gz", tmp_path / "c", "move")


def test_the_same_seed_gives_the_same_bytes(mask, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        edited(mask, tmp_path / name, "move", "deform", "add", seed=seed)
    files = sorted(path.name for path in (tmp_path / "a").iterdir() if path.name != "datalist.json")
    assert len(files) == 6 * 2 + 1
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert (tmp_path / "a" / "a_edit0_mask.nii.gz").read_bytes() != (
        tmp_path / "c" / "a_edit0_mask.nii.gz"
    ).read_bytes()


def test_what_exists_is_kept_or_refused(mask, tmp_path):
    edited(mask, tmp_path / "out", "move", num=2)
    first = tmp_path / "out" / "a_edit0_mask.nii.gz"
    before = first.stat().st_mtime_ns
    edited(mask, tmp_path / "out", "move", num=3)
    assert first.stat().st_mtime_ns == before
    assert (tmp_path / "out" / "a_edit2_mask.nii.gz").is_file()
    with pytest.raises(InputError, match="a_edit0_mask.nii.gz: exists with other seed;.*--overwrite"):
        edited(mask, tmp_path / "out", "move", seed=3)
    with pytest.raises(InputError, match="exists with other operations"):
        edited(mask, tmp_path / "out", "scale")
    bytes_before = first.read_bytes()
    edited(mask, tmp_path / "out", "move", seed=3, overwrite=True)
    assert first.read_bytes() != bytes_before


def test_outlines_from_a_datalist_and_from_a_folder(mask, tmp_path):
    breast = tmp_path / "a_breast.nii.gz"
    item = {"case": "p", "patient": "p", "label": str(mask), "breast": str(breast)}
    save_datalist(tmp_path / "datalist.json", {"training": [item]})
    path = edit_lesions(str(tmp_path / "datalist.json"), str(tmp_path / "out"), num=2)
    items = find_annotations(path)
    assert [item["case"] for item in items] == ["p_edit0", "p_edit1"]
    assert all(item["breast"] == str(breast) for item in items)
    assert load_datalist(path)[0]["patient"] == "p"
    with pytest.raises(InputError, match="holds 0 outlines of a"):
        edit_lesions(str(mask), str(tmp_path / "x"), outline=str(tmp_path / "out"))
    (tmp_path / "outlines").mkdir()
    breast.rename(tmp_path / "outlines" / "a_breast.nii.gz")
    edit_lesions(str(mask), str(tmp_path / "x"), outline=str(tmp_path / "outlines"), num=1)
    edit_lesions(str(mask), str(tmp_path / "y"), outline="none", num=1)


def test_pictures_can_be_edited(tmp_path):
    labels = np.zeros((60, 60), np.uint8)
    labels[20:28, 30:36] = 4
    Image.fromarray(labels).save(tmp_path / "a.png")
    colours = np.zeros((60, 60, 3), np.uint8)
    colours[10:50, 15:55] = 200, 0, 0
    Image.fromarray(colours).save(tmp_path / "o.png")
    _, new, _ = edited(tmp_path / "a.png", tmp_path / "out", "move", outline=str(tmp_path / "o.png"), num=3)
    for lesions in new:
        assert lesions.instances.any(axis=1).nonzero()[0].min() >= 15, "columns come first"
        assert lesions.instances.any(axis=0).nonzero()[0].max() < 50


def test_lesions_that_stand_out_of_the_outline(mask, tmp_path, caplog):
    save_annotation(tmp_path / "s_mask.nii.gz", boxes_annotation([(40, 20, 56, 40, 4)], SHAPE, AFFINE))
    _, new, _ = edited(tmp_path / "s_mask.nii.gz", tmp_path / "s", "reclass", num=1)
    assert "outside the outline are cut off" in caplog.text
    assert not new[0].instances[~outline()].any()
    save_annotation(tmp_path / "t_mask.nii.gz", boxes_annotation([(0, 0, 5, 5, 4)], SHAPE, AFFINE))
    with pytest.raises(InputError, match="lesion 1 lies outside the outline"):
        edited(tmp_path / "t_mask.nii.gz", tmp_path / "t", "move")


def test_masks_without_a_place_are_counted(tmp_path, caplog):
    full = boxes_annotation([(1, 1, 39, 39, 4)], (40, 40), AFFINE)
    save_annotation(tmp_path / "f_mask.nii.gz", full)
    limits = EditLimits(scale_range=(2, 3))
    with pytest.raises(InputError, match="no edit found a place"):
        edited(tmp_path / "f_mask.nii.gz", tmp_path / "f", "scale", outline="none", limits=limits)
    save_annotation(tmp_path / "g_mask.nii.gz", boxes_annotation([(15, 15, 21, 21, 4)], (40, 40), AFFINE))
    given = str(tmp_path / "in")
    (tmp_path / "in").mkdir()
    for name in ("f_mask.nii.gz", "f_mask.json", "g_mask.nii.gz", "g_mask.json"):
        (tmp_path / name).rename(tmp_path / "in" / name)
    edit_lesions(given, str(tmp_path / "o"), ["scale"], num=2, outline="none", limits=limits)
    assert "2 of 4 new masks found no place" in caplog.text


@pytest.mark.parametrize(("options", "match"), [
    ({"outline": None}, "no breast outline is known; give --outline FILE.*--outline none"),
    ({"operations": ["move", "turn"]}, "turn is not one; use some of move"),
    ({"operations": ""}, "nothing is not one"),
    ({"num": 0}, "at least one mask"),
    ({"limits": EditLimits(scale_range=(2, 1))}, "scale_range"),
    ({"limits": EditLimits(max_shift_mm=-1)}, "millimetres of 0 or more"),
    ({"outline": "missing.nii.gz"}, "no such file"),
    ({"donor": "empty_mask.nii.gz"}, "holds no lesion to copy"),
    ({"outline": "moved.nii.gz"}, "not the grid of"),
    ({"outline": "empty_mask.nii.gz"}, "is empty; mark the breast"),
    ({"outline": "volume.nii.gz"}, "is three-dimensional"),
])  # fmt: skip
def test_mistakes_are_one_clear_line(mask, tmp_path, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    blank = np.zeros((*SHAPE, 1), np.uint8)
    nibabel.save(nibabel.Nifti1Image(blank, AFFINE), "empty_mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(blank + 1, AFFINE + np.eye(4)), "moved.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((*SHAPE, 4), np.uint8), AFFINE), "volume.nii.gz")
    with pytest.raises(InputError, match=match) as raised:
        edit_lesions(str(mask), "out", **{"outline": "a_breast.nii.gz"} | options)
    assert "\n" not in str(raised.value)


def test_soft_masks_are_refused(tmp_path):
    shares = np.zeros((*SHAPE, 1, 5), np.float32)
    shares[4:8, 4:8, 0, 2] = 0.5
    nibabel.save(nibabel.Nifti1Image(shares, AFFINE), tmp_path / "s.nii.gz")
    with pytest.raises(InputError, match="soft masks cannot be edited"):
        edit_lesions(str(tmp_path / "s.nii.gz"), str(tmp_path / "out"), outline="none")


def test_the_script(mask, tmp_path):
    common = ("--input", mask, "--output", tmp_path / "out", "--operations", "[move, reclass]", "--num", 2)
    assert "give --outline FILE" in error_line(run_script("edit_lesions.py", *common, check=False))
    told = run_script("edit_lesions.py", *common, "--outline", tmp_path / "a_breast.nii.gz", "--seed", 4)
    assert "datalist.json" in told.stdout
    assert len(find_annotations(tmp_path / "out")) == 2
    picture = np.asarray(Image.open(tmp_path / "out" / "preview.png"))
    assert {(255, 220, 90), (70, 70, 70)} <= {tuple(map(int, color)) for color in picture.reshape(-1, 3)}
