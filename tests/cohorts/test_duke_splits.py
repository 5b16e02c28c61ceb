import numpy as np
import pytest

from common.cohorts.datalist import SECTIONS
from common.cohorts.duke_splits import (
    MASKED,
    PATIENTS,
    SINGLE_PHASE_TEST,
    SPLITS,
    paper_split,
    section_of_patients,
    segmentation_cases,
    segmentation_folds,
)
from common.errors import InputError


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("single_phase", (668, 224, 30)), ("joint", (772, 50, 100)), ("segmentation", (191, 0, 30))]
    + [(f"segmentation_fold{k}", (152 if k == 0 else 153, 39 if k == 0 else 38, 30)) for k in range(5)],
)
def test_paper_splits_have_their_sizes_and_share_no_patient(name, sizes):
    split = paper_split(name)
    assert tuple(len(split[section]) for section in SECTIONS) == sizes
    members = [patient for section in SECTIONS for patient in split[section]]
    assert len(set(members)) == len(members) and set(members) <= set(PATIENTS)


def test_the_papers_splits_overlap_as_the_paper_left_them():
    single, joint = paper_split("single_phase"), paper_split("joint")
    overlaps = [len(set(joint["test"]) & set(single[section])) for section in SECTIONS]
    assert overlaps == [70, 27, 3]
    assert set(joint["test"]) & set(single["test"]) == {"Breast_MRI_287", "Breast_MRI_378", "Breast_MRI_412"}
    assert len(set(SINGLE_PHASE_TEST) & set(joint["training"])) == 27
    assert len(MASKED) == 254
    assert len(set(MASKED) & set(joint["training"])) == 213


def test_folds_are_those_of_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    cases = np.array(segmentation_cases())
    expected = model_selection.KFold(5, shuffle=True, random_state=12345).split(cases)
    for (training, validation), (train, held_out) in zip(segmentation_folds(), expected, strict=True):
        assert training == tuple(cases[train]) and validation == tuple(cases[held_out])
    assert sorted(patient for _, validation in segmentation_folds() for patient in validation) == list(cases)


def test_the_leak_free_split_depends_on_patients_and_seed_alone():
    first = section_of_patients("leak_free", PATIENTS)
    assert [list(first.values()).count(section) for section in SECTIONS] == [738, 92, 92]
    assert first == section_of_patients("leak_free", reversed(PATIENTS))
    assert first != section_of_patients("leak_free", PATIENTS, seed=1)


def test_named_splits_leave_out_whom_they_do_not_list():
    found = ["Breast_MRI_009", "Breast_MRI_003", "Breast_MRI_071", "Breast_MRI_923"]
    assert section_of_patients("single_phase", found) == {
        "Breast_MRI_003": "training", "Breast_MRI_009": "test", "Breast_MRI_071": "validation",
    }  # fmt: skip
    assert section_of_patients("segmentation", found) == {"Breast_MRI_009": "test"}
    with pytest.raises(InputError, match=f"use one of {SPLITS[0]}, "):
        paper_split("no such")
