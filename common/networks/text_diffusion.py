"""Text-conditioned latent diffusion as one network: autoencoder, text encoder, UNet, latent statistics.

The parts are those of Stable Diffusion (Rombach et al. 2022), from diffusers and transformers. One UNet of 9 input
channels (noisy latent, mask, latent of the image with the masked region blank) serves both uses: inpainting, and
generation as inpainting of an empty image under a mask of ones. A UNet of 4 input channels can only generate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..errors import InputError

SCHEDULE_FACTS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")


class TextConditionedDenoiser(nn.Module):
    """Text encoder and UNet, trained together.

    Args:
        text_encoder: transformers `CLIPTextModel`.
        unet: diffusers `UNet2DConditionModel`, whose input channels are those of the latent with or without the plane.
    """

    def __init__(self, text_encoder: nn.Module, unet: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def read(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Token ids (B, T) to tokens (B, T, D), the last hidden state, as Stable Diffusion 1 takes it."""
        return self.text_encoder(input_ids=token_ids).last_hidden_state

    def forward(
        self, latent: torch.Tensor, timesteps: torch.Tensor, plane: torch.Tensor, token_ids: torch.Tensor
    ) -> torch.Tensor:
        """Noisy latent (B, L, h, w), timesteps (B,), plane (B, 1 + L or 0, h, w), ids (B, T) to the prediction."""
        return self.denoise(latent, timesteps, (plane, self.read(token_ids)))

    def denoise(
        self, latent: torch.Tensor, timesteps: torch.Tensor, features: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """As `forward`, with plane and tokens, which do not change between the steps of one sample."""
        plane, tokens = features
        return self.unet(torch.cat([latent, plane], dim=1), timesteps, encoder_hidden_states=tokens).sample


class TextConditionedLatentDiffusion(nn.Module):
    """Composite network of the mammogram bundle; `models/model.pt` is its state.

    Args:
        autoencoder: with `encode`, `decode`, `latent_channels` and `factor`, see `GrayAutoencoder`.
        denoiser: see `TextConditionedDenoiser`.
        noise_schedule: a diffusers scheduler; its config stays with the network, because a pipeline that is loaded
            from elsewhere brings its own.
        tokens: ids (1, T) of the prompt that `forward` reads where none is given; ids of "" stand for no prompt.
        empty: ids (1, T) of the empty prompt.

    Buffers `latent_shift` and `latent_scale`, (1, L, 1, 1), hold the latents' mean and standard deviation per channel
    over the training set; NaN until measured, so that nothing can be sampled without them.
    """

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        noise_schedule: Any,
        tokens: torch.Tensor,
        empty: torch.Tensor,
    ) -> None:
        super().__init__()
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.noise_schedule = dict(noise_schedule.config)
        self.last_alpha = float(noise_schedule.alphas_cumprod[-1])
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("empty", empty, persistent=False)
        for name in ("latent_shift", "latent_scale"):
            self.register_buffer(name, torch.full((1, autoencoder.latent_channels, 1, 1), float("nan")))

    @property
    def paints(self) -> bool:
        """Whether the UNet takes a mask and a masked image, so that it can inpaint."""
        channels, latent = self.denoiser.unet.config.in_channels, self.autoencoder.latent_channels
        if channels not in (latent, 2 * latent + 1):
            raise InputError(
                f"the UNet takes {channels} channels; {latent} (generation) or {2 * latent + 1} (inpainting) are known"
            )
        return channels != latent

    @property
    def image_size(self) -> int:
        """Pixels along a side of the images that the UNet was made for."""
        return int(self.denoiser.unet.config.sample_size) * self.autoencoder.factor

    @property
    def schedule_facts(self) -> dict[str, Any]:
        """What of the noise schedule decides what is drawn, for a provenance."""
        return {key: self.noise_schedule[key] for key in SCHEDULE_FACTS}

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (B, 1, H, W) to mean and standard deviation of its latent, not normalised."""
        return self.autoencoder.encode(image)

    def normalize(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent to zero mean and unit variance per channel, the form that is diffused."""
        return (latent - self.latent_shift) / self.latent_scale

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Normalised latent to image."""
        return self.autoencoder.decode(latent * self.latent_scale + self.latent_shift)

    def denoise(self, latent: torch.Tensor, timesteps: torch.Tensor, features: Any) -> torch.Tensor:
        """See `TextConditionedDenoiser.denoise`."""
        return self.denoiser.denoise(latent, timesteps, features)

    def plane(self, inputs: torch.Tensor) -> torch.Tensor:
        """What is concatenated to the noisy latent, (B, 1 + L, h, w); without channels for a UNet that only generates.

        Args:
            inputs: (B, 2, H, W): image in [-1, 1] and mask in [0, 1], 1 where the image is to be drawn.
        """
        side = [n // self.autoencoder.factor for n in inputs.shape[2:]]
        if not self.paints:
            if (inputs[:, 1] < 0.5).any():
                raise InputError(
                    "the weights can generate mammograms, not inpaint them (the UNet takes 4 channels); "
                    "use weights of an inpainting model"
                )
            return inputs.new_zeros(len(inputs), 0, *side)
        mask = (inputs[:, 1:] >= 0.5).to(inputs.dtype)
        masked = self.normalize(self.encode(blank(inputs[:, :1], mask))[0])
        return torch.cat([pool_mask(mask, self.autoencoder.factor), masked], dim=1)

    def condition(
        self,
        inputs: torch.Tensor,
        guided: bool = False,
        token_ids: torch.Tensor | None = None,
        negative_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Plane and tokens for `denoise`, encoded once a sample.

        Args:
            inputs: see `plane`.
            guided: append those of the negative prompt, for guidance: first dimension 2 B.
            token_ids: (B, T); `tokens` where None.
            negative_ids: (B, T); the empty prompt where None.
        """
        batch = len(inputs)
        ids = self.tokens.expand(batch, -1) if token_ids is None else token_ids.to(inputs.device)
        plane = self.plane(inputs)
        if guided:
            negative = self.empty.expand(batch, -1) if negative_ids is None else negative_ids.to(inputs.device)
            ids, plane = torch.cat([ids, negative]), torch.cat([plane, plane])
        return plane, self.denoiser.read(ids)

    def forward(self, image: torch.Tensor, token_ids: torch.Tensor | None = None) -> torch.Tensor:
        """Image and mask (B, 2, H, W) to the decoded one-step estimate from zero noise at the last step, (B, 1, H, W).

        Deterministic and dependent on every weight that sampling uses; for verification and export, not a sample.
        """
        features = self.condition(image, token_ids=token_ids)
        latent = features[0].new_zeros(len(image), self.autoencoder.latent_channels, *features[0].shape[2:])
        last = int(self.noise_schedule["num_train_timesteps"]) - 1
        steps = torch.full((len(image),), last, device=image.device, dtype=torch.long)
        noise_share = (1 - self.last_alpha) ** 0.5
        prediction = self.denoise(latent, steps, features)
        if self.noise_schedule["prediction_type"] == "v_prediction":
            return self.decode(-noise_share * prediction)
        return self.decode(-noise_share / self.last_alpha**0.5 * prediction)


def blank(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Image with mid-grey (0 in [-1, 1]) where the mask is 1, as Stable Diffusion's inpainting was trained."""
    return image * (1 - mask)


def pool_mask(mask: torch.Tensor, factor: int) -> torch.Tensor:
    """Mask (B, 1, H, W) on the latent grid: 1 where any pixel is, so that no small mask vanishes.

    Nearest sampling, which the original uses, loses boxes of fewer than `factor` pixels at some positions.
    """
    return functional.max_pool2d(mask, factor)
