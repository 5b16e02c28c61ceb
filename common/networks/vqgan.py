"""Two-dimensional VQ-GAN generator, the first stage of Kapsner et al. 2024: MONAI's blocks in the original's order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import SpatialAttentionBlock
from monai.networks.nets.autoencoderkl import Decoder, Encoder
from torch import nn
from torch.nn import functional

from .vector_quantizer import VectorQuantizer


class VQGAN(nn.Module):
    """Autoencoder with a vector-quantised latent (Esser et al. 2021), without attention.

    The defaults are the paper's (authors' configuration `ae_dce_mip`). The latent that is diffused is the one before
    quantisation; decoding quantises it. The factor between image and latent grid is
    `patch_size * 2 ** (len(channels) - 1)`.

    Args:
        in_channels: of the image.
        channels: of each level, the finest first; divisible by `norm_num_groups`.
        latent_channels: of latent and codebook.
        num_res_blocks: residual blocks of each level of the encoder; the decoder has one more.
        norm_num_groups: of the group normalisations.
        num_embeddings: entries of the codebook.
        patch_size: edge of the blocks of pixels that are folded into channels; 1 in the paper.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128),
        latent_channels: int = 3,
        num_res_blocks: int = 2,
        norm_num_groups: int = 32,
        num_embeddings: int = 8192,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.patch_size = patch_size
        levels, folded = len(channels), in_channels * patch_size**2
        options = {
            "spatial_dims": 2,
            "channels": list(channels),
            "norm_num_groups": norm_num_groups,
            "norm_eps": 1e-6,
            "attention_levels": [False] * levels,
        }
        self.encoder = _as_original(
            Encoder(
                in_channels=folded, out_channels=latent_channels, num_res_blocks=[num_res_blocks] * levels, **options
            )
        )
        self.decoder = _as_original(
            Decoder(
                in_channels=latent_channels,
                out_channels=folded,
                num_res_blocks=[num_res_blocks + 1] * levels,
                **options,
            )
        )
        self.quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.quantizer = VectorQuantizer(num_embeddings, latent_channels)

    @property
    def last_layer(self) -> nn.Conv2d:
        """The decoder's last convolution, where the adaptive adversarial weight compares gradients."""
        return self.decoder.blocks[-1].conv

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (B, C, X, Y) to its latent before quantisation and that latent's deviation, which is 0.

        Both (B, L, X/f, Y/f); the pair is what latent diffusion expects of any first stage.
        """
        if self.patch_size > 1:
            image = functional.pixel_unshuffle(image, self.patch_size)
        latent = self.quant_conv(self.encoder(image))
        return latent, torch.zeros_like(latent)

    def quantize(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latent (B, L, x, y) to nearest entries (gradients pass through), codebook loss, indices (B, x, y)."""
        return self.quantizer(latent)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent (B, L, x, y), quantised first, to image (B, C, X, Y)."""
        return self.decode_quantized(self.quantize(latent)[0])

    def decode_quantized(self, quantized: torch.Tensor) -> torch.Tensor:
        """Codebook entries (B, L, x, y) to image (B, C, X, Y)."""
        image = self.decoder(self.post_quant_conv(quantized))
        return functional.pixel_shuffle(image, self.patch_size) if self.patch_size > 1 else image

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (B, C, X, Y) to its reconstruction, the codebook loss (a scalar) and the indices (B, x, y)."""
        quantized, loss, indices = self.quantize(self.encode(image)[0])
        return self.decode_quantized(quantized), loss, indices


def _as_original(half: Encoder | Decoder) -> Encoder | Decoder:
    """MONAI's encoder or decoder without the attention in its middle and with the activation that it leaves out.

    The residual blocks around the attention stay, which is why it can't be switched off by argument.
    """
    blocks = [nn.Identity() if isinstance(block, SpatialAttentionBlock) else block for block in half.blocks]
    half.blocks = nn.ModuleList([*blocks[:-1], nn.SiLU(), blocks[-1]])
    return half
