"""nnU-Net's fingerprint, plans and preprocessing, once for all ingredients; every model is a view of them."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprint_dataset,
    plan_experiment_dataset,
    preprocess_dataset,
)

from ..errors import InputError
from ..io.files import sha256_of_json, write_json
from .folds import check_test_patients, crops_of, image_name, make_folds
from .layout import CONFIGURATION, PLANS, STATE, SUFFIX, Workspace
from .recipes import INGREDIENT_DATASET, INGREDIENTS, MODELS, dataset_name

DATASET = "dataset.json"
FINGERPRINT = "dataset_fingerprint.json"
SPLITS = "splits_final.json"
LABELS = {"background": 0, "tumour": 1}
# A convolution over fewer voxels than this along an axis is not halved further.
LEAST_SIDE = 8


def plan(
    workspace: Workspace,
    content: Mapping[str, Any],
    features: Sequence[int] | None = None,
    patch: Sequence[int] | None = None,
    batch_size: int | None = None,
    workers: int = 1,
) -> None:
    """Plan and preprocess what has been prepared, unless that has been done with the same cases and settings.

    Args:
        workspace: with prepared cases.
        content: of `read_cases`.
        features: channels of the network's stages instead of the planned ones, for a small network; strides follow from
            the patch.
        patch: its sides (Z, Y, X) in voxels instead of the planned ones.
        batch_size: patches a step instead of the planned number.
        workers: processes.

    Raises:
        InputError: sizes that do not go together, or a leak between folds.
    """
    check_test_patients(content)
    workspace.activate()
    own = {"features": features, "patch": patch, "batch_size": batch_size}
    own = {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in own.items()}
    state = {"cases": cases_state(content), **own}
    folder = workspace.preprocessed / INGREDIENT_DATASET
    earlier = planned_state(workspace)
    if earlier != state:
        if earlier is not None and workspace.has_trained():
            changed = sorted(key for key in state if earlier.get(key) != state[key])
            raise InputError(
                f"{workspace.root}: holds models trained with other {', '.join(changed)}; use the same settings, or "
                "choose another --output"
            )
        (folder / STATE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        number = write_dataset(workspace, content)
        extract_fingerprint_dataset(number, num_processes=workers, show_progress_bar=False)
        plan_experiment_dataset(number)
        path = folder / f"{PLANS}.json"
        plans = json.loads(path.read_text(encoding="utf-8"))
        plans["configurations"] = {CONFIGURATION: narrowed(plans["configurations"][CONFIGURATION], **own)}
        write_json(path, plans)
        preprocess_dataset(number, PLANS, (CONFIGURATION,), [workers])
        write_json(folder / STATE, state)
    for name in available_models(content):
        _write_view(workspace, content, name)


def cases_state(content: Mapping[str, Any]) -> str:
    """Hash over what the training cases are: names, patients, sides and their files."""
    keys = ("case", "patient", "sides", "state")
    return sha256_of_json([{key: record[key] for key in keys} for record in content["training"]])


def planned_state(workspace: Workspace) -> dict[str, Any] | None:
    """What has been planned: hash of the cases and own sizes; None where nothing has."""
    path = workspace.preprocessed / INGREDIENT_DATASET / STATE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def available_models(content: Mapping[str, Any]) -> list[str]:
    """Models whose ingredients have been prepared."""
    kinds = set(INGREDIENTS) if content["facts"]["synthetic"] else set(INGREDIENTS) - {"syn"}
    return [name for name, model in MODELS.items() if {*model.train, model.validation} <= kinds]


def write_dataset(workspace: Workspace, content: Mapping[str, Any]) -> int:
    """nnU-Net's `dataset.json` over the prepared images, which stay where they are; returns the data set's number."""
    folder = workspace.raw / INGREDIENT_DATASET
    folder.mkdir(parents=True, exist_ok=True)
    kinds = INGREDIENTS if content["facts"]["synthetic"] else INGREDIENTS[:2]

    def place(path: Path) -> str:
        return os.path.relpath(path, folder)

    cases = {
        image_name(crop, kind): {"images": [place(workspace.image(kind, crop))], "label": place(workspace.label(crop))}
        for record in content["training"]
        for crop in crops_of(record)
        for kind in kinds
    }
    write_json(
        folder / DATASET,
        {
            "channel_names": {"0": "MRI"},
            "labels": LABELS,
            "numTraining": len(cases),
            "file_ending": SUFFIX,
            "overwrite_image_reader_writer": "SimpleITKIO",
            "dataset": cases,
        },
    )
    return int(INGREDIENT_DATASET[7:10])


def narrowed(
    configuration: Mapping[str, Any],
    features: Sequence[int] | None,
    patch: Sequence[int] | None,
    batch_size: int | None,
) -> dict[str, Any]:
    """A planned configuration with another patch, batch or narrower network of nnU-Net's plain U-Net.

    Raises:
        InputError: a side of the patch that the strides do not divide, or no stage.
    """
    result = copy.deepcopy(dict(configuration))
    if batch_size is not None:
        result["batch_size"] = int(batch_size)
    if patch is not None:
        # nnU-Net's rule for patches much smaller than the image: many hold no tumour, so Dice is of the batch.
        result |= {"patch_size": [int(n) for n in patch], "batch_dice": True}
    if features is None and patch is None:
        return result
    features = [int(n) for n in features or result["architecture"]["arch_kwargs"]["features_per_stage"]]
    sides, strides = list(result["patch_size"]), [[1, 1, 1]]
    if len(sides) != 3 or len(features) < 2:
        raise InputError(f"features={features}, patch={sides}: give at least two stages and three sides")
    for _ in features[1:]:
        strides.append([2 if side >= LEAST_SIDE else 1 for side in sides])
        odd = [side for side, stride in zip(sides, strides[-1], strict=True) if side % stride]
        if odd:
            raise InputError(f"patch={result['patch_size']}: sides must be multiples of 2 at each of the stages")
        sides = [side // stride for side, stride in zip(sides, strides[-1], strict=True)]
    stages = len(features)
    result["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": features,
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": strides,
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    return result


def _write_view(workspace: Workspace, content: Mapping[str, Any], name: str) -> None:
    """A model's data set: its own folds over the ingredients' preprocessed images."""
    source, dataset = workspace.preprocessed / INGREDIENT_DATASET, dataset_name(name)
    folder = workspace.preprocessed / dataset
    folder.mkdir(exist_ok=True)
    plans = json.loads((source / f"{PLANS}.json").read_text(encoding="utf-8"))
    dataset_json = json.loads((source / DATASET).read_text(encoding="utf-8"))
    folds = make_folds(content["training"], MODELS[name])
    write_json(folder / f"{PLANS}.json", {**plans, "dataset_name": dataset})
    used = {case for fold in folds for part in fold.values() for case in part}
    write_json(folder / DATASET, {**dataset_json, "numTraining": len(used), "dataset": {}})
    write_json(folder / SPLITS, folds)
    shutil.copyfile(source / FINGERPRINT, folder / FINGERPRINT)
    for shared in (plans["configurations"][CONFIGURATION]["data_identifier"], "gt_segmentations"):
        link = folder / shared
        if not link.is_symlink():
            link.symlink_to(Path("..") / INGREDIENT_DATASET / shared)
