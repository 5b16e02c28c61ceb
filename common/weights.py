"""Loading and writing weights: always whole, always fitting, never silently random."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from .errors import InputError
from .io.files import write_atomically
from .knobs import as_path


def check_weights_file(path: str | Path) -> Path:
    """The path, if a file is there.

    Raises:
        InputError: no such file.
    """
    path = as_path(path)
    if not path.is_file():
        raise InputError(f"weights {path}: no such file; download the bundle again or name a file with --weights")
    return path


def read_state(path: str | Path, entry: str = "model") -> dict[str, torch.Tensor]:
    """The state dict in a file, with `weights_only=True`.

    Args:
        path: the file.
        entry: of a checkpoint that holds more; taken where it is there.

    Raises:
        InputError: missing, truncated or not a state dict.
    """
    path = check_weights_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"weights {path}: cannot be loaded, the file is truncated or holds more than weights"
        ) from error
    state = state.get(entry, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"weights {path}: holds no state dict")
    return state


def load_weights(network: nn.Module, path: str | Path, prefix: str = "") -> nn.Module:
    """Load a file into a network; every key and shape has to fit. Half precision becomes the network's own.

    Args:
        network: any module.
        path: file written by `save_weights`.
        prefix: take only the file's keys under it, for a part of a composite network.

    Returns:
        The network.

    Raises:
        InputError: as `read_state`, or names the first keys that do not fit.
    """
    state = read_state(path)
    if prefix:
        state = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    return fill_weights(network, state, path)


def fill_weights(network: nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> nn.Module:
    """Put a state dict into a network; every key and shape has to fit. Half precision becomes the network's own.

    Args:
        network: any module.
        state: its state dict.
        path: where it came from, for messages.

    Returns:
        The network.

    Raises:
        InputError: names the first keys that do not fit.
    """
    own = network.state_dict()
    wrong = [f"{k} missing" for k in own if k not in state] + [f"{k} not in the network" for k in state if k not in own]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, the network has {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    if wrong:
        raise InputError(
            f"weights {path}: do not fit the network ({len(wrong)} entries, first: {'; '.join(wrong[:2])}); "
            "use the config that they were trained with"
        )
    network.load_state_dict(state)
    return network


def initialize(network: nn.Module, path: str | Path | None, prefix: str = "") -> nn.Module:
    """`load_weights` where a path is given, the network as it is (random) otherwise; for the start of a training."""
    return network if path is None else load_weights(network, path, prefix)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 over the values of a network's state, in half precision and in the order of the keys."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_weights(network: nn.Module, path: str | Path, prefix: str = "", half: bool = True) -> None:
    """Write a network's state under a temporary name, then rename it.

    Args:
        network: any module, on any device.
        path: file, loadable with `weights_only=True`.
        prefix: put before every key, for a part of a composite network.
        half: store floating-point entries in half precision; statistics (buffers) keep full precision.
    """
    buffers = {name for name, _ in network.named_buffers()}
    # Networks that know a part by several names (nnU-Net's decoder holds the encoder) store it once.
    stored: dict[int, torch.Tensor] = {}
    state = {}
    for key, value in network.state_dict().items():
        place = value.data_ptr() or id(value)
        if place not in stored:
            converted = value.half() if half and value.is_floating_point() and key not in buffers else value
            stored[place] = converted.detach().cpu().contiguous()
        state[prefix + key] = stored[place]
    write_atomically(path, lambda temporary: torch.save(state, temporary))
