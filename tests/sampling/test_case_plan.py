"""Inputs as users name them, and what counts as done."""

import json

import nibabel
import numpy as np
import pytest

from common.errors import InputError
from common.sampling.case_plan import CasePlan, find_precontrast


def volume(folder, name="a.nii.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), folder / name)
    return folder / name


def test_file_folder_dicom_folder_and_datalist(tmp_path):
    path = volume(tmp_path / "in")
    assert find_precontrast(path) == [{"case": "a", "image": str(path)}]
    (tmp_path / "in" / "b.nrrd").write_bytes(b"")
    assert [item["case"] for item in find_precontrast(tmp_path / "in")] == ["a", "b"]
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1.dcm").write_bytes(b"")
    assert find_precontrast(tmp_path / "dicom") == [{"case": "dicom", "image": str(tmp_path / "dicom")}]
    phases = [str(volume(tmp_path / "in", f"p{k}.nii.gz")) for k in (1, 2)]
    content = {"test": [{"case": "x", "image": str(path), "phases": phases}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    for named in (tmp_path / "datalist.json", tmp_path):
        assert find_precontrast(named, ["test"]) == [{"case": "x", "image": str(path.resolve())}]


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    for part in ("one", "two"):
        volume(tmp_path / part)
    assert [item["case"] for item in find_precontrast(tmp_path)] == ["one_a", "two_a"]


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_precontrast(tmp_path / "absent")


def test_done_cases_are_kept_and_other_settings_refused(tmp_path):
    path, out = volume(tmp_path / "in"), tmp_path / "out"
    plan = CasePlan([str(path)], str(out), {"batch": 1})
    assert [item["case"] for item in plan.items] == ["a"]
    (out / "a").mkdir(parents=True)
    (out / "a" / "provenance.json").write_text(json.dumps({**plan.provenance["a"], "scale": 3}))
    again = CasePlan([str(path)], str(out), {"batch": 1})
    assert (again.items, again.done) == ([], ["a"])
    with pytest.raises(InputError, match="other batch"):
        CasePlan([str(path)], str(out), {"batch": 2})
    assert CasePlan([str(path)], str(out), {"batch": 2}, overwrite=True).items
    volume(tmp_path / "in")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)
    with pytest.raises(InputError, match="other input_sha256"):
        CasePlan([str(path)], str(out), {"batch": 1})


def test_masks_and_later_phases_in_a_folder_are_left_out(tmp_path):
    for name in ("c_0000.nii.gz", "c_0001.nii.gz", "c_mask.nii.gz", "d_pre.nii.gz"):
        volume(tmp_path, name)
    assert [item["case"] for item in find_precontrast(tmp_path)] == ["c_0000", "d_pre"]
    (tmp_path / "c_0000.nii.gz").unlink()
    assert [item["case"] for item in find_precontrast(tmp_path)] == ["c_0001", "d_pre"]


def test_datalist_of_another_kind_is_refused(tmp_path):
    path = volume(tmp_path)
    (tmp_path / "datalist.json").write_text(json.dumps({"test": [{"case": "x", "image": [str(path)]}]}))
    with pytest.raises(InputError, match="no pre-contrast"):
        find_precontrast(tmp_path / "datalist.json", ["test"])
