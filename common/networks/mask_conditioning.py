"""The conditional modules: a tumour mask becomes a map to concatenate with the latent, and perhaps tokens to attend to.

Truong et al. 2024, section 2.2, state the two paths and the map's grid (that of the latent); the layers are ours, in
the form of the hybrid conditioning of latent diffusion models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import pixelunshuffle
from torch import nn
from torch.nn import functional


class MaskConditioner(nn.Module):
    """Strided convolutions from mask to latent grid, with one head for each path.

    Args:
        in_channels: mask channels: whole tumour and its regions.
        channels: width at each level; each level after the first halves the grid.
        map_channels: channels of the concatenated map.
        token_channels: width of a token (the UNet's `cross_attention_dim`).
        patch_size: edge of the blocks folded into channels before the first convolution, as in the autoencoder.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (32, 64, 128),
        map_channels: int = 8,
        token_channels: int = 256,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        layers: list[nn.Module] = [nn.Conv3d(in_channels * patch_size**3, channels[0], 3, padding=1), nn.SiLU()]
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [
                nn.Conv3d(before, after, 3, stride=2, padding=1),
                nn.GroupNorm(min(after // 4, 32), after),
                nn.SiLU(),
            ]
        self.trunk = nn.Sequential(*layers)
        last = channels[-1]
        self.to_map = nn.Conv3d(last, map_channels, 3, padding=1)
        self.to_tokens = nn.Sequential(
            nn.Conv3d(last, last, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv3d(last, token_channels, 3, stride=2, padding=1),
        )

    def forward(self, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask (B, k, X, Y, Z) to map (B, M, X/4, Y/4, Z/4) and tokens (B, N, T), N the voxels of the X/16 grid."""
        if self.patch_size > 1:
            mask = pixelunshuffle(mask, 3, self.patch_size)
        features = self.trunk(mask)
        return self.to_map(features), self.to_tokens(features).flatten(2).transpose(1, 2)


class PooledConditioner(nn.Module):
    """Mean pooling from mask to latent grid, then convolutions; a two-dimensional map to concatenate, no tokens.

    Args:
        in_channels: mask channels.
        map_channels: channels of the map.
        factor: edge of the blocks that are averaged: image pixels to a latent pixel.
        class_values: collapses the mask channels into one before pooling, as the sum of value times channel. Kapsner et
            al. 2024 give lesions their BI-RADS number this way; averaging then mixes classes at rims. None keeps them.
        hidden_channels: width of a 3x3 convolution before the last layer; None leaves the last layer alone.
        bias: of the last layer, 1x1.
    """

    def __init__(
        self,
        in_channels: int,
        map_channels: int,
        factor: int = 4,
        class_values: Sequence[float] | None = None,
        hidden_channels: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.factor = factor
        values = None if class_values is None else torch.tensor(class_values, dtype=torch.float32).view(1, -1, 1, 1)
        if values is not None and values.shape[1] != in_channels:
            raise ValueError(f"class_values has {values.shape[1]} entries for {in_channels} mask channels")
        self.register_buffer("class_values", values, persistent=False)
        channels = in_channels if values is None else 1
        layers: list[nn.Module] = []
        if hidden_channels is not None:
            layers = [nn.Conv2d(channels, hidden_channels, 3, padding=1), nn.SiLU()]
            channels = hidden_channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, map_channels, 1, bias=bias))

    def forward(self, mask: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Mask (B, k, X, Y) to map (B, M, X / factor, Y / factor), and None in place of tokens."""
        if self.class_values is not None:
            mask = (mask * self.class_values).sum(1, keepdim=True)
        return self.layers(functional.avg_pool2d(mask, self.factor)), None
