import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.cohorts.augment_masks import augment_masks
from common.cohorts.datalist import load_datalist
from common.cohorts.pairs import find_pairs, write_nnunet_raw
from common.errors import InputError

CONTRASTS = ("T1", "T1C", "T2", "FLAIR")


def test_new_masks_lie_in_the_brain_differ_and_are_seeded(raw_cohort, tmp_path):
    home = next(raw_cohort.iterdir())
    mask, image = next(home.glob("*_seg.nii.gz")), next(home.glob("*_t1.nii.gz"))
    arguments = {"num": 4, "reference": str(image), "seed": 3}
    path = augment_masks(str(mask), str(tmp_path / "a"), **arguments)
    items = load_datalist(path)
    assert [item["reference"] for item in items] == [str(image)] * 4
    brain = np.asarray(nibabel.load(image).dataobj) > 0
    seen = set()
    for item in items:
        new = nibabel.load(item["label"])
        values = np.asarray(new.dataobj)
        assert np.allclose(new.affine, nibabel.load(mask).affine)
        assert set(np.unique(values)) <= {0, 1, 2, 3}
        assert values.any()
        assert not (values.astype(bool) & ~brain).any()
        seen.add(values.tobytes())
    assert len(seen) == 4
    again = load_datalist(augment_masks(str(mask), str(tmp_path / "b"), **arguments))
    for first, second in zip(items, again, strict=True):
        assert Path(first["label"]).read_bytes() == Path(second["label"]).read_bytes()


def test_without_a_reference_the_atlas_ellipsoid_is_the_brain(raw_cohort, tmp_path):
    mask = next(raw_cohort.rglob("*_seg.nii.gz"))
    items = load_datalist(augment_masks(str(mask), str(tmp_path / "a"), num=2))
    assert all(np.asarray(nibabel.load(item["label"]).dataobj).any() for item in items)


def _sample(folder, name, values, regions):
    home = folder / f"{name}_sample0"
    home.mkdir(parents=True)
    mask = np.zeros((6, 6, 6), np.uint8)
    mask.reshape(-1)[: len(values)] = values
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), home / f"{name}_sample0_mask.nii.gz")
    for contrast in CONTRASTS:
        nibabel.save(
            nibabel.Nifti1Image(np.ones((6, 6, 6), np.float32), np.eye(4)), home / f"{name}_sample0_{contrast}.nii.gz"
        )
    (home / "provenance.json").write_text(json.dumps({"case": name, "sample": 0, "regions": regions}))


def test_pairs_become_an_nnunet_data_set(tmp_path):
    _sample(tmp_path / "s", "x", (1, 2, 4), {"1": "necrosis", "2": "oedema", "4": "enhancing"})
    target = write_nnunet_raw(find_pairs(tmp_path / "s", CONTRASTS), tmp_path / "raw", 501, "Synthetic", CONTRASTS)
    assert target.name == "Dataset501_Synthetic"
    facts = json.loads((target / "dataset.json").read_text())
    assert facts["numTraining"] == 1
    assert facts["labels"] == {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3}
    assert sorted(p.name for p in (target / "imagesTr").iterdir()) == [f"x_sample0_{i:04d}.nii.gz" for i in range(4)]
    mask = np.asarray(nibabel.load(target / "labelsTr" / "x_sample0.nii.gz").dataobj)
    assert mask.reshape(-1)[:3].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="exists already"):
        write_nnunet_raw(find_pairs(tmp_path / "s", CONTRASTS), tmp_path / "raw", 501, "Synthetic", CONTRASTS)


def test_one_case_of_unknown_regions_makes_all_masks_whole(tmp_path):
    _sample(tmp_path / "s", "x", (1, 2, 4), {"1": "necrosis", "2": "oedema", "4": "enhancing"})
    _sample(tmp_path / "s", "y", (1,), {"1": "whole"})
    target = write_nnunet_raw(find_pairs(tmp_path / "s", CONTRASTS), tmp_path / "raw", 502, "Synthetic", CONTRASTS)
    assert json.loads((target / "dataset.json").read_text())["labels"] == {"background": 0, "tumour": 1}
    for path in (target / "labelsTr").iterdir():
        assert set(np.unique(nibabel.load(path).dataobj)) == {0, 1}
