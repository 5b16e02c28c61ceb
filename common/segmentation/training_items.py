"""Labelled images of one phase for the bundle's own training, and the plans of what it trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import nn

from ..cohorts.datalist import load_datalist
from ..errors import InputError
from ..io.files import write_json
from ..knobs import as_path
from ..weights import fill_weights, read_state
from .plans_file import read_plans


def labelled_phase(path: str | Path, phase: int, sections: str | Sequence[str]) -> list[dict[str, Any]]:
    """Items `case`, `image`, `label` of a datalist's labelled cases.

    Args:
        path: the `datalist.json`.
        phase: 0 before contrast, from 1 after it.
        sections: of the datalist.

    Raises:
        InputError: as `load_datalist`, or a case without the phase.
    """
    items = []
    for item in load_datalist(path, sections, having="label"):
        images = [item["image"], *item.get("phases", [])]
        if len(images) <= phase:
            raise InputError(f"{path}: case {item['case']} has no phase {phase}; choose another --phase")
        items.append({"case": item["case"], "image": images[phase], "label": item["label"]})
    return items


def single_fold(plans: Any, patch_size: Sequence[int] | None = None) -> dict[str, Any]:
    """Plans for one network instead of an ensemble, and with another patch where one is given.

    Raises:
        InputError: as `read_plans`, or a patch that the network cannot halve.
    """
    content = copy.deepcopy(read_plans(plans))
    content["num_folds"] = 1
    content.pop("source_sha256", None)
    if patch_size is not None:
        name = content["configuration"]
        configurations = content["plans"]["configurations"]
        check_patch(patch_size, configurations[name]["architecture"]["arch_kwargs"]["strides"])
        configurations[name] = {**configurations[name], "patch_size": list(patch_size)}
    return content


def check_patch(patch_size: Any, strides: Sequence[Sequence[int]]) -> None:
    """Check a patch, (Z, Y, X), against the strides of a network's stages.

    Raises:
        InputError: not as many whole numbers above 0 as the strides divide.
    """
    multiples = np.prod(strides, axis=0).tolist()
    good = isinstance(patch_size, (list, tuple)) and len(patch_size) == len(multiples)
    if not good or any(
        not isinstance(side, int) or side < 1 or side % multiple
        for side, multiple in zip(patch_size, multiples, strict=True)
    ):
        raise InputError(
            f"patch_size={patch_size}: give multiples of {multiples}, such as {[8 * m for m in multiples]}"
        )


def patch_of(content: dict[str, Any]) -> list[int]:
    """The patch of a model's plans, (Z, Y, X)."""
    return list(content["plans"]["configurations"][content["configuration"]]["patch_size"])


def initialize_fold(network: nn.Module, path: str | None, fold: int = 0) -> nn.Module:
    """Put one fold of a weights file into a network of one fold; random where no path is given.

    Raises:
        InputError: the file has no such fold, or another network.
    """
    if path is None:
        return network
    state = read_state(path)
    prefix = f"folds.{fold}."
    chosen = {f"folds.0.{key[len(prefix) :]}": value for key, value in state.items() if key.startswith(prefix)}
    if not chosen:
        raise InputError(f"init_from {path}: has no fold {fold}; choose another --fold")
    return fill_weights(network, chosen, path)


class ExportPlans:
    """Handler: when training is complete, write the `nnunet.json` that belongs to the weights.

    Args:
        content: of the plans.
        path: the file.
        rank: only rank 0 writes.
    """

    def __init__(self, content: dict[str, Any], path: str, rank: int = 0) -> None:
        self.content, self.path, self.rank = content, as_path(path), rank

    def attach(self, engine: Engine) -> None:
        """Run at `COMPLETED`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.rank == 0:
            write_json(self.path, self.content)
