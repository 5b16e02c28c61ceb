"""Three-dimensional ResNets trained on 23 medical segmentation data sets (MedicalNet, Chen et al. 2019)."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import InputError
from .published_weights import fill_frozen, read_published
from .residual_backbone import ResidualBackbone, ResidualLayout


def load_medicalnet(path: str | Path) -> ResidualBackbone:
    """The network of a published file; depth (10, 18, 34, 50 and more) and kind of shortcut are read off its keys.

    Levels 3 and 4 are dilated in place of strided, as in the authors' code (MONAI's `ResNet` has the same keys but
    strides). Keys of a segmentation head (`conv_seg`) are left out.

    Raises:
        InputError: missing, truncated, or keys that do not fit.
    """
    state = {key: value for key, value in read_published(path).items() if not key.startswith("conv_seg.")}
    blocks = tuple(len({key.split(".")[1] for key in state if key.startswith(f"layer{n}.")}) for n in range(1, 5))
    if 0 in blocks or state.get("conv1.weight", torch.empty(0)).ndim != 5:
        raise InputError(f"weights {path}: not a file of MedicalNet (a 3D ResNet with layer1 to layer4)")
    layout = ResidualLayout(
        spatial_dims=3,
        channels=1,
        blocks=blocks,
        bottleneck="layer1.0.conv3.weight" in state,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        free_shortcut="layer2.0.downsample.0.weight" not in state,
    )
    return fill_frozen(ResidualBackbone(layout), state, path)


def standardize_volumes(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, X, Y, Z): each volume less its mean, over its standard deviation; a constant volume becomes 0."""
    axes = tuple(range(1, images.ndim))
    centred = images - images.mean(axes, keepdim=True)
    return centred / centred.std(axes, keepdim=True).clamp(min=1e-8)
