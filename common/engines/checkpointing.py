"""Checkpoints at epoch ends that make a killed training continue to the same result, and the final weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_atomically
from ..knobs import as_path
from ..outputs import CHECKPOINT
from ..weights import save_weights
from .best_weights import BestWeights

logger = logging.getLogger(__name__)


class ResumableCheckpoint:
    """Handler: loads the last epoch's checkpoint when training starts, writes one at epoch ends.

    Args:
        output_dir: folder of `checkpoint.pt`.
        objects: what is saved and restored, by name: anything with `state_dict` and `load_state_dict`.
        fingerprint: knobs that a run must share with the checkpoint that it continues.
        overwrite: start anew where the folder holds another run's checkpoint.
        interval: epochs between checkpoints; the last epoch is always saved.
        rank: only rank 0 writes.

    Raises:
        InputError: the folder holds a checkpoint of a run with other knobs.
    """

    def __init__(
        self,
        output_dir: str,
        objects: Mapping[str, Any],
        fingerprint: Mapping[str, Any],
        overwrite: bool = False,
        interval: int = 1,
        rank: int = 0,
    ) -> None:
        self.path = make_output_dir(output_dir) / CHECKPOINT
        self.objects = dict(objects)
        self.fingerprint = sha256_of_json(fingerprint)
        self.overwrite, self.interval, self.rank = overwrite, interval, rank

    def attach(self, engine: Engine) -> None:
        """Restore at `STARTED`, save at `EPOCH_COMPLETED`."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def restore(self, engine: Engine) -> None:
        """Load the checkpoint, if there is one of this run, and set the engine to its epoch."""
        if not self.path.is_file():
            return
        content = torch.load(self.path, map_location="cpu", weights_only=True)
        if content["fingerprint"] != self.fingerprint:
            if self.overwrite:
                logger.info(f"{self.path} belongs to a run with other settings; starting anew, as --overwrite says")
                return
            raise InputError(
                f"output_dir {self.path.parent}: holds a training with other settings; choose another folder, or pass "
                "--overwrite True to start anew"
            )
        try:
            for name, item in self.objects.items():
                item.load_state_dict(content["objects"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.path}: does not fit this training; choose another output_dir") from error
        engine.state.epoch = content["epoch"]
        engine.state.iteration = content["iteration"]
        logger.info(f"continuing after epoch {content['epoch']} from {self.path}")

    def save(self, engine: Engine) -> None:
        """Write the state after an epoch, under a temporary name first."""
        epoch = engine.state.epoch
        if self.rank != 0 or (epoch % self.interval and epoch != engine.state.max_epochs):
            return
        content = {
            "fingerprint": self.fingerprint,
            "epoch": epoch,
            "iteration": engine.state.iteration,
            "objects": {name: item.state_dict() for name, item in self.objects.items()},
        }
        write_atomically(self.path, lambda temporary: torch.save(content, temporary))


class ExportWeights:
    """Handler: when training is complete, write a network's weights in half precision.

    Args:
        network: what to write, for example the composite network.
        path: the file.
        parts: trained parts to copy into the network first: its submodule's name to the module that holds the weights
            (an EMA copy, or the module within a distributed wrapper), or to `BestWeights`.
        prefix: put before every key, where the network is a part of the composite one.
        rank: only rank 0 writes.
    """

    def __init__(
        self,
        network: nn.Module,
        path: str,
        parts: Mapping[str, nn.Module | BestWeights] | None = None,
        prefix: str = "",
        rank: int = 0,
    ) -> None:
        self.network, self.path, self.parts, self.prefix, self.rank = (
            network,
            as_path(path),
            dict(parts or {}),
            prefix,
            rank,
        )

    def attach(self, engine: Engine) -> None:
        """Run at `COMPLETED`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.rank != 0:
            return
        for name, module in self.parts.items():
            if isinstance(module, BestWeights):
                logger.info(module.describe())
            state = module.weights() if isinstance(module, BestWeights) else module.state_dict()
            self.network.get_submodule(name).load_state_dict(state)
        save_weights(self.network, self.path, self.prefix)
        logger.info(f"weights: {self.path}")
