"""One residual network, without a head, that fits every published layout of ResNet weights used here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class ResidualLayout:
    """What published residual networks differ in.

    Args:
        spatial_dims: 2 or 3.
        channels: of the input.
        blocks: residual blocks of each of the four levels.
        bottleneck: blocks of three convolutions with 4 times the channels, or of two.
        bias: of every convolution (networks that come from Keras).
        early_stride: a bottleneck's stride in its first convolution (Keras) or in its second.
        strides, dilations: of each level.
        free_shortcut: shortcuts without weights: strided, with zeros for new channels (type A of He et al. 2016).
        epsilon: of the batch norms.
    """

    spatial_dims: int = 2
    channels: int = 3
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    bottleneck: bool = True
    bias: bool = False
    early_stride: bool = False
    strides: tuple[int, int, int, int] = (1, 2, 2, 2)
    dilations: tuple[int, int, int, int] = (1, 1, 1, 1)
    free_shortcut: bool = False
    epsilon: float = 1e-5

    @property
    def expansion(self) -> int:
        """Channels of a block's output over those inside it."""
        return 4 if self.bottleneck else 1

    def convolution(self, before: int, after: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Module:
        """Convolution that keeps the grid but for its stride."""
        kind = nn.Conv3d if self.spatial_dims == 3 else nn.Conv2d
        padding = dilation * (kernel // 2)
        return kind(before, after, kernel, stride, padding, dilation, bias=self.bias)

    def norm(self, channels: int) -> nn.Module:
        """Batch norm."""
        kind = nn.BatchNorm3d if self.spatial_dims == 3 else nn.BatchNorm2d
        return kind(channels, eps=self.epsilon)


class FreeShortcut(nn.Module):
    """Every stride-th position, with channels of zeros added."""

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) to (B, C + added, ...)."""
        for axis in range(2, x.ndim):
            x = x.index_select(axis, torch.arange(0, x.shape[axis], self.stride, device=x.device))
        return functional.pad(x, [0, 0] * (x.ndim - 2) + [0, self.added])


class ResidualBlock(nn.Module):
    """Two or three convolutions beside a shortcut."""

    def __init__(self, layout: ResidualLayout, before: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = inner * layout.expansion
        if layout.bottleneck:
            first, second = (stride, 1) if layout.early_stride else (1, stride)
            self.conv1 = layout.convolution(before, inner, 1, first)
            self.conv2 = layout.convolution(inner, inner, 3, second, dilation)
            self.conv3 = layout.convolution(inner, after, 1)
        else:
            self.conv1 = layout.convolution(before, inner, 3, stride, dilation)
            self.conv2 = layout.convolution(inner, inner, 3, 1, dilation)
        self.bn1, self.bn2 = layout.norm(inner), layout.norm(inner)
        if layout.bottleneck:
            self.bn3 = layout.norm(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            weighted = nn.Sequential(layout.convolution(before, after, 1, stride), layout.norm(after))
            self.downsample = FreeShortcut(after - before, stride) if layout.free_shortcut else weighted
        self.bottleneck = layout.bottleneck

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, ...) to (B, after, ...)."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(functional.relu(y)))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResidualBackbone(nn.Module):
    """ResNet (He et al. 2016) up to its last feature map; keys as torchvision's: `conv1`, `layer1.0.conv1`, ...

    Args:
        layout: see `ResidualLayout`.
    """

    def __init__(self, layout: ResidualLayout) -> None:
        super().__init__()
        self.num_features = 512 * layout.expansion
        self.conv1, self.bn1 = layout.convolution(layout.channels, 64, 7, stride=2), layout.norm(64)
        self.maxpool = (nn.MaxPool3d if layout.spatial_dims == 3 else nn.MaxPool2d)(3, stride=2, padding=1)
        before, levels = 64, []
        for inner, count, stride, dilation in zip(
            (64, 128, 256, 512), layout.blocks, layout.strides, layout.dilations, strict=True
        ):
            blocks = []
            for number in range(count):
                blocks.append(ResidualBlock(layout, before, inner, stride if number == 0 else 1, dilation))
                before = inner * layout.expansion
            levels.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = levels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, channels, ...) to the map of the last level, (B, num_features, ...)."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
