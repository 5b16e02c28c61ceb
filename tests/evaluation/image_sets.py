"""Small image sets for tests: smooth random textures, as PNG or NIfTI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from common.io.volumes import save_nifti


def texture(seed: int, shape: tuple[int, ...] = (40, 36), smooth: float = 2.0, level: float = 0.5) -> np.ndarray:
    """Smooth noise around a level, on [0, 1]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return np.clip(level + 0.15 * noise / noise.std(), 0, 1)


def save(path: Path, image: np.ndarray) -> None:
    """8-bit PNG, or NIfTI with floats, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(path)
    else:
        save_nifti(path, image.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))


def write_set(folder: Path, count: int, seed: int, name: str = "image{:03d}.png", **options) -> Path:
    """Textures, whose seeds go up from `seed`."""
    for number in range(count):
        save(folder / name.format(number), texture(seed + number, **options))
    return folder


class BrightnessClassifier(torch.nn.Module):
    """Logits of dark and bright, split at 0.5."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.flatten(1).mean(1, keepdim=True)
        return torch.cat([0.5 - mean, mean - 0.5], dim=1)


class ThreeChannels(torch.nn.Module):
    """Fails on images of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images)


def save_torchscript(path: Path, network: torch.nn.Module) -> str:
    """As a user names it: file and hash."""
    from common.io.files import sha256_of_file

    torch.jit.script(network).save(str(path))
    return f"{path}@{sha256_of_file(path)}"
