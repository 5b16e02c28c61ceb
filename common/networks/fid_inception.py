"""The Inception-v3 that the Fréchet Inception distance is defined with (Heusel et al. 2017).

It is TensorFlow's graph of 2015-12-05, which differs from later Inception-v3 networks: average pools leave out the
padding, the last block pools by maximum, images are resized without half-pixel centres, and there are 1008 classes.
Modules carry the names of the converted weight files of pytorch-fid and torch-fidelity (one and the same file), so
that these load as they are.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LAYERS = (64, 192, 768, 2048)
SIDE = 299


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, rectification."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, after, H', W')."""
        return functional.relu(self.bn(self.conv(x)))


def _row(before: int, after: int, length: int) -> ConvNorm:
    return ConvNorm(before, after, (1, length), padding=(0, length // 2))


def _column(before: int, after: int, length: int) -> ConvNorm:
    return ConvNorm(before, after, (length, 1), padding=(length // 2, 0))


def _average(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Mixed5(nn.Module):
    """Block of the 35 x 35 grid."""

    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(before, 64, 1)
        self.branch5x5_1 = ConvNorm(before, 48, 1)
        self.branch5x5_2 = ConvNorm(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNorm(before, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, padding=1)
        self.branch_pool = ConvNorm(before, pooled, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, 224 + pooled, H, W)."""
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_average(x))], 1)


class Reduction6(nn.Module):
    """From the 35 x 35 grid to 17 x 17."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(before, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNorm(before, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, 480 + before, H', W')."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)], 1)


class Mixed6(nn.Module):
    """Block of the 17 x 17 grid, with kernels of 1 x 7 and 7 x 1."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(768, 192, 1)
        self.branch7x7_1 = ConvNorm(768, inner, 1)
        self.branch7x7_2 = _row(inner, inner, 7)
        self.branch7x7_3 = _column(inner, 192, 7)
        self.branch7x7dbl_1 = ConvNorm(768, inner, 1)
        self.branch7x7dbl_2 = _column(inner, inner, 7)
        self.branch7x7dbl_3 = _row(inner, inner, 7)
        self.branch7x7dbl_4 = _column(inner, inner, 7)
        self.branch7x7dbl_5 = _row(inner, 192, 7)
        self.branch_pool = ConvNorm(768, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 768, H, W) to the same shape."""
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average(x))], 1)


class Reduction7(nn.Module):
    """From the 17 x 17 grid to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(768, 192, 1)
        self.branch3x3_2 = ConvNorm(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNorm(768, 192, 1)
        self.branch7x7x3_2 = _row(192, 192, 7)
        self.branch7x7x3_3 = _column(192, 192, 7)
        self.branch7x7x3_4 = ConvNorm(192, 192, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 768, H, W) to (B, 1280, H', W')."""
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), long, functional.max_pool2d(x, 3, stride=2)], 1)


class Mixed7(nn.Module):
    """Block of the 8 x 8 grid; `largest` pools by maximum, as the graph's last block does."""

    def __init__(self, before: int, largest: bool) -> None:
        super().__init__()
        self.largest = largest
        self.branch1x1 = ConvNorm(before, 320, 1)
        self.branch3x3_1 = ConvNorm(before, 384, 1)
        self.branch3x3_2a = _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1 = ConvNorm(before, 448, 1)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _row(384, 384, 3)
        self.branch3x3dbl_3b = _column(384, 384, 3)
        self.branch_pool = ConvNorm(before, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, 2048, H, W)."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1) if self.largest else _average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)]
        return torch.cat(parts, 1)


class FidInception(nn.Module):
    """Images to features of one layer, averaged over space.

    Args:
        layer: by its number of features: 64 (after the first pool), 192 (after the second), 768 (before the second
            auxiliary head), 2048 (the last).
    """

    def __init__(self, layer: int = 2048) -> None:
        super().__init__()
        if layer not in LAYERS:
            raise ValueError(f"layer {layer}: one of {LAYERS} is expected")
        self.layer = layer
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        self.Mixed_5b = Mixed5(192, 32)
        self.Mixed_5c = Mixed5(256, 64)
        self.Mixed_5d = Mixed5(288, 64)
        self.Mixed_6a = Reduction6(288)
        self.Mixed_6b = Mixed6(128)
        self.Mixed_6c = Mixed6(160)
        self.Mixed_6d = Mixed6(160)
        self.Mixed_6e = Mixed6(192)
        self.Mixed_7a = Reduction7()
        self.Mixed_7b = Mixed7(1280, largest=False)
        self.Mixed_7c = Mixed7(2048, largest=True)
        self.fc = nn.Linear(2048, 1008)  # in the weight files; no feature needs it

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), values 0 to 255, of any size, to (B, layer)."""
        x = (resize_like_tensorflow_1(images, SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, stride=2)
        if self.layer == 64:
            return x.mean((2, 3))
        x = functional.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        if self.layer == 192:
            return x.mean((2, 3))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        if self.layer == 768:
            return x.mean((2, 3))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))


def resize_like_tensorflow_1(images: torch.Tensor, side: int) -> torch.Tensor:
    """Bilinear resize of (B, C, H, W) to (B, C, side, side) as `tf.image.resize_bilinear` of TensorFlow 1 does it.

    Pixel i of the result lies at i * H / side of the input: corners at 0, no half-pixel centres, no smoothing.
    """
    for axis in (2, 3):
        length = images.shape[axis]
        places = torch.arange(side, dtype=images.dtype, device=images.device) * (length / side)
        low = places.long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = side
        share = (places - low).view(shape)
        first, second = images.index_select(axis, low), images.index_select(axis, high)
        images = first + (second - first) * share
    return images
