"""Stable Diffusion's autoencoder for images of one channel."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from ..errors import InputError


class GrayAutoencoder(nn.Module):
    """A diffusers `AutoencoderKL` between one channel and however many the network has.

    A network of three channels, such as Stable Diffusion's, gets three equal ones and the mean of its three answers is
    the image. With a `patch_size` above 1, blocks of pixels are folded into channels instead, so that a compact network
    works on fewer pixels.

    Args:
        network: the autoencoder; a state dict of this module is its own under `network.`.
        patch_size: edge of the blocks; the network then has `patch_size ** 2` channels.

    Raises:
        InputError: the network's channels do not fit.
    """

    def __init__(self, network: AutoencoderKL, patch_size: int = 1) -> None:
        super().__init__()
        channels = network.config.in_channels
        if patch_size > 1 and channels != patch_size**2:
            raise InputError(
                f"patch_size={patch_size}: the autoencoder needs {patch_size**2} channels, it has {channels}"
            )
        self.network, self.patch_size, self.copies = network, patch_size, 1 if patch_size > 1 else channels
        self.latent_channels = int(network.config.latent_channels)
        self.factor = patch_size * 2 ** (len(network.config.block_out_channels) - 1)

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (B, 1, H, W) in [-1, 1] to mean and standard deviation of the latent, (B, L, H / f, W / f)."""
        if self.patch_size > 1:
            image = functional.pixel_unshuffle(image, self.patch_size)
        posterior = self.network.encode(image.expand(-1, -1 if self.copies == 1 else self.copies, -1, -1)).latent_dist
        return posterior.mean, posterior.std

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent (B, L, H / f, W / f) to image (B, 1, H, W)."""
        image = self.network.decode(latent).sample
        return functional.pixel_shuffle(image, self.patch_size) if self.patch_size > 1 else image.mean(1, keepdim=True)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Reconstruction (from a sampled latent in training, from the mean else), mean and standard deviation."""
        mean, std = self.encode(image)
        return self.decode(mean + std * torch.randn_like(std) if self.training else mean), mean, std
