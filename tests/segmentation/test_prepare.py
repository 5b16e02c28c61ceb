"""Crops: physical places kept, cut by the image alone, mistakes named."""

import json

import nibabel
import numpy as np
import pytest

from common.cohorts.datalist import save_datalist
from common.errors import InputError
from common.io.volumes import load_volume, save_nifti
from common.phantoms.breast_dce import make_breast_dce
from common.segmentation.layout import Workspace
from common.segmentation.planning import narrowed
from common.segmentation.prepare import paste_sides, prepare_cases, read_cases

AFFINE = np.diag([5.3, 5.3, 9.0, 1.0])  # RAS; turned to LPS by the preparation
AFFINE[:3, 3] = (-170, -100, -50)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two phantoms, one for training, one for test."""
    folder = tmp_path_factory.mktemp("prepare")
    items = []
    for seed in (3, 4):
        phantom = make_breast_dce(seed, (64, 64, 12), (5.3, 5.3, 9.0))
        files = {"pre": phantom.image[0], "post": phantom.image[1], "mask": phantom.label}
        for name, array in files.items():
            save_nifti(folder / f"{seed}_{name}.nii.gz", array, AFFINE)
        places = {name: str(folder / f"{seed}_{name}.nii.gz") for name in files}
        items.append(
            {
                "case": f"c{seed}",
                "patient": f"p{seed}",
                "image": places["pre"],
                "phases": [places["post"]],
                "label": places["mask"],
            }
        )
    save_datalist(folder / "datalist.json", {"training": items[:1], "test": items[1:]})
    return folder


def prepared(cohort, target, **options):
    return prepare_cases(Workspace(target), cohort / "datalist.json", **options)


def test_crops_keep_their_place(cohort, tmp_path):
    content = prepared(cohort, tmp_path, bias_correction=False)
    workspace = Workspace(tmp_path)
    assert read_cases(workspace) == json.loads(json.dumps(content))
    source = nibabel.load(cohort / "4_post.nii.gz")
    columns = 0
    for side in content["test"][0]["sides"]["post"]:
        crop = nibabel.load(workspace.image("post", f"c4_{side}", True))
        assert nibabel.aff2axcodes(crop.affine) == ("L", "P", "S")
        columns += crop.shape[0]
        for voxel in ((0, 0, 0), (3, 7, 5), tuple(n - 1 for n in crop.shape)):
            world = nibabel.affines.apply_affine(crop.affine, voxel)
            there = np.rint(nibabel.affines.apply_affine(np.linalg.inv(source.affine), world)).astype(int)
            assert crop.dataobj[voxel] == source.dataobj[tuple(there)]
    assert columns == source.shape[0]


def test_training_crops_hold_all_of_the_tumour(cohort, tmp_path):
    content = prepared(cohort, tmp_path)
    workspace, record = Workspace(tmp_path), content["training"][0]
    kept = sum(int(load_volume(workspace.label(f"c3_{side}")).sum()) for side in record["sides"])
    assert kept == int((np.asarray(nibabel.load(cohort / "3_mask.nii.gz").dataobj) > 0).sum())
    for side in record["sides"]:
        shapes = {load_volume(workspace.image(kind, f"c3_{side}")).shape for kind in ("pre", "post")}
        assert shapes == {load_volume(workspace.label(f"c3_{side}")).shape}


def test_test_crops_do_not_know_the_mask(cohort, tmp_path):
    """A mask elsewhere changes nothing in what is predicted on."""
    first = prepared(cohort, tmp_path / "a")
    content = json.loads((cohort / "datalist.json").read_text())
    mask = nibabel.load(cohort / "4_mask.nii.gz")
    moved = np.flip(np.asarray(mask.dataobj), 0)
    save_nifti(cohort / "4_moved.nii.gz", np.ascontiguousarray(moved), mask.affine)
    content["test"][0]["label"] = "4_moved.nii.gz"
    (cohort / "moved.json").write_text(json.dumps(content))
    second = prepare_cases(Workspace(tmp_path / "b"), cohort / "moved.json")
    assert first["test"][0]["sides"] == second["test"][0]["sides"]
    for path in sorted((tmp_path / "a" / "prepared" / "test_post").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / "prepared" / "test_post" / path.name).read_bytes()


def test_pasting_undoes_cropping(cohort, tmp_path):
    content = prepared(cohort, tmp_path, bias_correction=False)
    workspace, record = Workspace(tmp_path), content["test"][0]
    folder = tmp_path / "masks"
    folder.mkdir()
    for side in record["sides"]["post"]:
        crop = nibabel.load(workspace.image("post", f"c4_{side}", True))
        bright = (np.asarray(crop.dataobj) > 300).astype(np.uint8)
        save_nifti(folder / f"c4_{side}.nii.gz", bright, crop.affine)
    whole = paste_sides(workspace, folder, record, "post").numpy()
    source = np.asarray(nibabel.load(cohort / "4_post.nii.gz").dataobj)
    assert np.array_equal(whole[::-1, ::-1], source > 300)


def test_only_changed_cases_are_prepared_again(cohort, tmp_path):
    prepared(cohort, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "prepared").rglob("*.nii.gz")}
    prepared(cohort, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "prepared").rglob("*.nii.gz")} == before
    prepared(cohort, tmp_path, bias_correction=False)
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "prepared").rglob("*.nii.gz")}
    assert all(after[path] != before[path] for path in before)


def test_mistakes_are_named(cohort, tmp_path):
    content = json.loads((cohort / "datalist.json").read_text())

    def attempt(change, match, **options):
        edited = json.loads(json.dumps(content))
        change(edited)
        path = cohort / "edited.json"
        path.write_text(json.dumps(edited))
        with pytest.raises(InputError, match=match):
            prepare_cases(Workspace(tmp_path), path, **options)

    attempt(lambda c: c["test"][0].update(patient="p3"), "patient p3 is in training and in test")
    attempt(lambda c: c["test"][0].update(case="c3"), "case c3 is listed twice")
    attempt(lambda c: c["training"][0].pop("label"), "c3: needs a pre-contrast image, 1 phases")
    attempt(lambda c: None, "needs a pre-contrast image, 2 phases", phase=2)
    attempt(lambda c: None, "make synthetic phases", synthetic=tmp_path)
    attempt(lambda c: None, "crop=half", crop="half")
    other = nibabel.load(cohort / "3_mask.nii.gz")
    save_nifti(cohort / "other.nii.gz", np.asarray(other.dataobj)[:-1], other.affine)
    attempt(lambda c: c["training"][0].update(label="other.nii.gz"), "is not on the grid")
    save_nifti(cohort / "empty.nii.gz", np.zeros(other.shape, np.uint8), other.affine)
    attempt(lambda c: c["training"][0].update(label="empty.nii.gz"), "is empty")
    with pytest.raises(InputError, match="run scripts/nnunet.py convert first"):
        read_cases(Workspace(tmp_path / "nothing"))


def test_narrow_plans():
    planned = {
        "batch_size": 9,
        "patch_size": [80, 224, 128],
        "architecture": {"arch_kwargs": {"features_per_stage": [32, 64], "n_stages": 2, "conv_bias": True}},
    }
    assert narrowed(planned, None, None, None) == planned
    small = narrowed(planned, [8, 16, 32, 64], [16, 48, 48], 2)
    assert small["batch_dice"] is True and small["batch_size"] == 2 and small["patch_size"] == [16, 48, 48]
    network = small["architecture"]["arch_kwargs"]
    assert network["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    assert network["n_stages"] == 4 and network["conv_bias"] is True
    assert planned["batch_size"] == 9
    with pytest.raises(InputError, match="multiples of 2"):
        narrowed(planned, [8, 16, 32], [16, 50, 48], None)
    with pytest.raises(InputError, match="two stages"):
        narrowed(planned, [8], [16, 48, 48], None)
