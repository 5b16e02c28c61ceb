"""Train and test nnU-Net v2 on real, synthetic and mixed breast MRI, step by step or all four scenarios at once.

    python scripts/nnunet.py scenarios --input cohort/datalist.json --output DIR
    python scripts/nnunet.py convert --input cohort/datalist.json --output DIR [--synthetic SYNTHETIC]
    python scripts/nnunet.py plan --output DIR
    python scripts/nnunet.py train --output DIR --model post --fold 0
    python scripts/nnunet.py predict --output DIR --model post --input IMAGES --masks MASKS
    python scripts/nnunet.py evaluate --output DIR
    python scripts/nnunet.py export --source MODEL_FOLDER --output FOLDER

Every step keeps what it finds finished and goes on where it was stopped. The datalist is that of `prepare_data.py duke`
or `mama_mia`; synthetic phases are made by the bundle breast_dce_contrast_gan. Below DIR lie nnU-Net's own folders
(`nnUNet_raw`, `nnUNet_preprocessed`, `nnUNet_results`), for nnU-Net's own commands too.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _root
import fire

from common.errors import InputError, install_error_hook
from common.io.files import make_output_dir
from common.knobs import as_path, check_choice
from common.preflight import check_device
from common.transforms.breast_sides import CROPS

DCE_BUNDLE = _root.ROOT / "bundles" / "breast_dce_contrast_gan"
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")


def convert(
    input: str,
    output: str,
    synthetic: str | None = None,
    phase: int = 1,
    crop: str = "breast",
    bias_correction: bool = True,
    workers: int = 1,
) -> None:
    """Single breasts, corrected for the bias field, with spacing and origin, as nnU-Net reads them.

    Args:
        input: datalist with pre-contrast volumes, phases and tumour masks.
        output: folder of the whole comparison.
        synthetic: output folder of the bundle breast_dce_contrast_gan for the training cases; without it models that
            need synthetic phases are left out.
        phase: which phase after contrast is used, from 1.
        crop: breast, or none for volumes that show one breast already.
        bias_correction: apply N4.
        workers: processes.
    """
    from common.segmentation.prepare import prepare_cases

    _check(crop=crop, bias_correction=bias_correction, workers=workers)
    folder = None if synthetic is None else as_path(synthetic)
    workspace = _workspace(output)
    content = prepare_cases(workspace, as_path(input), folder, phase, crop, bias_correction, workers)
    print(f"{len(content['training'])} training and {len(content['test'])} test cases: {workspace.prepared}")


def plan(
    output: str,
    features: Sequence[int] | None = None,
    patch: Sequence[int] | None = None,
    batch_size: int | None = None,
    workers: int = 1,
) -> None:
    """nnU-Net's plans and preprocessing, and the folds of each model.

    Args:
        output: folder of the comparison.
        features: channels of the network's stages, such as "[8,16,32,64]", for a small one; nnU-Net's own otherwise.
        patch: its sides along Z, Y, X, such as "[16,48,48]"; nnU-Net's own otherwise.
        batch_size: patches a step; nnU-Net's own otherwise.
        workers: processes.
    """
    from common.segmentation import planning
    from common.segmentation.prepare import read_cases

    _check(features=features, patch=patch, batch_size=batch_size, workers=workers)
    workspace = _workspace(output)
    content = read_cases(workspace)
    planning.plan(workspace, content, features, patch, batch_size, workers)
    print(f"planned: {', '.join(planning.available_models(content))}")


def train(
    output: str,
    model: str,
    fold: int | None = None,
    epochs: int = 500,
    iterations: int = 250,
    validation_iterations: int = 50,
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    device: str = "auto",
    validate: bool = False,
) -> None:
    """Train one fold of a model, or all five.

    Args:
        output: folder of the comparison.
        model: pre, pre_syn, syn, post, post_syn, post_pre or post_pre_syn.
        fold: 0 to 4; all where nothing is said.
        epochs: 500 in the paper.
        iterations: of each epoch; 250 in nnU-Net.
        validation_iterations: after each epoch; 50 in nnU-Net.
        optimizer: sgd, nnU-Net's, or adam for trainings of few iterations.
        learning_rate: at the start.
        device: auto, cpu or cuda.
        validate: predict the fold's validation part afterwards.
    """
    from common.segmentation.recipes import FOLDS
    from common.segmentation.training import Schedule, train_fold

    _check(validate=validate)
    schedule = Schedule(epochs, iterations, validation_iterations, optimizer, learning_rate)
    for number in range(FOLDS) if fold is None else (fold,):
        print(f"trained: {train_fold(_workspace(output), model, number, schedule, _device(device), validate)}")


def predict(
    output: str,
    model: str,
    input: str,
    masks: str,
    folds: Sequence[int] | None = None,
    mirroring: bool = True,
    device: str = "auto",
    precision: str = "fp32",
) -> None:
    """Segment a folder of prepared images by a model's folds; whole volumes are segmented by the bundle, see `export`.

    Args:
        output: folder of the comparison.
        model: as for `train`.
        input: folder of `<case>_0000.nii.gz`, such as those below `prepared`.
        masks: folder for `<case>.nii.gz`.
        folds: such as "[0,1]"; all trained ones where nothing is said.
        mirroring: average over flips.
        device: auto, cpu or cuda.
        precision: fp32, or bf16, which is faster on recent CPUs; on CUDA nnU-Net chooses.
    """
    from common.segmentation.prediction import predict_crops
    from common.segmentation.recipes import find_model

    _check(folds=folds, mirroring=mirroring, precision=precision)
    folder = as_path(input)
    images = sorted(folder.glob("*_0000.nii.gz"))
    if not images:
        raise InputError(f"input {folder}: holds no file named like case_0000.nii.gz, as nnU-Net reads them")
    target, chosen = make_output_dir(as_path(masks)), _device(device)
    predict_crops(_workspace(output), find_model(model).name, images, target, folds, mirroring, chosen, precision)
    print(f"{len(images)} masks: {target}")


def evaluate(output: str, mirroring: bool = True, device: str = "auto", precision: str = "fp32", seed: int = 0) -> None:
    """Predict the test cases, score them, and write the table of the four scenarios as far as models are trained.

    Args:
        output: folder of the comparison.
        mirroring: average over flips.
        device: auto, cpu or cuda.
        precision: as for `predict`.
        seed: of the bootstrap.
    """
    from common.segmentation.comparison import compare
    from common.segmentation.prepare import read_cases

    _check(mirroring=mirroring, precision=precision)
    workspace = _workspace(output)
    report = compare(workspace, read_cases(workspace), mirroring, _device(device), precision, seed)
    print(report.to_markdown())
    print(f"report: {workspace.root / 'report.md'}")


def scenarios(
    input: str,
    output: str,
    synthetic: str | None = None,
    phase: int = 1,
    crop: str = "breast",
    bias_correction: bool = True,
    features: Sequence[int] | None = None,
    patch: Sequence[int] | None = None,
    batch_size: int | None = None,
    folds: Sequence[int] = (0, 1, 2, 3, 4),
    epochs: int = 500,
    iterations: int = 250,
    validation_iterations: int = 50,
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    mirroring: bool = True,
    device: str = "auto",
    precision: str = "fp32",
    seed: int = 0,
    workers: int = 1,
) -> None:
    """All of it: synthetic phases, conversion, plans, seven models by five folds, predictions, one table.

    Folds are trained one after the other over all models, so that a run that is stopped can be evaluated with the folds
    that it has.

    Args:
        input: datalist with pre-contrast volumes, phases and tumour masks.
        output: folder.
        synthetic: folder of synthetic phases of the training cases; made by the bundle where nothing is said.
        phase: which phase after contrast is used, from 1.
        crop: breast or none, see `convert`.
        bias_correction: see `convert`.
        features: see `plan`.
        patch: see `plan`.
        batch_size: see `plan`.
        folds: which folds to train, such as "[0]".
        epochs: see `train`.
        iterations: see `train`.
        validation_iterations: see `train`.
        optimizer: see `train`.
        learning_rate: see `train`.
        mirroring: average predictions over flips.
        device: auto, cpu or cuda.
        precision: of predictions, see `predict`.
        seed: of the bootstrap.
        workers: processes.
    """
    from common.segmentation import planning
    from common.segmentation.comparison import compare
    from common.segmentation.prepare import prepare_cases
    from common.segmentation.training import Schedule, train_fold

    _check(folds=folds, features=features, patch=patch, batch_size=batch_size, workers=workers)
    _check(crop=crop, bias_correction=bias_correction, mirroring=mirroring, precision=precision)
    schedule = Schedule(epochs, iterations, validation_iterations, optimizer, learning_rate)
    workspace, chosen = _workspace(output), _device(device)
    datalist = as_path(input)
    made = _synthesize(datalist, workspace.root / "synthetic", chosen) if synthetic is None else as_path(synthetic)
    content = prepare_cases(workspace, datalist, made, phase, crop, bias_correction, workers)
    planning.plan(workspace, content, features, patch, batch_size, workers)
    for fold in folds:
        for model in planning.available_models(content):
            train_fold(workspace, model, fold, schedule, chosen)
    report = compare(workspace, content, mirroring, chosen, precision, seed)
    print(report.to_markdown())
    print(f"report: {workspace.root / 'report.md'}")


def export(
    source: str,
    output: str,
    folds: Sequence[int] | None = None,
    checkpoint: str = "checkpoint_final.pth",
    crop: str = "breast",
    bias_correction: bool = True,
    half: bool = True,
    overwrite: bool = False,
) -> None:
    """A trained model folder of nnU-Net as `model.pt` and `nnunet.json` of the bundle breast_dce_tumor_segmentation.

    Args:
        source: folder with plans.json, dataset.json and fold_0 to fold_4.
        output: folder for both files; the bundle's `models`, or any other for --weights and --plans.
        folds: such as "[0,1]"; all trained ones where nothing is said.
        checkpoint: file name within a fold.
        crop: how the training images were cut: breast (by `convert`) or none.
        bias_correction: whether they were corrected.
        half: store half precision.
        overwrite: replace a model that is there.
    """
    from common.segmentation.export import export_model

    _check(folds=folds, crop=crop, bias_correction=bias_correction, half=half, overwrite=overwrite)
    paths = export_model(source, output, folds, checkpoint, crop, bias_correction, half, overwrite)
    print("\n".join(f"written: {path} ({path.stat().st_size / 1e6:.2f} MB)" for path in paths))


def _synthesize(datalist: Path, folder: Path, device: str) -> Path:
    """Synthetic phases of the training cases, by the bundle in a process of its own."""
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(DCE_BUNDLE / "configs/inference.json")]
    command += ["--input", str(datalist), "--sections", "['training','validation']", "--output_dir", str(folder)]
    done = subprocess.run([*command, "--device", device], check=False, stdout=sys.stderr)
    if done.returncode:
        raise InputError(f"{DCE_BUNDLE.name} made no synthetic phases of {datalist}; its message stands above")
    return folder


def _check(**options: Any) -> None:
    """Refuse what the command line made of an option before anything is done with it."""
    for name, value in options.items():
        if name in ("mirroring", "bias_correction", "half", "overwrite", "validate") and not isinstance(value, bool):
            raise InputError(f"{name}={value}: give True or False")
        if name in ("workers", "batch_size") and value is not None and not _whole(value, 1):
            raise InputError(f"{name}={value}: give a whole number of at least 1")
        if (
            name in ("features", "patch")
            and value is not None
            and not (_is_list(value) and all(_whole(n, 1) for n in value))
        ):
            raise InputError(f'{name}={value}: give whole numbers, such as "[16,48,48]"')
        if name == "folds" and value is not None and not (_is_list(value) and all(_whole(n, 0, 4) for n in value)):
            raise InputError(f'folds={value}: give a list of numbers from 0 to 4, such as "[0,1]"')
        if name == "precision":
            check_choice(name, value, PRECISIONS)
        if name == "crop":
            check_choice(name, value, CROPS)


def _whole(value: Any, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0


def _workspace(output: str):
    from common.segmentation.layout import Workspace

    return Workspace(make_output_dir(as_path(output)))


def _device(device: str) -> str:
    import torch

    check_choice("device", device, DEVICES)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    check_device(chosen)
    return chosen


if __name__ == "__main__":
    install_error_hook()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    commands = (convert, plan, train, predict, evaluate, scenarios, export)
    fire.Fire({command.__name__: command for command in commands})
