"""The multi-scale conditional PatchGAN of pix2pixHD.

MONAI's `MultiScalePatchDiscriminator` is another network: it does not downsample the image, deepens later scales, pads
by 1 and leaves out biases.
"""

from __future__ import annotations

import torch
from torch import nn

from .pix2pixhd import initialize_pix2pixhd


class PatchDiscriminator(nn.Module):
    """One PatchGAN: kernels of 4, padding of 2, instance norm but in the first and last layer, no sigmoid.

    Args:
        in_channels: condition and image together.
        base_channels: of the first layer; doubled by each further layer, at most 512.
        num_layers: strided convolutions.
    """

    def __init__(self, in_channels: int = 6, base_channels: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        widths = [min(base_channels * 2**level, 512) for level in range(num_layers + 1)]
        layers = [nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=2), nn.LeakyReLU(0.2))]
        for level in range(1, num_layers + 1):
            stride = 2 if level < num_layers else 1
            layers.append(
                nn.Sequential(
                    nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=2),
                    nn.InstanceNorm2d(widths[level]),
                    nn.LeakyReLU(0.2),
                )
            )
        layers.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, stride=1, padding=2)))
        self.layers = nn.ModuleList(layers)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) to the outputs of all layers; the last are the logits (B, 1, h, w)."""
        outputs = []
        for layer in self.layers:
            image = layer(image)
            outputs.append(image)
        return outputs


class PatchPyramid(nn.Module):
    """Equal PatchGANs that see the image at full, half, ... resolution.

    The paper's has 2 scales of 6 channels (3 of the condition, 3 of the image): 5 535 618 parameters.

    Args:
        in_channels, base_channels, num_layers: as in `PatchDiscriminator`.
        num_scales: how many.
    """

    def __init__(self, in_channels: int = 6, base_channels: int = 64, num_layers: int = 3, num_scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, base_channels, num_layers) for _ in range(num_scales)
        )
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        initialize_pix2pixhd(self)

    def forward(self, image: torch.Tensor) -> list[list[torch.Tensor]]:
        """(B, in_channels, H, W) to, for each scale from fine to coarse, the outputs of all layers."""
        outputs = []
        for number, scale in enumerate(self.scales):
            image = image if number == 0 else self.pool(image)
            outputs.append(scale(image))
        return outputs
