"""LPIPS (Zhang et al. 2018), version 0.1: distance of AlexNet's or VGG-16's features, weighted per channel."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from .published_weights import fill_frozen, read_published

# Channels of each convolution of torchvision's `features`, "M" for a max pool; and the layers that are compared.
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29)}
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


def _alexnet() -> nn.Sequential:
    def convolution(before: int, after: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU()]

    layers = convolution(3, 64, 11, 4, 2) + [nn.MaxPool2d(3, 2)] + convolution(64, 192, 5, 1, 2) + [nn.MaxPool2d(3, 2)]
    layers += convolution(192, 384, 3, 1, 1) + convolution(384, 256, 3, 1, 1) + convolution(256, 256, 3, 1, 1)
    return nn.Sequential(*layers)


def _vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for after in VGG16[:-1]:
        if after == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, int(after), 3, padding=1), nn.ReLU()]
            before = int(after)
    return nn.Sequential(*layers)


class Lpips(nn.Module):
    """Pairs of images to distances.

    Args:
        kind: `alex` or `vgg16`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.features = _alexnet() if kind == "alex" else _vgg16()
        self.heads = nn.ParameterList([nn.Parameter(torch.zeros(1, count, 1, 1)) for count in CHANNELS[kind]])
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Two batches (B, 3, H, W) on [-1, 1] to distances (B,)."""
        count = first.shape[0]
        x = (torch.cat([first, second]) - self.shift) / self.scale
        distances, level = x.new_zeros(count), 0
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in TAPS[self.kind]:
                unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                difference = (unit[:count] - unit[count:]).square()
                distances = distances + (self.heads[level] * difference).sum(1).mean((1, 2))
                level += 1
        return distances


def load_lpips(backbone: str | Path) -> Lpips:
    """The network of a backbone's published file, with heads of 0: torchvision's AlexNet or VGG-16, by its keys.

    Raises:
        InputError: missing, truncated, or keys that do not fit.
    """
    state = {key: value for key, value in read_published(backbone).items() if key.startswith("features.")}
    first = tuple(state.get("features.0.weight", torch.empty(0)).shape)
    if first not in ((64, 3, 11, 11), (64, 3, 3, 3)):
        raise InputError(f"weights {backbone}: neither torchvision's AlexNet nor its VGG-16")
    network = Lpips("alex" if first[-1] == 11 else "vgg16")
    zeros = {f"heads.{n}": head.detach() for n, head in enumerate(network.heads)}
    return fill_frozen(network, {**state, **zeros}, backbone)


def load_heads(network: Lpips, path: str | Path) -> Lpips:
    """Fill in the linear heads, version 0.1, of a published file (`lin0.model.1.weight`, ...).

    Raises:
        InputError: missing, truncated, or the heads of the other network.
    """
    state = read_published(path)
    renamed = {re.sub(r"^lin(\d)\.model\.1\.weight$", r"\1", key): value for key, value in state.items()}
    fill_frozen(network.heads, renamed, path)
    return network
