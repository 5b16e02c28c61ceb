"""nnU-Net's own training with the numbers of epochs and iterations as settings, and checkpoints that appear whole."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from tqdm import tqdm

from ..errors import InputError
from ..io.files import write_json
from ..knobs import check_choice
from .layout import CONFIGURATION, PLANS, RECIPE, Workspace
from .planning import cases_state, planned_state
from .prepare import read_cases
from .recipes import FOLDS, dataset_name, find_model

logger = logging.getLogger(__name__)
OPTIMIZERS = ("sgd", "adam")
LATEST, FINAL = "checkpoint_latest.pth", "checkpoint_final.pth"


@dataclass(frozen=True)
class Schedule:
    """How long and by what a fold is trained; nnU-Net's own values, with the paper's number of epochs.

    Attributes:
        epochs: 500 in the paper, 1000 in nnU-Net.
        iterations, validation_iterations: of each epoch.
        optimizer: `sgd` (Nesterov, momentum 0.99) or `adam` (AdamW with AMSGrad, for trainings of few iterations).
        learning_rate: at the start; it decays to 0 as (1 - epoch / epochs) ** 0.9.
    """

    epochs: int = 500
    iterations: int = 250
    validation_iterations: int = 50
    optimizer: str = "sgd"
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("epochs", "iterations", "validation_iterations"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name}={value}: give a whole number of at least 1")
        if isinstance(self.learning_rate, (bool, str)) or not 0 < self.learning_rate < 1:
            raise InputError(f"learning_rate={self.learning_rate}: give a number above 0 and below 1")


class SizedTrainer(nnUNetTrainer):
    """nnU-Net's trainer, whose schedule is a setting; on CPUs its convolutions run in bf16, as in half on CUDA.

    It keeps the name `nnUNetTrainer` in folders and checkpoints: only the schedule differs, and so nnU-Net's own
    commands find the network. The schedule stands in `recipe.json` beside the checkpoints.
    """

    bar: tqdm | None = None
    optimizer_kind = "sgd"

    def set_schedule(self, schedule: Schedule) -> None:
        """Take over length and optimiser; about ten checkpoints a training."""
        self.num_epochs, self.num_iterations_per_epoch = schedule.epochs, schedule.iterations
        self.num_val_iterations_per_epoch = schedule.validation_iterations
        self.optimizer_kind, self.initial_lr = schedule.optimizer, schedule.learning_rate
        self.save_every = max(1, min(self.save_every, self.num_epochs // 10))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """nnU-Net's SGD; or Adam, which needs fewer iterations to begin to learn, under the same decay."""
        if self.optimizer_kind == "sgd":
            return super().configure_optimizers()
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay, amsgrad=True
        )
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def print_to_log_file(self, *args: Any, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """Into the log file alone; the progress bar is for people."""
        super().print_to_log_file(*args, also_print_to_console=False, add_timestamp=add_timestamp)

    def save_checkpoint(self, filename: str) -> None:
        """Under a temporary name first, so that a killed training finds whole checkpoints."""
        super().save_checkpoint(filename + ".partial")
        os.replace(filename + ".partial", filename)

    def train_step(self, batch: dict) -> dict:
        """One step; nnU-Net itself turns mixed precision on for CUDA alone."""
        with self._autocast():
            return super().train_step(batch)

    def validation_step(self, batch: dict) -> dict:
        """One validation step, in the same precision."""
        with self._autocast():
            return super().validation_step(batch)

    def _autocast(self) -> contextlib.AbstractContextManager:
        on_cpu = self.device.type == "cpu"
        return torch.autocast("cpu", torch.bfloat16) if on_cpu else contextlib.nullcontext()

    def _build_loss(self) -> Callable[[Any, Any], torch.Tensor]:
        loss = super()._build_loss()

        def in_full_precision(outputs: Any, targets: Any) -> torch.Tensor:
            if isinstance(outputs, (list, tuple)):
                return loss([output.float() for output in outputs], targets)
            return loss(outputs.float(), targets)

        return in_full_precision

    def plot_network_architecture(self) -> None:
        """Nothing: the plans say it, and the drawing needs a library that nnU-Net does not install."""

    def on_epoch_end(self) -> None:
        """Move the progress bar on."""
        super().on_epoch_end()
        if self.bar is not None:
            self.bar.set_postfix(train_loss=f"{float(self.logger.get_value('train_losses', step=-1)):.3f}")
            self.bar.update()


SizedTrainer.__name__ = nnUNetTrainer.__name__


def train_fold(
    workspace: Workspace,
    model: str,
    fold: int,
    schedule: Schedule,
    device: str = "cuda",
    validate: bool = False,
) -> Path:
    """Train one fold of a model to its end, going on where an earlier attempt was stopped.

    Args:
        workspace: planned.
        model: a name in `recipes.MODELS`.
        fold: 0 to 4.
        schedule: length and optimiser.
        device: `cuda` or `cpu`.
        validate: whether nnU-Net predicts the fold's validation part afterwards (`validation/summary.json`).

    Returns:
        The final checkpoint.

    Raises:
        InputError: not planned, or the fold has been trained by another recipe.
    """
    find_model(model)
    if fold not in range(FOLDS):
        raise InputError(f"fold={fold}: choose from 0 to {FOLDS - 1}")
    workspace.activate()
    dataset = dataset_name(model)
    source = workspace.preprocessed / dataset
    if not (source / f"{PLANS}.json").is_file():
        raise InputError(f"{source}: not planned; run scripts/nnunet.py plan first (synthetic phases need --synthetic)")
    plans = json.loads((source / f"{PLANS}.json").read_text(encoding="utf-8"))
    cases = cases_state(read_cases(workspace))
    if (planned_state(workspace) or {}).get("cases") != cases:
        raise InputError(
            f"{workspace.root}: cases have changed since they were planned; run scripts/nnunet.py plan again"
        )
    folder = workspace.model_folder(dataset) / f"fold_{fold}"
    recipe = {
        "model": model,
        "fold": fold,
        **asdict(schedule),
        "configuration": plans["configurations"][CONFIGURATION],
        "cases": cases,
    }
    _check_recipe(folder, recipe)
    final = folder / FINAL
    if not final.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECIPE, recipe)
        _run(plans, source, fold, folder, schedule, device, f"{model} fold {fold}")
    if validate and not (folder / "validation" / "summary.json").is_file():
        trainer = _trainer(plans, source, fold, device, True)
        trainer.load_checkpoint(str(final))
        trainer.perform_actual_validation()
    return final


def _check_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    path = folder / RECIPE
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in recipe if found.get(key) != recipe[key])
        if changed:
            raise InputError(
                f"{folder}: was trained with other {', '.join(changed)}; use the same settings, another --output, or "
                "remove the folder"
            )


def _run(plans: dict, source: Path, fold: int, folder: Path, schedule: Schedule, device: str, title: str) -> None:
    trainer = _trainer(plans, source, fold, device, (folder / LATEST).is_file())
    trainer.set_schedule(schedule)
    trainer.initialize()
    if (folder / LATEST).is_file():
        trainer.load_checkpoint(str(folder / LATEST))
        logger.info(f"{title}: goes on after epoch {trainer.current_epoch}")
    with tqdm(total=trainer.num_epochs, initial=trainer.current_epoch, desc=title, unit="epoch") as trainer.bar:
        trainer.run_training()


def _trainer(plans: dict, source: Path, fold: int, device: str, continued: bool) -> SizedTrainer:
    # Worker processes would copy a small data set more often than they read it.
    os.environ.setdefault("nnUNet_n_proc_DA", "0" if torch.device(device).type == "cpu" else "8")
    dataset_json = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    with contextlib.redirect_stdout(None):
        return SizedTrainer(
            {**plans, "continue_training": continued}, CONFIGURATION, fold, dataset_json, torch.device(device)
        )
