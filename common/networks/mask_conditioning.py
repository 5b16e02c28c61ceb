"""The conditional module: a tumour mask becomes a map to concatenate with the latent and tokens to attend to.

Truong et al. 2024, section 2.2, state the two paths and the map's grid (that of the latent); the layers are ours, in
the form of the hybrid conditioning of latent diffusion models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import pixelunshuffle
from torch import nn


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
