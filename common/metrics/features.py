"""Feature extractors for distribution distances and perceptual losses: one protocol, and what fulfils it.

A pretrained network always comes from a file that is named together with its SHA-256. What is not pretrained says so
in its name, and never stands in for a missing file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch.nn import functional

from ..errors import InputError
from ..io.files import sha256_of_file


@runtime_checkable
class FeatureExtractor(Protocol):
    """Single-channel images to feature vectors.

    Attributes:
        name: for reports; says whether the network was pretrained, and on what.
        sha256: fingerprint of the weights.
        spatial_dims: 2 for images, 3 for volumes, None where it takes either.
        num_features: F, or None where it is not known before the first call.
    """

    name: str
    sha256: str
    spatial_dims: int | None
    num_features: int | None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y) or (B, 1, X, Y, Z), on a stated scale of which [0, 1] is shown, to (B, F), float32."""
        ...


def load_torchscript(path: str | Path, sha256: str, device: str | torch.device = "cpu") -> torch.jit.ScriptModule:
    """Load a TorchScript network after checking its file against the expected hash.

    Raises:
        InputError: no file, or another file than the one meant.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such network file; put it there, or switch the term that needs it off")
    found = sha256_of_file(path)
    if found != sha256:
        raise InputError(f"{path}: SHA-256 is {found}, {sha256} was expected; this is another file than the one meant")
    network = torch.jit.load(str(path), map_location=device).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


class TorchScriptFeatures:
    """A pretrained network in TorchScript form; feature maps are averaged over space.

    Args:
        path, sha256: the file and its hash.
        name: what the network is and on which data it was trained.
        channels: how many equal copies of the single channel it expects.
        spatial_dims: 2 or 3 where it is known.
    """

    def __init__(
        self,
        path: str,
        sha256: str,
        name: str,
        channels: int = 1,
        device: str | torch.device = "cpu",
        spatial_dims: int | None = None,
    ) -> None:
        self.network = load_torchscript(path, sha256, device)
        self.name, self.sha256, self.channels, self.device = name, sha256, channels, device
        self.spatial_dims, self.num_features = spatial_dims, None

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        repeats = [1, self.channels] + [1] * (images.ndim - 2)
        features = self.network(images.float().to(self.device).repeat(*repeats))
        features = (features.flatten(2).mean(-1) if features.ndim > 2 else features).float().cpu()
        self.num_features = features.shape[1]
        return features


class RandomConvolutionFeatures:
    """Seeded random convolutions: not pretrained, and named as such.

    Random filters with rectification keep enough of texture and shape to tell distributions of like images apart, need
    no file and give the same figures everywhere. Their distances mean nothing beside those of a pretrained network.

    Args:
        spatial_dims: 2 or 3.
        channels: width at each level; each level halves the image. Features are mean and deviation of the last level.
        seed: of the filters.
    """

    def __init__(self, spatial_dims: int = 3, channels: Sequence[int] = (8, 16, 16), seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.convolve = functional.conv3d if spatial_dims == 3 else functional.conv2d
        self.filters = []
        before = 1
        for after in channels:
            weight = torch.randn(after, before, *[3] * spatial_dims, generator=generator)
            self.filters.append(weight / (before * 3**spatial_dims) ** 0.5)
            before = after
        self.name = f"random convolutions {spatial_dims}D, seed {seed} (not pretrained)"
        self.spatial_dims, self.num_features = spatial_dims, 2 * before
        self.sha256 = hashlib.sha256(b"".join(f.numpy().tobytes() for f in self.filters)).hexdigest()

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        features = images.float().cpu()
        for weight in self.filters:
            features = functional.leaky_relu(self.convolve(features, weight, stride=2, padding=1), 0.1)
        flat = features.flatten(2)
        return torch.cat([flat.mean(-1), flat.std(-1)], dim=1)
