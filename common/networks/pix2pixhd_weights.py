"""Generator weights in our format, or in that of NVIDIA's pix2pixHD, in which the paper's authors publish theirs."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ..errors import InputError
from ..weights import fill_weights, read_state
from .pix2pixhd import GlobalGenerator


def load_generator(network: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Load a generator's weights; every key and shape has to fit.

    The published format numbers the layers of one long sequence (`model.1.weight`, ...); it is recognised by that and
    translated. It fits a `GlobalGenerator` with transposed convolutions and without affine norms.

    Args:
        network: our generator.
        path: file with a state dict; loaded with `weights_only=True`.

    Returns:
        The network.

    Raises:
        InputError: missing, truncated, or keys that do not fit.
    """
    state = read_state(path)
    if state and all(re.match(r"model\.\d+\.", key) for key in state):
        if not isinstance(network, GlobalGenerator):
            raise InputError(f"weights {path}: hold a global generator in the published format; use network global")
        names = published_names(network)
        state = {names.get(key, key): value for key, value in state.items()}
    return fill_weights(network, state, path)


def initialize_generator(network: torch.nn.Module, path: str | Path | None) -> torch.nn.Module:
    """Weights for the start of a training: those of a file, or the network as it is (random) where none is named.

    A generator with `image_to_head` also starts from one without: the weights of the new input channel are 0, so that
    it first does the same.

    Raises:
        InputError: as `load_generator`.
    """
    if path is None:
        return network
    state, head = read_state(path), "head.1.weight"
    if getattr(network, "image_to_head", False) and head in state:
        own = network.state_dict()[head]
        if state[head].shape[1] == own.shape[1] - 1:
            added = torch.zeros_like(own[:, -1:], dtype=state[head].dtype, device="cpu")
            return fill_weights(network, {**state, head: torch.cat([state[head], added], dim=1)}, path)
    return load_generator(network, path)


def published_names(network: GlobalGenerator) -> dict[str, str]:
    """Key of the published format to our key, for every convolution of a generator."""
    pairs: dict[str, str] = {}

    def add(published: str, ours: str) -> None:
        pairs.update({f"model.{published}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")})

    add("1", "stem.1")
    position = 4  # after padding, convolution, norm and activation
    for level in range(len(network.downs)):
        add(str(position), f"downs.{level}.0")
        position += 3
    for block in range(len(network.blocks)):
        add(f"{position}.conv_block.1", f"blocks.{block}.body.1")
        add(f"{position}.conv_block.5", f"blocks.{block}.body.5")
        position += 1
    for level in range(len(network.ups)):
        add(str(position), f"ups.{level}.0")
        position += 3
    add(str(position + 1), "head.1")
    return pairs
