"""A folder of a trained nnU-Net as the two files that the bundle reads: `model.pt` and `nnunet.json`."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file, write_json
from ..knobs import as_path, check_choice
from ..networks.nnunet import NnunetEnsemble
from ..transforms.breast_sides import CROPS
from ..weights import save_weights
from .checkpoints import read_checkpoint

WEIGHTS, PLANS_FILE = "model.pt", "nnunet.json"
LAYOUT = "give a folder with plans.json, dataset.json and fold_0, such as nnUNetTrainer__nnUNetPlans__3d_fullres"


def export_model(
    source: str | Path,
    output: str | Path,
    folds: Sequence[int] | None = None,
    checkpoint: str = "checkpoint_final.pth",
    crop: str = "breast",
    bias_correction: bool = True,
    half: bool = True,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write a trained model's folds for the bundle breast_dce_tumor_segmentation.

    Checkpoints of nnU-Net hold NumPy numbers beside tensors; these are allowed, and nothing else is: no code runs.

    Args:
        source: nnU-Net's model folder.
        output: folder for both files.
        folds: which; all that hold the checkpoint where nothing is said.
        checkpoint: file name within a fold.
        crop: how training images were cut: `breast` or `none`.
        bias_correction: whether N4 had been applied to them.
        half: store half precision.
        overwrite: replace files that are there.

    Returns:
        Paths of weights and plans.

    Raises:
        InputError: no trained model, a cascade, folds of different networks, or files that are there.
    """
    folder, target = as_path(source), make_output_dir(output)
    check_choice("crop", crop, CROPS)
    paths = target / WEIGHTS, target / PLANS_FILE
    if not overwrite and any(path.exists() for path in paths):
        raise InputError(f"{target}: holds a model already; choose another folder, or pass --overwrite True")
    plans, dataset = (_read_json(folder / name) for name in ("plans.json", "dataset.json"))
    files = _checkpoints(folder, folds, checkpoint)
    states = [read_checkpoint(path) for path in files]
    configuration = states[0]["init_args"]["configuration"]
    resolved = dict(PlansManager(copy.deepcopy(plans)).get_configuration(configuration).configuration)
    resolved.pop("inherits_from", None)
    _check_task(folder, resolved, dataset)
    content = {
        "plans": {**plans, "configurations": {configuration: resolved}},
        "dataset_json": {key: dataset[key] for key in ("channel_names", "labels", "file_ending")},
        "configuration": configuration,
        "mirror_axes": _as_list(states[0].get("inference_allowed_mirroring_axes")),
        "num_folds": len(files),
        "crop": crop,
        "bias_correction": bool(bias_correction),
        "source_sha256": [sha256_of_file(path) for path in files],
    }
    network = NnunetEnsemble(content)
    for fold, state, path in zip(network.folds, states, files, strict=True):
        found = state["network_weights"]
        weights = {key.removeprefix("module.").replace("_orig_mod.", ""): value for key, value in found.items()}
        try:
            fold.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the network of {folder / 'plans.json'}") from error
    save_weights(network, paths[0], half=half)
    write_json(paths[1], content)
    return paths


def _check_task(folder: Path, configuration: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
    """That the bundle can run a model: one image in, one kind of tumour out, one stage."""
    if configuration.get("previous_stage"):
        raise InputError(f"{folder}: is the second stage of a cascade, which the bundle does not run")
    if len(dataset["channel_names"]) != 1:
        raise InputError(f"{folder}: takes {len(dataset['channel_names'])} channels, the bundle gives one image")
    foreground = [value for name, value in dataset["labels"].items() if name != "background"]
    if foreground != [1]:
        raise InputError(
            f"{folder}: has labels {dataset['labels']}, the bundle knows background 0 and a tumour 1 alone"
        )


def _checkpoints(folder: Path, folds: Sequence[int] | None, checkpoint: str) -> list[Path]:
    if folds is None:
        # As nnU-Net does: a network of all cases is none of the folds.
        found = sorted(path for path in folder.glob(f"fold_*/{checkpoint}") if path.parent.name != "fold_all")
        if not found:
            raise InputError(f"{folder}: no fold holds {checkpoint}; {LAYOUT}")
        return found
    paths = [folder / f"fold_{fold}" / checkpoint for fold in folds]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None or not paths:
        raise InputError(f"{missing or folder}: no such checkpoint; train the fold, or leave it out of --folds")
    return paths


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {LAYOUT}")
    return json.loads(path.read_text(encoding="utf-8"))


def _as_list(axes: Any) -> list[int] | None:
    return None if axes is None else [int(axis) for axis in axes]
