"""Folds: the stock split, copies in training only, leaks refused."""

import pytest
from sklearn.model_selection import KFold

from common.errors import InputError
from common.segmentation.folds import check_folds, check_test_patients, make_folds
from common.segmentation.recipes import MODELS, SCENARIOS, dataset_name, find_model

CASES = [{"case": f"c{n:02d}", "patient": f"p{n:02d}", "sides": {"R": [0, 4]}} for n in range(12)]


def test_one_ingredient_gives_the_stock_split():
    names = [f"{record['case']}_R_post" for record in CASES]
    folds = make_folds(CASES, MODELS["post"])
    for fold, (train, val) in zip(folds, KFold(5, shuffle=True, random_state=12345).split(names), strict=True):
        assert fold["train"] == sorted(names[i] for i in train)
        assert fold["val"] == sorted(names[i] for i in val)


def test_copies_follow_their_patient_into_training_alone():
    for fold in make_folds(CASES, MODELS["post_pre_syn"]):
        kinds = [name.rsplit("_", 1)[1] for name in fold["train"]]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(
            ("post", "pre", "syn"), len(kinds) // 3
        )
        assert all(name.endswith("_post") for name in fold["val"])


def test_both_cases_of_a_patient_stay_together():
    twins = [*CASES, {"case": "again", "patient": "p03", "sides": {"L": [4, 8], "R": [0, 4]}}]
    for fold in make_folds(twins, MODELS["pre"]):
        own = [part for part in ("train", "val") for name in fold[part] if name.startswith(("c03", "again"))]
        assert len(own) == 3 and len(set(own)) == 1


def test_leaks_and_strangers_are_errors():
    model = MODELS["post_syn"]
    folds = make_folds(CASES, model)
    moved = folds[0]["val"][0]
    with pytest.raises(InputError, match="trained and validated on"):
        check_folds([{"train": [*folds[0]["train"], moved], "val": folds[0]["val"]}], CASES, model)
    synthetic = moved.replace("_post", "_syn")
    with pytest.raises(InputError, match="trained and validated on"):
        check_folds([{"train": [*folds[0]["train"], synthetic], "val": folds[0]["val"]}], CASES, model)
    with pytest.raises(InputError, match="wrong part"):
        check_folds([{"train": folds[0]["train"], "val": [*folds[0]["val"], synthetic]}], CASES, model)
    with pytest.raises(InputError, match="not one of its images"):
        check_folds([{"train": ["c99_R_post"], "val": []}], CASES, model)
    with pytest.raises(InputError, match="patient p00 is in training and in test"):
        check_test_patients({"training": CASES, "test": [{"patient": "p00"}]})
    with pytest.raises(InputError, match="4 patients"):
        make_folds(CASES[:4], model)


def test_seven_models_serve_four_scenarios():
    assert len(MODELS) == 7 and len({dataset_name(name) for name in MODELS}) == 7
    assert {name for scenario in SCENARIOS.values() for name in scenario.models} == set(MODELS)
    assert all(model.validation != "syn" for model in MODELS.values())
    assert dataset_name("post") == "Dataset504_Breast_post"
    with pytest.raises(InputError, match="choose from pre"):
        find_model("both")
