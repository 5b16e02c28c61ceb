"""Predictions of trained folds by nnU-Net's own predictor, one crop after the other, going on where they stopped."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from tqdm import tqdm

from ..errors import InputError
from ..io.files import sha256_of_file, write_json
from .layout import STATE, SUFFIX, Workspace
from .recipes import FOLDS, dataset_name


def mixed_precision(device: str | torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Autocast to bf16 on a CPU, where it is asked for: many times faster on recent ones. CUDA is left to nnU-Net."""
    if torch.device(device).type == "cpu" and precision == "bf16":
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def trained_folds(workspace: Workspace, model: str) -> tuple[int, ...]:
    """Folds of a model that are trained to their end."""
    dataset = dataset_name(model)
    return tuple(fold for fold in range(FOLDS) if workspace.fold_weights(dataset, fold).is_file())


def load_predictor(model_folder: Path, folds: Sequence[int], mirroring: bool, device: str) -> nnUNetPredictor:
    """nnU-Net's predictor with the weights of some folds, whose logits it averages.

    Args:
        model_folder: with `plans.json`, `dataset.json` and `fold_*`; a folder that one trusts, since nnU-Net's
            checkpoints are unpickled.
        folds: which.
        mirroring: average over all flips too, as nnU-Net does by default; 8 times slower.
        device: `cuda` or `cpu`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(use_mirroring=bool(mirroring), device=torch.device(device), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(model_folder), tuple(folds))
    return predictor


def _claim(output: Path, facts: dict[str, Any], images: dict[str, str], replace: bool) -> None:
    """Record what masks of a folder are made of; masks of anything else are thrown away or refused."""
    path = output / STATE
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"images": {}}
    recorded = earlier.pop("images")
    known = {name: value for name, value in recorded.items() if name in images}
    same = earlier == facts and all(images[name] == value for name, value in known.items())
    masks = sorted(output.glob(f"*{SUFFIX}"))
    if masks and not same:
        if not replace:
            raise InputError(f"{output}: holds masks of other weights, settings or images; choose another folder")
        for mask in masks:
            mask.unlink()
    record = {**facts, "images": {**(recorded if same else {}), **images}}
    if record != {**earlier, "images": recorded}:
        write_json(path, record)


def predict_crops(
    workspace: Workspace,
    model: str,
    images: Sequence[Path],
    output: Path,
    folds: Sequence[int] | None = None,
    mirroring: bool = True,
    device: str = "cuda",
    precision: str = "fp32",
    replace: bool = False,
) -> Path:
    """Segment images by the ensemble of a model's folds; what is there already is kept.

    Args:
        workspace: where the model was trained.
        model: a name in `recipes.MODELS`.
        images: files `<crop>_0000.nii.gz`.
        output: folder; gets `<crop>.nii.gz`, uint8.
        folds: which are averaged; all trained ones where nothing is said.
        mirroring, device: see `load_predictor`.
        precision: `fp32` or `bf16` on CPUs; on CUDA nnU-Net chooses.
        replace: throw away masks that other weights, settings or images gave, instead of refusing.

    Raises:
        InputError: a fold is not trained, an image is not there, or the folder holds other masks.
    """
    trained = trained_folds(workspace, model)
    folds = trained if folds is None else tuple(folds)
    missing = sorted(set(folds) - set(trained))
    if missing or not folds:
        fold = missing[0] if missing else 0
        raise InputError(f"model {model}: fold {fold} is not trained; run nnunet.py train first")
    output.mkdir(parents=True, exist_ok=True)
    pairs = [(path, output / path.name.replace(f"_0000{SUFFIX}", SUFFIX)) for path in images]
    absent = next((path for path, _ in pairs if not path.is_file()), None)
    if absent is not None:
        raise InputError(f"{absent}: no such image; run nnunet.py convert first")
    weights = [workspace.fold_weights(dataset_name(model), fold) for fold in folds]
    facts = {"weights": list(map(sha256_of_file, weights)), "mirroring": bool(mirroring), "precision": precision}
    _claim(output, facts, {target.name: sha256_of_file(path) for path, target in pairs}, replace)
    waiting = [(path, target) for path, target in pairs if not target.is_file()]
    if not waiting:
        return output
    predictor = load_predictor(workspace.model_folder(dataset_name(model)), folds, mirroring, device)
    preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
    plans = (predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json)
    for path, target in tqdm(waiting, desc=f"{model} on {output.name}", unit="crop"):
        data, _, properties = preprocessor.run_case([str(path)], None, *plans)
        with mixed_precision(device, precision):
            logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).cpu()
        partial = target.with_name(f".{target.name.removesuffix(SUFFIX)}")
        export_prediction_from_logits(
            logits, properties, predictor.configuration_manager, predictor.plans_manager, plans[2], str(partial)
        )
        os.replace(f"{partial}{SUFFIX}", target)
    return output
