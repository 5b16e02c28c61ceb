"""Feature extractors by name: pretrained networks from files, and random convolutions for who asks for them.

Images come as (B, 1, ...) on a stated scale, of which [0, 1] is shown to the network; each extractor brings them into
the form that its network was trained on, and takes batches of any size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import InputError
from ..networks.fid_inception import LAYERS, FidInception
from ..networks.medicalnet import load_medicalnet, standardize_volumes
from ..networks.published_weights import fill_frozen, is_torchscript, read_published
from ..networks.radimagenet import load_radimagenet, subtract_means
from .features import FeatureExtractor, RandomConvolutionFeatures, TorchScriptFeatures, load_torchscript
from .weight_sources import find_weights

NAMES = ("inception", "radimagenet", "medicalnet", "torchscript", "random")


class PretrainedFeatures(ABC):
    """What the extractors below share: checks, parts of a batch, averages over space, full precision on any device.

    Attributes:
        name, sha256, spatial_dims, num_features: see `FeatureExtractor`.
        layer: the number of features that was asked for, or None.
    """

    name: str
    sha256: str
    spatial_dims: int
    batch: int
    layer: int | None = None
    num_features: int | None = None
    network: torch.nn.Module
    device: str | torch.device

    @abstractmethod
    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, ...) on [0, 1] to what the network takes."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Prepared images to feature vectors, or to maps, which are averaged over space."""
        return self.network(images)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, ...) to (B, F), float32, on the CPU."""
        if images.ndim != self.spatial_dims + 2 or images.shape[1] != 1:
            raise InputError(
                f"{self.name}: takes (B, 1, {'X, Y, Z' if self.spatial_dims == 3 else 'X, Y'}), "
                f"these images are {tuple(images.shape)}; choose an extractor of their dimensions, or take slices"
            )
        parts = []
        # TF32 would change features by about 1e-3 between devices.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            for part in images.split(self.batch):
                found = self.features(self.prepare(part.float().to(self.device)))
                parts.append((found.flatten(2).mean(-1) if found.ndim > 2 else found).float().cpu())
        features = torch.cat(parts)
        if self.layer is not None and features.shape[1] != self.layer:
            raise InputError(f"{self.name}: gives {features.shape[1]} features, layer {self.layer} was asked for")
        self.num_features = features.shape[1]
        return features


class InceptionFeatures(PretrainedFeatures):
    """The network of the original FID (Heusel et al. 2017), trained on photographs (ImageNet).

    Images are rounded to the 8 bits that it takes, as other FID software does, and repeated to three channels.

    Args:
        path: state dict in pytorch-fid's and torch-fidelity's layout; or TorchScript, either StyleGAN's or any from
            (B, 3, H, W), 0 to 255, to features. None for the default of `weights.yml`.
        sha256: of the file; see `find_weights`.
        layer: 64, 192, 768 or 2048 (default); of a TorchScript file the number of features it must give.
        device: where it runs.

    Raises:
        InputError: as `find_weights` and `read_published`, or an unknown layer.
    """

    spatial_dims = 2
    batch = 16

    def __init__(
        self,
        path: str | Path | None = None,
        sha256: str | None = None,
        layer: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if layer is not None and layer not in LAYERS:
            raise InputError(f"layer {layer}: Inception has the layers {', '.join(map(str, LAYERS))}")
        place, self.sha256 = find_weights("inception", path, sha256)
        self.device, self.layer, self.of_stylegan = device, layer, False
        kind = f"layer {layer or 2048}"
        if is_torchscript(place):
            self.network = load_torchscript(place, self.sha256, device)
            self.of_stylegan = "return_features" in {a.name for a in self.network.forward.schema.arguments}
            kind = "TorchScript" if layer is None else f"TorchScript, layer {layer}"
        else:
            self.network = fill_frozen(FidInception(layer or 2048), read_published(place), place).to(device)
            self.num_features = layer or 2048
        self.name = f"Inception-v3 (pretrained on ImageNet, the original FID network, {kind})"

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) on [0, 1] to (B, 3, H, W), whole numbers 0 to 255."""
        return (images.clamp(0, 1) * 255).round().repeat(1, 3, 1, 1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """As the base class; StyleGAN's file takes bytes and has to be asked for features."""
        return self.network(images.to(torch.uint8), return_features=True) if self.of_stylegan else self.network(images)


class RadImageNetFeatures(PretrainedFeatures):
    """ResNet-50 trained on CT, MRI and ultrasound (RadImageNet, Mei et al. 2022); its last map averaged over space.

    Args:
        path: either published state dict (see `load_radimagenet`), or TorchScript from images that `subtract_means`
            prepared to a feature map. None for the default of `weights.yml`.
        sha256: of the file; see `find_weights`.
        device: where it runs.

    Raises:
        InputError: as `find_weights` and `load_radimagenet`.
    """

    spatial_dims = 2
    batch = 16

    def __init__(
        self, path: str | Path | None = None, sha256: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        place, self.sha256 = find_weights("radimagenet", path, sha256)
        self.device = device
        self._prepare: Callable[[torch.Tensor], torch.Tensor] = subtract_means
        if is_torchscript(place):
            self.network, kind = load_torchscript(place, self.sha256, device), "TorchScript"
        else:
            network, self._prepare = load_radimagenet(place)
            self.network, self.num_features = network.to(device), network.num_features
            kind = "MONAI's file" if self._prepare is subtract_means else "authors' PyTorch file"
        self.name = f"ResNet-50 (pretrained on RadImageNet, {kind})"

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """As `subtract_means` or `center_and_resize`."""
        return self._prepare(images)


class MedicalNetFeatures(PretrainedFeatures):
    """A 3D ResNet trained on medical segmentation (MedicalNet, Chen et al. 2019); its last map averaged over space.

    Each volume is standardised by its own mean and deviation, so that the features do not see its overall scale.

    Args:
        path: published state dict, or TorchScript from standardised volumes (B, 1, X, Y, Z) to a feature map. None for
            the default of `weights.yml`.
        sha256: of the file; see `find_weights`.
        device: where it runs.

    Raises:
        InputError: as `find_weights` and `load_medicalnet`.
    """

    spatial_dims = 3
    batch = 1

    def __init__(
        self, path: str | Path | None = None, sha256: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        place, self.sha256 = find_weights("medicalnet", path, sha256)
        self.device = device
        if is_torchscript(place):
            self.network, kind = load_torchscript(place, self.sha256, device), "TorchScript"
        else:
            network = load_medicalnet(place)
            self.network, self.num_features = network.to(device), network.num_features
            kind = f"{network.num_features} features"
        self.name = f"3D ResNet (pretrained on medical segmentation, MedicalNet, {kind})"

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """As `standardize_volumes`."""
        return standardize_volumes(images)


def load_extractor(
    name: str,
    path: str | Path | None = None,
    sha256: str | None = None,
    layer: int | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    spatial_dims: int | None = None,
    channels: int = 3,
) -> FeatureExtractor:
    """An extractor by name.

    Args:
        name: `inception`, `radimagenet` (both 2D), `medicalnet` (3D), `torchscript` (any network file), or `random`
            (not pretrained; only ever taken where it is asked for).
        path, sha256: weight file and its hash; both may be None where `weights.yml` knows them.
        layer: of Inception: 64, 192, 768 or 2048 (default).
        device: where it runs; random convolutions always run on the CPU.
        seed: of random convolutions.
        spatial_dims: of random convolutions (default 2) and, where known, of a TorchScript file.
        channels: of a TorchScript file: how many equal copies of the image it takes.

    Raises:
        InputError: unknown name, an argument that the extractor has no use for, or a file that is missing or not the
            one meant.
    """
    if name not in NAMES:
        raise InputError(f"extractor {name}: unknown; choose one of {', '.join(NAMES)}")
    if layer is not None and name != "inception":
        raise InputError(f"extractor {name}: has no layers to choose from; leave out layer {layer}")
    if name == "random":
        if path is not None:
            raise InputError(f"extractor random: takes no weight file; leave out {path} or name a pretrained extractor")
        return RandomConvolutionFeatures(spatial_dims or 2, seed=seed)
    if name == "torchscript":
        place, found = find_weights(name, path, sha256)
        return TorchScriptFeatures(str(place), found, f"TorchScript {place.name}", channels, device, spatial_dims)
    if name == "inception":
        return InceptionFeatures(path, sha256, layer, device)
    return {"radimagenet": RadImageNetFeatures, "medicalnet": MedicalNetFeatures}[name](path, sha256, device)
