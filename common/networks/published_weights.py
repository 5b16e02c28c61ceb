"""State dicts of other projects' files: unwrapped, renamed, and filled in strictly."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..weights import check_weights_file, fill_weights, read_state

COUNTER = "num_batches_tracked"  # of batch norms; files of old PyTorch have none, and it is of no use in evaluation


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is an archive of TorchScript, which carries its own code."""
    path = check_weights_file(path)
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_published(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict of a published file, with `weights_only=True`.

    An entry `state_dict` is unwrapped, the prefix `module.` of data-parallel training is taken off, and counters of
    batch norms are left out.

    Raises:
        InputError: missing, truncated or not a state dict.
    """
    state = read_state(path, "state_dict")
    return {key.removeprefix("module."): value for key, value in state.items() if not key.endswith(COUNTER)}


def fill_frozen(network: nn.Module, state: Mapping[str, torch.Tensor], path: str | Path) -> nn.Module:
    """Fill a network that is only evaluated: every key and shape has to fit; its gradients are switched off.

    Args:
        network: any module.
        state: as `read_published` gives it.
        path: where it came from, for messages.

    Raises:
        InputError: names the first keys that do not fit.
    """
    counters = {key: value for key, value in network.state_dict().items() if key.endswith(COUNTER)}
    return fill_weights(network, {**counters, **state}, path).eval().requires_grad_(False)
