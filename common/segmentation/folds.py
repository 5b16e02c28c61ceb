"""Which images a fold trains on and which it validates on, with no patient on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nnunetv2.utilities.crossval_split import generate_crossval_split

from ..errors import InputError
from .recipes import FOLDS, Model

SPLIT_SEED = 12345


def image_name(crop: str, ingredient: str) -> str:
    """nnU-Net's name of an image: `<case>_<side>_<ingredient>`."""
    return f"{crop}_{ingredient}"


def crops_of(record: Mapping[str, Any]) -> list[str]:
    """Crops of a training case: `<case>_<side>`."""
    return [f"{record['case']}_{side}" for side in record["sides"]]


def make_folds(training: Sequence[Mapping[str, Any]], model: Model) -> list[dict[str, list[str]]]:
    """nnU-Net's `splits_final.json` of a model.

    Patients are divided as nnU-Net's own split does (`KFold(5, shuffle, 12345)` over sorted names), so that for one
    ingredient and one case a patient it is the stock split.

    Args:
        training: cases with `case`, `patient`, `sides`.
        model: which ingredients train, which one validates.

    Raises:
        InputError: fewer than five patients.
    """
    crops: dict[str, list[str]] = {}
    for record in training:
        crops.setdefault(record["patient"], []).extend(crops_of(record))
    if len(crops) < FOLDS:
        raise InputError(f"{len(crops)} patients to train on: {FOLDS} folds need at least {FOLDS}")
    folds = []
    for split in generate_crossval_split(sorted(crops), seed=SPLIT_SEED, n_splits=FOLDS):
        train = [image_name(c, kind) for kind in model.train for patient in split["train"] for c in crops[patient]]
        val = [image_name(c, model.validation) for patient in split["val"] for c in crops[patient]]
        folds.append({"train": sorted(train), "val": sorted(val)})
    check_folds(folds, training, model)
    return folds


def check_folds(
    folds: Sequence[Mapping[str, Sequence[str]]], training: Sequence[Mapping[str, Any]], model: Model
) -> None:
    """That no patient is trained and validated on in one fold, and that validation sees one real ingredient only.

    Raises:
        InputError: a leak, or an image that is not one of the model's.
    """
    owner = {
        image_name(crop, kind): (record["patient"], kind)
        for record in training
        for crop in crops_of(record)
        for kind in {*model.train, model.validation}
    }
    for number, fold in enumerate(folds):
        strangers = sorted({*fold["train"], *fold["val"]} - owner.keys())
        if strangers:
            raise InputError(f"model {model.name}, fold {number}: {strangers[0]} is not one of its images")
        shared = {owner[name][0] for name in fold["train"]} & {owner[name][0] for name in fold["val"]}
        if shared:
            raise InputError(f"model {model.name}, fold {number}: patient {min(shared)} is trained and validated on")
        wrong = sorted(name for name in fold["val"] if owner[name][1] != model.validation)
        wrong += sorted(name for name in fold["train"] if owner[name][1] not in model.train)
        if wrong:
            raise InputError(f"model {model.name}, fold {number}: {wrong[0]} is in the wrong part of the fold")


def check_test_patients(content: Mapping[str, Any]) -> None:
    """That no test patient has been trained on.

    Raises:
        InputError: one has.
    """
    trained = {record["patient"] for record in content["training"]}
    leaked = sorted(trained & {record["patient"] for record in content["test"]})
    if leaked:
        raise InputError(f"patient {leaked[0]} is in training and in test; convert again from a split by patient")
