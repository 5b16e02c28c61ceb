"""Stable Diffusion pipelines in diffusers' own layout: published models in, trained ones out.

A folder (or a repository of the Hugging Face hub) with `vae`, `unet`, `text_encoder`, `tokenizer` and `scheduler`, such
as Stable Diffusion 1.5 and the pipelines that MAM-E published.
"""

from __future__ import annotations

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from ..errors import InputError
from ..io.files import replace_folder, sha256_of_source
from ..knobs import as_path
from ..weights import load_weights
from .gray_autoencoder import GrayAutoencoder
from .prompt_tokenizer import load_tokenizer, token_ids
from .text_diffusion import TextConditionedDenoiser, TextConditionedLatentDiffusion

logger = logging.getLogger(__name__)
PARTS = {"vae": AutoencoderKL, "text_encoder": CLIPTextModel, "unet": UNet2DConditionModel, "scheduler": DDPMScheduler}
TOKENIZER = "tokenizer"
FILE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")


def is_pipeline(source: Any) -> bool:
    """Whether weights are named as a folder, or as `owner/name` of the hub where no such file exists."""
    path = as_path(source)
    return path.is_dir() or (not path.exists() and path.suffix not in FILE_SUFFIXES and len(path.parts) == 2)


def load_pipeline(source: Any, revision: str | None = None) -> TextConditionedLatentDiffusion:
    """The composite network of a pipeline; its sizes and noise schedule are those that its own files say.

    Args:
        source: folder, or `owner/name` of the hub; nothing is asked of the hub where HF_HUB_OFFLINE is set.
        revision: commit of the hub's repository.

    Raises:
        InputError: a part is missing or cannot be loaded.
    """
    _check_parts(source)
    parts = {name: load_part(kind, source, name, revision) for name, kind in PARTS.items()}
    tokenizer = load_tokenizer(*_place(source, TOKENIZER), revision=revision)
    network = TextConditionedLatentDiffusion(
        GrayAutoencoder(parts["vae"]),
        TextConditionedDenoiser(parts["text_encoder"], parts["unet"]),
        parts["scheduler"],
        token_ids(tokenizer, ["a mammogram with a lesion"]),
        token_ids(tokenizer, [""]),
    )
    network.latent_shift.zero_()
    network.latent_scale.fill_(1 / float(parts["vae"].config.scaling_factor))
    return network


def load_text_diffusion(
    network: TextConditionedLatentDiffusion, weights: Any, revision: str | None = None, device: Any = "cpu"
) -> TextConditionedLatentDiffusion:
    """A network with weights: `network` filled from a file of ours, or another one as a pipeline's files say."""
    if is_pipeline(weights):
        return load_pipeline(weights, revision).to(device).eval()
    return load_weights(network.to(device), weights).eval()


def weights_identity(weights: Any, revision: str | None = None) -> str | None:
    """What names a pipeline in a provenance: the hash of its files, or repository and commit; None for a file.

    Raises:
        InputError: a repository without a commit, whose weights may change.
    """
    if not is_pipeline(weights):
        return None
    found = sha256_of_source(weights)
    if found is None and revision is None:
        raise InputError(
            f"weights {weights}: no such folder; for a repository of the hub name its commit by --revision"
        )
    return found or f"{weights}@{revision}"


def find_tokenizer(folder: str, weights: Any = None, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to weights: a pipeline's own, else the one in `folder`."""
    if weights is not None and is_pipeline(weights):
        _check_parts(weights)
        return load_tokenizer(*_place(weights, TOKENIZER), revision=revision)
    return load_tokenizer(folder)


def widen_unet(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Let a UNet that generates take a mask and a masked latent too: the new input weights are 0, so that its answers
    do not change before it is trained. Returns the UNet."""
    old = unet.conv_in
    channels = 2 * old.in_channels + 1
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding).to(old.weight)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=channels)
    return unet


def save_pipeline(
    network: TextConditionedLatentDiffusion, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> Path:
    """Write a network as a diffusers pipeline, half precision, safetensors; the folder appears whole.

    Pipelines know one scalar for the latents. Where shift and scale differ by channel, they are folded into the
    convolutions around the latent.

    Raises:
        InputError: the autoencoder folds pixels into channels, which no stock pipeline does.
    """
    # Their modules load image processors that nothing else here needs.
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline

    if network.autoencoder.patch_size > 1:
        raise InputError("an autoencoder with patch_size above 1 has no form as a diffusers pipeline")
    folder = as_path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    parts: dict[str, Any] = {
        "vae": _folded(network),
        "unet": network.denoiser.unet,
        "text_encoder": network.denoiser.text_encoder,
    }
    parts = {name: copy.deepcopy(part).cpu().half() for name, part in parts.items()}
    kind = StableDiffusionInpaintPipeline if network.paints else StableDiffusionPipeline
    pipeline = kind(
        **parts,
        tokenizer=tokenizer,
        scheduler=DDPMScheduler.from_config(network.noise_schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(partial, safe_serialization=True)
    return replace_folder(partial, folder)


def _folded(network: TextConditionedLatentDiffusion) -> AutoencoderKL:
    """A copy of the autoencoder whose latents, times its scaling factor, are normalised."""
    vae = copy.deepcopy(network.autoencoder.network)
    shift, scale = network.latent_shift.flatten(), network.latent_scale.flatten()
    if not shift.any() and (scale == scale[0]).all():
        vae.register_to_config(scaling_factor=float(1 / scale[0]))
        return vae
    count = len(scale)
    with torch.no_grad():
        # The logarithm of the variance loses 2 log(scale); the mean is moved and divided.
        vae.quant_conv.weight[:count] /= scale.view(-1, 1, 1, 1)
        vae.quant_conv.bias[:count] = (vae.quant_conv.bias[:count] - shift) / scale
        vae.quant_conv.bias[count:] -= 2 * scale.log()
        vae.post_quant_conv.bias += vae.post_quant_conv.weight[:, :, 0, 0] @ shift
        vae.post_quant_conv.weight *= scale.view(1, -1, 1, 1)
    vae.register_to_config(scaling_factor=1.0)
    return vae


def _check_parts(source: Any) -> None:
    """Whether a folder holds all parts; of a hub only loading them tells."""
    path = as_path(source)
    missing = [part for part in (*PARTS, TOKENIZER) if path.is_dir() and not (path / part).is_dir()]
    if missing:
        found = ", ".join(sorted(p.name for p in path.iterdir() if p.is_dir())) or "nothing"
        raise InputError(
            f"weights {source}: has no folder {missing[0]}; a diffusers pipeline holds "
            f"{', '.join([*PARTS, TOKENIZER])}, this folder {found}"
        )


def _place(source: Any, part: str) -> tuple[str, str | None]:
    """Path and subfolder of a part."""
    path = as_path(source)
    return (str(path / part), None) if path.is_dir() else (str(source), part)


def load_part(kind: Any, source: Any, part: str, revision: str | None = None) -> Any:
    """One part of a pipeline, by its diffusers or transformers class.

    Raises:
        InputError: it is missing or cannot be loaded.
    """
    place, subfolder = _place(source, part)
    try:
        options = {"subfolder": subfolder, "revision": revision} if subfolder else {}
        if not issubclass(kind, nn.Module):
            return kind.from_pretrained(place, **options)
        loaded, found = kind.from_pretrained(place, output_loading_info=True, **options)
        missing = sorted(found["missing_keys"])
        if missing:
            raise ValueError(f"{len(missing)} entries are missing, first {missing[0]}")
        # Parts that are stored in half precision are computed with in full, unless autocast says otherwise.
        return loaded.float()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"weights {source}: its {part} cannot be loaded ({reason})") from error
