"""ResNet-50 trained on RadImageNet (Mei et al. 2022), from either published weight file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from ..errors import InputError
from .published_weights import fill_frozen, read_published
from .residual_backbone import ResidualBackbone, ResidualLayout

# The order in which torchvision's ResNet holds its parts, by which the authors' PyTorch file numbers them.
PARTS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
FROM_KERAS = ResidualLayout(bias=True, early_stride=True, epsilon=1.001e-5)
AUTHORS_SIDE = 224


def load_radimagenet(path: str | Path) -> tuple[ResidualBackbone, Callable[[torch.Tensor], torch.Tensor]]:
    """The network and what prepares images for it; the file tells which of the two published layouts it has.

    - `RadImageNet-ResNet50_notop.pth`, converted from the authors' Keras file for MONAI's perceptual loss: biases,
      strides in the first convolutions. Images as MONAI prepares them: see `subtract_means`.
    - `ResNet50.pt` of the authors' PyTorch release: torchvision's ResNet-50 without its head, parts numbered
      `backbone.0` to `backbone.7`. Images as the authors' example prepares them: see `center_and_resize`.

    Raises:
        InputError: missing, truncated, or keys that do not fit.
    """
    state = read_published(path)
    if "backbone.0.weight" in state:
        return fill_frozen(ResidualBackbone(ResidualLayout()), _named(state), path), center_and_resize
    if "conv1.bias" not in state:
        raise InputError(
            f"weights {path}: neither RadImageNet-ResNet50_notop.pth (conv1.bias) nor the authors' ResNet50.pt "
            "(backbone.0.weight) has these keys; give one of the two"
        )
    return fill_frozen(ResidualBackbone(FROM_KERAS), state, path), subtract_means


def _named(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    def name(key: str) -> str:
        return re.sub(r"^backbone\.(\d+)", lambda found: PARTS.get(found[1], found[0]), key)

    return {name(key): value for key, value in state.items()}


def subtract_means(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) on [0, 1] to (B, 3, H, W): three copies in the order blue, green, red, less ImageNet's means.

    This is what MONAI's `RadImageNetPerceptualSimilarity` and its tutorial on realism metrics do.
    """
    means = torch.tensor([0.406, 0.456, 0.485], device=images.device).view(1, 3, 1, 1)
    return images.repeat(1, 3, 1, 1) - means


def center_and_resize(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) on [0, 1] to (B, 3, 224, 224) on [-1, 1], resized bilinearly without smoothing.

    This is what the example beside the authors' PyTorch weights does to 8-bit images: (v - 127.5) * 2 / 255.
    """
    resized = functional.interpolate(2 * images - 1, (AUTHORS_SIDE, AUTHORS_SIDE), mode="bilinear")
    return resized.repeat(1, 3, 1, 1)
