"""One network that holds all that sampling needs: autoencoder, mask conditioner, denoising UNet, latent statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import nn

from ..weights import load_weights


class MaskConditionedDenoiser(nn.Module):
    """Mask conditioner and denoising UNet, trained together.

    Args:
        conditioner: mask to (map, tokens), see `MaskConditioner`; the tokens may be None.
        unet: MONAI `DiffusionModelUNet` whose input is the latent with the map appended.
        patch_size: edge of the blocks of latent voxels that are folded into the UNet's channels; a fine latent then
            costs no more than a coarse one.
    """

    def __init__(self, conditioner: nn.Module, unet: nn.Module, patch_size: int = 1) -> None:
        super().__init__()
        self.conditioner = conditioner
        self.unet = unet
        self.patch_size = patch_size

    def forward(self, latent: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Noisy latent (B, L, *grid), timesteps (B,) and mask (B, k, *image grid) to the prediction, latent's shape."""
        return self.denoise(latent, timesteps, self.conditioner(condition))

    def denoise(
        self, latent: torch.Tensor, timesteps: torch.Tensor, features: tuple[torch.Tensor, torch.Tensor | None]
    ) -> torch.Tensor:
        """As `forward`, with the conditioner's output, which does not change between the steps of one sample."""
        concatenated, tokens = features
        inputs = torch.cat([latent, concatenated], dim=1)
        if self.patch_size == 1:
            return self.unet(inputs, timesteps=timesteps, context=tokens)
        dims = latent.ndim - 2
        inputs = pixelunshuffle(inputs, dims, self.patch_size)
        return pixelshuffle(self.unet(inputs, timesteps=timesteps, context=tokens), dims, self.patch_size)


class MaskConditionedLatentDiffusion(nn.Module):
    """Composite network of a bundle; `models/model.pt` is its state.

    Args:
        autoencoder: with `encode`, `decode` and `latent_channels`, see `SpaceToDepthAutoencoderKL`.
        denoiser: see `MaskConditionedDenoiser`.
        noise_schedule: a diffusers scheduler; gives the last timestep and what the denoiser predicts.
        null_condition: mask value that stands for "no condition given" in guidance; outside {0, 1}, since a mask of
            zeros says that there is no tumour.
        spatial_dims: 2 or 3.

    Buffers `latent_shift` and `latent_scale`, (1, L, 1, 1, 1) or (1, L, 1, 1), hold the latents' mean and standard
    deviation per channel over the training set; NaN until measured, so that nothing can be sampled without them.
    """

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        noise_schedule: Any,
        null_condition: float = -1.0,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.null_condition = null_condition
        self.last_timestep = int(noise_schedule.config.num_train_timesteps) - 1
        self.prediction_type = str(noise_schedule.config.prediction_type)
        self.last_alpha = float(noise_schedule.alphas_cumprod[-1])
        for name in ("latent_shift", "latent_scale"):
            shape = (1, autoencoder.latent_channels, *[1] * spatial_dims)
            self.register_buffer(name, torch.full(shape, float("nan")))

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image to mean and standard deviation of its latent, not normalised."""
        return self.autoencoder.encode(image)

    def normalize(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent to zero mean and unit variance per channel, the form that is diffused."""
        return (latent - self.latent_shift) / self.latent_scale

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Normalised latent to image."""
        return self.autoencoder.decode(latent * self.latent_scale + self.latent_shift)

    def condition(self, inputs: torch.Tensor, guided: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mask (B, k, *grid) to map and tokens for `denoise`; `guided` appends those without condition, 2 B in all."""
        if guided:
            inputs = torch.cat([inputs, torch.full_like(inputs, self.null_condition)])
        return self.denoiser.conditioner(inputs)

    def denoise(
        self, latent: torch.Tensor, timesteps: torch.Tensor, features: tuple[torch.Tensor, torch.Tensor | None]
    ) -> torch.Tensor:
        """See `MaskConditionedDenoiser.denoise`."""
        return self.denoiser.denoise(latent, timesteps, features)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Mask (B, k, *grid) to the decoded one-step estimate from zero noise at the last timestep, (B, C, *grid).

        Deterministic and dependent on every weight that sampling uses; for verification and export, not a sample.
        """
        features = self.condition(image)
        shape = (image.shape[0], self.autoencoder.latent_channels, *features[0].shape[2:])
        latent = torch.zeros(shape, device=image.device, dtype=features[0].dtype)
        steps = torch.full((image.shape[0],), self.last_timestep, device=image.device, dtype=torch.long)
        prediction = self.denoise(latent, steps, features)
        noise_share = (1 - self.last_alpha) ** 0.5
        if self.prediction_type == "v_prediction":
            return self.decode(-noise_share * prediction)
        return self.decode(-noise_share / self.last_alpha**0.5 * prediction)


def with_denoiser(network: MaskConditionedLatentDiffusion, denoiser: nn.Module) -> MaskConditionedLatentDiffusion:
    """The same composite network, sharing all parts but the denoiser, for example with an EMA copy of it."""
    twin = copy.copy(network)
    twin._modules = dict(network._modules)
    twin._modules["denoiser"] = denoiser
    return twin


def start_second_stage(
    network: MaskConditionedLatentDiffusion,
    autoencoder_weights: str,
    init_from: str | None = None,
    load_autoencoder: Callable[[nn.Module, str], nn.Module] | None = None,
) -> MaskConditionedLatentDiffusion:
    """The composite network as the second stage begins: autoencoder loaded and frozen.

    Args:
        network: as defined in the config.
        autoencoder_weights: first-stage file, or a whole `model.pt`.
        init_from: a `model.pt` to fine-tune; its autoencoder and latent statistics are kept, so that the denoiser goes
            on in the latent space that it knows.
        load_autoencoder: reads the first-stage file, where other forms than ours are to be understood too.
    """
    if init_from is not None:
        load_weights(network, init_from)
    else:
        load = load_autoencoder or partial(load_weights, prefix="autoencoder.")
        load(network.autoencoder, autoencoder_weights)
    network.autoencoder.requires_grad_(False).eval()
    return network
