"""Networks of text-conditioned diffusion as a training begins."""

from __future__ import annotations

import logging
from typing import Any

from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from ..errors import InputError
from ..weights import initialize, load_weights
from .diffusers_folder import is_pipeline, load_part, load_pipeline, widen_unet
from .gray_autoencoder import GrayAutoencoder
from .text_diffusion import TextConditionedLatentDiffusion

logger = logging.getLogger(__name__)
NOTHING = "none"
# The projections of the attention layers, as low-rank adaptation of Stable Diffusion is commonly done.
LORA_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def start_autoencoder(
    network: GrayAutoencoder,
    init_from: str | None = None,
    pretrained: str = NOTHING,
    revision: str | None = None,
    device: Any = "cpu",
) -> GrayAutoencoder:
    """The first stage: random, from a file of ours, or from the `vae` of a pipeline.

    Args:
        network: as defined in the config; a pipeline's own sizes replace it.
        init_from: file with an autoencoder, or a whole `model.pt`.
        pretrained: folder or repository in diffusers layout, or `none`.
        revision: of the repository.
        device: where the network is to be.
    """
    if pretrained != NOTHING:
        network = GrayAutoencoder(load_part(AutoencoderKL, pretrained, "vae", revision))
    else:
        initialize(network, init_from, prefix="autoencoder.")
    return network.to(device)


def start_text_diffusion(
    network: TextConditionedLatentDiffusion,
    autoencoder_weights: str,
    init_from: str | None = None,
    pretrained: str = NOTHING,
    revision: str | None = None,
    in_channels: int = 9,
    widen: bool = False,
    train_text: bool = True,
    lora_rank: int = 0,
    use_checkpoint: bool = False,
    plain_attention: bool = False,
) -> TextConditionedLatentDiffusion:
    """The second stage: autoencoder frozen, UNet and text encoder to be trained.

    Args:
        network: as defined in the config; a pipeline's own sizes replace it.
        autoencoder_weights: first-stage file or `model.pt`. `none` keeps a pipeline's own autoencoder, and without
            one leaves it random, which is logged.
        init_from: a `model.pt` to fine-tune, its autoencoder included.
        pretrained: folder or repository in diffusers layout, or `none`.
        revision: of the repository.
        in_channels: of the UNet that is wanted.
        widen: give a pretrained UNet of 4 channels the 5 further ones of an inpainting UNet, with weights of 0.
        train_text: train the text encoder as well.
        lora_rank: above 0, train adapters of this rank in the UNet's attention layers in place of all weights.
        use_checkpoint: trade time for memory in training.
        plain_attention: compute the UNet's attention by matrix products. Its gradients are the same; on CPUs they come
            in half the time as long as a latent has few pixels, for large ones memory would not do.

    Raises:
        InputError: weights that do not fit, or a UNet of other channels that is not to be widened.
    """
    if pretrained != NOTHING:
        if not is_pipeline(pretrained):
            raise InputError(
                f"pretrained={pretrained}: give a folder in diffusers layout, owner/name of a hub, or none"
            )
        if init_from is not None:
            raise InputError(f"init_from={init_from}: goes without pretrained, which names another start; give one")
        network = load_pipeline(pretrained, revision)
        _fit_channels(network, in_channels, widen, pretrained)
        if autoencoder_weights != NOTHING:
            load_weights(network.autoencoder, autoencoder_weights, prefix="autoencoder.")
    elif init_from is not None:
        load_weights(network, init_from)
    elif autoencoder_weights == NOTHING:
        logger.warning("autoencoder_weights=none: the autoencoder is RANDOM; what is trained on it is of no use")
    else:
        load_weights(network.autoencoder, autoencoder_weights, prefix="autoencoder.")
    network.autoencoder.requires_grad_(False).eval()
    network.denoiser.text_encoder.requires_grad_(train_text and not lora_rank)
    if use_checkpoint:
        network.denoiser.unet.enable_gradient_checkpointing()
        network.denoiser.text_encoder.gradient_checkpointing_enable()
    if plain_attention:
        network.denoiser.unet.set_attn_processor(AttnProcessor())
    if lora_rank:
        add_adapters(network.denoiser.unet, lora_rank)
    return network


def add_adapters(unet: nn.Module, rank: int) -> None:
    """Freeze a diffusers UNet and add trainable low-rank adapters to its attention layers.

    Raises:
        InputError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise InputError(f"lora_rank={rank}: needs the package peft; pip install -e '.[lora]'") from error
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=LORA_TARGETS))


def merge_adapters(unet: nn.Module) -> None:
    """Add adapters to the weights that they adapt and remove them, so that the state dict is a plain UNet's."""
    if getattr(unet, "peft_config", None):
        unet.fuse_lora()
        unet.unload_lora()


def _fit_channels(network: TextConditionedLatentDiffusion, in_channels: int, widen: bool, source: str) -> None:
    unet = network.denoiser.unet
    found = unet.config.in_channels
    if found == in_channels:
        return
    if widen and in_channels == 2 * found + 1:
        widen_unet(unet)
        logger.info(f"{source}: its UNet was widened from {found} to {in_channels} input channels, the new ones with 0")
        return
    hint = "pass --widen True to add them" if in_channels == 2 * found + 1 else "use weights for this task"
    raise InputError(f"pretrained {source}: its UNet takes {found} channels, this training needs {in_channels}; {hint}")
