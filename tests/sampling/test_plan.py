import json

import nibabel
import numpy as np
import pytest

from common.cohorts.datalist import save_datalist
from common.errors import InputError
from common.sampling.plan import SamplePlan, find_masks


def write(path, value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.full((4, 4, 4), value, np.uint8), np.eye(4)), path)
    return path


def test_input_is_a_file_a_folder_or_a_datalist(tmp_path):
    for case in ("a", "b"):
        write(tmp_path / "c" / case / f"{case}_seg.nii.gz")
        write(tmp_path / "c" / case / f"{case}_t1.nii.gz")
    mask = tmp_path / "c" / "a" / "a_seg.nii.gz"
    assert find_masks(mask) == [{"case": "a", "image": str(mask)}]
    assert [item["case"] for item in find_masks(tmp_path / "c")] == ["a", "b"]
    save_datalist(
        tmp_path / "datalist.json", {"test": [{"case": "z", "label": str(mask), "labels": "brats", "patient": "z"}]}
    )
    assert find_masks(tmp_path / "datalist.json") == [{"case": "z", "image": str(mask), "labels": "brats"}]


def test_equal_case_names_are_told_apart(tmp_path):
    for folder in ("p1", "p2"):
        write(tmp_path / folder / "seg.nii.gz")
    assert [item["case"] for item in find_masks(tmp_path)] == ["p1_seg", "p2_seg"]


@pytest.mark.parametrize("name", ["missing_seg.nii.gz", "empty"])
def test_nothing_to_sample_from_is_one_clear_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="input"):
        find_masks(tmp_path / name)


def test_finished_samples_are_skipped_and_others_refused(tmp_path):
    mask = write(tmp_path / "x_seg.nii.gz")
    arguments = {"cases": find_masks(mask), "output_dir": tmp_path / "out", "num_samples": 3, "seed": 1}
    plan = SamplePlan(facts={"steps": 20}, **arguments)
    assert [item["sample"] for item in plan.items] == [0, 1, 2]
    folder = tmp_path / "out" / "x_sample1"
    folder.mkdir(parents=True)
    record = {**plan.provenance["x_sample1"], "regions": {"1": "whole"}}
    (folder / "provenance.json").write_text(json.dumps(record))
    again = SamplePlan(facts={"steps": 20}, **arguments)
    assert again.done == ["x_sample1"]
    assert [item["sample"] for item in again.items] == [0, 2]
    with pytest.raises(InputError, match="exists with other steps"):
        SamplePlan(facts={"steps": 21}, **arguments)
    assert len(SamplePlan(facts={"steps": 21}, overwrite=True, **arguments).items) == 3


def test_one_sample_alone_has_the_seed_that_it_has_among_ten(tmp_path):
    mask = write(tmp_path / "x_seg.nii.gz")
    ten = SamplePlan(find_masks(mask), tmp_path / "out", {}, num_samples=10, seed=3)
    one = SamplePlan(find_masks(mask), tmp_path / "out", {}, num_samples=1, first_sample=7, seed=3)
    assert one.items[0] == ten.items[7]
