"""The pix2pixHD generators (Wang et al. 2018), with the options that small networks and contrast synthesis need.

With `upsampling="transposed"`, `residual=False`, three channels and base 64 the global generator is that of Osuala et
al. 2024: 182 443 267 parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def _normed(convolution: nn.Module, channels: int, affine: bool, activate: bool = True) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(channels, affine=affine)] + [nn.ReLU()] * activate


class ResidualBlock(nn.Module):
    """Two reflect-padded 3 x 3 convolutions with instance norm; the sum is not activated."""

    def __init__(self, channels: int, affine: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3), channels, affine),
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3), channels, affine, activate=False),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        return features + self.body(features)


def _upsample(inputs: int, outputs: int, upsampling: str, affine: bool) -> nn.Sequential:
    if upsampling == "transposed":
        layer = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    else:
        # Transposed convolutions leave a lattice of period 2 in small networks.
        layer = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"),
        )
    return nn.Sequential(*_normed(layer, outputs, affine))


class GlobalGenerator(nn.Module):
    """Encoder, residual blocks at the coarsest scale, decoder.

    Args:
        in_channels, out_channels: one pre-contrast channel in and one a phase out by default; the paper's has 3 and 3,
            and takes three copies of the grey image: a single channel is repeated.
        base_channels: width at full resolution, doubled at each downsampling.
        num_downsamplings: strided convolutions; sides of the input must be multiples of two to this power.
        num_blocks: residual blocks.
        upsampling: `transposed` (the paper's) or `interpolate`.
        affine: whether instance norm learns a gain and an offset; the paper's does not.
        residual: add the output to the first input channel, as a change of at most `change_range`, which starts at
            zero; otherwise the output is the image itself.
        change_range: bound of the output: tanh times it. The paper's is 1, for images in [-1, 1].
        image_to_head: the first input channel also enters the last convolution, which can then smooth its noise; what
            passes through the downsampled features cannot. Not in the paper.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        base_channels: int = 64,
        num_downsamplings: int = 4,
        num_blocks: int = 9,
        upsampling: str = "transposed",
        affine: bool = False,
        residual: bool = False,
        change_range: float = 1.0,
        image_to_head: bool = False,
    ) -> None:
        super().__init__()
        if upsampling not in ("transposed", "interpolate"):
            raise ValueError(f"upsampling={upsampling}: use transposed or interpolate")
        self.in_channels = in_channels
        self.residual, self.change_range, self.image_to_head = residual, change_range, image_to_head
        widths = [base_channels * 2**level for level in range(num_downsamplings + 1)]
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3), *_normed(nn.Conv2d(in_channels, base_channels, 7), base_channels, affine)
        )
        self.downs = nn.ModuleList(
            nn.Sequential(*_normed(nn.Conv2d(fine, coarse, 3, stride=2, padding=1), coarse, affine))
            for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
        )
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1], affine) for _ in range(num_blocks))
        self.ups = nn.ModuleList(
            _upsample(coarse, fine, upsampling, affine)
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(base_channels + image_to_head, out_channels, 7))
        initialize_pix2pixhd(self)
        if residual:
            nn.init.zeros_(self.head[1].weight)
            nn.init.zeros_(self.head[1].bias)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """Features (B, base_channels, H, W) before the last convolution."""
        hidden = self.stem(image)
        for layer in (*self.downs, *self.blocks, *self.ups):
            hidden = layer(hidden)
        return hidden

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pre-contrast slices (B, 1 or in_channels, H, W) to phases (B, out_channels, H, W), on the same scale."""
        image = image.expand(-1, self.in_channels, -1, -1)
        features = self.features(image)
        if self.image_to_head:
            features = torch.cat([features, image[:, :1]], dim=1)
        return _finish(self, self.head(features), image)


def _finish(network: nn.Module, raw: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    bounded = network.change_range * torch.tanh(raw)
    return image[:, :1] + bounded if network.residual else bounded


class LocalEnhancer(nn.Module):
    """A fine branch at full resolution around a `GlobalGenerator` at half of it; the authors did not use it.

    Args:
        in_channels, out_channels, num_downsamplings, num_blocks, upsampling, affine, residual, change_range: as in
            `GlobalGenerator`; the coarse branch is twice as wide as `base_channels`.
        base_channels: width at full resolution.
        num_local_blocks: residual blocks of the fine branch.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        base_channels: int = 32,
        num_downsamplings: int = 4,
        num_blocks: int = 9,
        num_local_blocks: int = 3,
        upsampling: str = "transposed",
        affine: bool = False,
        residual: bool = False,
        change_range: float = 1.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.residual, self.change_range = residual, change_range
        wide = 2 * base_channels
        self.coarse = GlobalGenerator(
            in_channels, out_channels, wide, num_downsamplings, num_blocks, upsampling, affine
        )
        del self.coarse.head
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(3), *_normed(nn.Conv2d(in_channels, base_channels, 7), base_channels, affine)
        )
        self.down = nn.Sequential(*_normed(nn.Conv2d(base_channels, wide, 3, stride=2, padding=1), wide, affine))
        self.blocks = nn.ModuleList(ResidualBlock(wide, affine) for _ in range(num_local_blocks))
        self.up = _upsample(wide, base_channels, upsampling, affine)
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(base_channels, out_channels, 7))
        initialize_pix2pixhd(self)
        if residual:
            nn.init.zeros_(self.head[1].weight)
            nn.init.zeros_(self.head[1].bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """As `GlobalGenerator.forward`."""
        image = image.expand(-1, self.in_channels, -1, -1)
        hidden = self.down(self.stem(image)) + self.coarse.features(self.pool(image))
        for block in self.blocks:
            hidden = block(hidden)
        return _finish(self, self.head(self.up(hidden)), image)


def make_generator(kind: str, base_channels: int = 64, image_to_head: bool = False, **options: Any) -> nn.Module:
    """One of the two generators by its name.

    Args:
        kind: `global`, or `local`: the enhancer around a global generator of the same width, so that its own is half.
        base_channels: of the global generator.
        image_to_head: see `GlobalGenerator`; the enhancer's fine branch sees the image anyway.
        **options: of both.
    """
    if kind == "local":
        return LocalEnhancer(base_channels=base_channels // 2, **options)
    return GlobalGenerator(base_channels=base_channels, image_to_head=image_to_head, **options)


def initialize_pix2pixhd(network: nn.Module) -> None:
    """Weights of all convolutions from N(0, 0.02), as the original draws them."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
