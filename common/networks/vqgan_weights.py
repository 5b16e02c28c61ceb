"""VQ-GAN weights in our format, or in that of the latent-diffusion code that the paper's authors used."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.nets.autoencoderkl import AEKLResBlock
from torch import nn

from ..errors import InputError
from ..weights import check_weights_file, fill_weights
from .vqgan import VQGAN

OWN_PREFIX = "autoencoder."
DIFFUSION_PREFIX = "first_stage_model."
LIGHTNING_CALLBACK = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"


def load_vqgan(network: VQGAN, path: str | Path) -> VQGAN:
    """Load a first stage's weights; every key and shape has to fit.

    Ours are taken from a first-stage file or a whole `model.pt`. Published ones are recognised by their names
    (`encoder.down.0.block.0.norm1.weight`, ...) and translated, from a checkpoint of the autoencoder or of a diffusion
    model around it; the discriminator and perceptual network that were stored with them (`loss.`) are left out.

    Args:
        network: filled in place.
        path: file with a state dict, or a Lightning checkpoint; loaded with `weights_only=True`.

    Returns:
        The network.

    Raises:
        InputError: missing, truncated, or keys that do not fit.
    """
    state = _read(path)
    for prefix in (OWN_PREFIX, DIFFUSION_PREFIX):
        if any(key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    if any(key.startswith(("encoder.down.", "quantize.")) for key in state):
        names = published_names(network)
        state = {names.get(key, key): value for key, value in state.items() if not key.startswith("loss.")}
    return fill_weights(network, state, path)


def initialize_vqgan(network: VQGAN, path: str | Path | None) -> VQGAN:
    """`load_vqgan` where a path is given, the network as it is (random) otherwise; for the start of a training."""
    return network if path is None else load_vqgan(network, path)


def published_names(network: VQGAN) -> dict[str, str]:
    """Key of the published format to our key, for every weight."""
    levels = range(len(network.encoder.channels))
    last = levels[-1]
    down: list[str | None] = ["conv_in"]
    for level in levels:
        down += [f"down.{level}.block.{i}" for i in range(network.encoder.num_res_blocks[level])]
        down += [f"down.{level}.downsample.conv"] * (level != last)
    middle: list[str | None] = ["mid.block_1", None, "mid.block_2"]  # None: a layer without weights
    end: list[str | None] = ["norm_out", None, "conv_out"]
    up: list[str | None] = ["conv_in", *middle]
    for level in reversed(levels):
        up += [f"up.{level}.block.{i}" for i in range(network.decoder.num_res_blocks[level])]
        up += [f"up.{level}.upsample.conv"] * (level != 0)

    pairs = {"quantize.embedding.weight": "quantizer.embedding.weight"}
    for layer in ("quant_conv", "post_quant_conv"):
        pairs.update({f"{layer}.{kind}": f"{layer}.{kind}" for kind in ("weight", "bias")})
    pairs |= _names_of_half("encoder", network.encoder.blocks, [*down, *middle, *end])
    return pairs | _names_of_half("decoder", network.decoder.blocks, [*up, *end])


def _names_of_half(half: str, blocks: nn.ModuleList, published: list[str | None]) -> dict[str, str]:
    """Pairs of keys for encoder or decoder, from the published names of its blocks in order."""
    pairs = {}
    for number, (block, name) in enumerate(zip(blocks, published, strict=True)):
        for key in block.state_dict():
            layer, kind = key.split(".")[0], key.split(".")[-1]  # MONAI wraps a convolution once or twice in between
            theirs = f"{layer}.{kind}" if isinstance(block, AEKLResBlock) else kind
            pairs[f"{half}.{name}.{theirs}"] = f"{half}.blocks.{number}.{key}"
    return pairs


class _LightningCallback:
    """What `LIGHTNING_CALLBACK` becomes on loading: Lightning 1.4 uses that class as a key in its checkpoints.

    Only the name is needed, nothing is called, and Lightning itself need not be installed.
    """


def _read(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, or in the `state_dict` or `model` entry of a checkpoint."""
    path = check_weights_file(path)
    try:
        with torch.serialization.safe_globals([(_LightningCallback, LIGHTNING_CALLBACK)]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"weights {path}: cannot be loaded, the file is truncated or holds more than weights"
        ) from error
    if isinstance(content, dict):
        content = content.get("state_dict", content.get("model", content))
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise InputError(f"weights {path}: holds no state dict")
    return content
