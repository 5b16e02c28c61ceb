"""LPIPS as a metric: from published files or TorchScript, always by hash; without them it is not computed."""

from __future__ import annotations

import torch

from ..networks.lpips import load_heads, load_lpips
from ..networks.published_weights import is_torchscript
from .features import load_torchscript
from .weight_sources import find_weights

HEADS = {"alex": "lpips_alex", "vgg16": "lpips_vgg16"}


class LearnedDistance:
    """LPIPS (Zhang et al. 2018) of pairs of images.

    Args:
        path: TorchScript of the whole network, from two batches (B, 3, H, W) on [-1, 1] to distances (B, ...); or the
            state dict of its backbone, torchvision's AlexNet or VGG-16.
        sha256: of `path`; None where it is one of the files of `weights.yml`, whose hashes are known.
        heads: state dict of the linear heads (version 0.1), for a backbone; None for that of `weights.yml`.
        heads_sha256: of `heads`, likewise.
        device: where it runs.
        batch: pairs at a time.

    Raises:
        InputError: a missing file, or another than the one meant.

    Attributes:
        name: for reports.
        sha256: of the file, or of backbone and heads joined by "+".
    """

    def __init__(
        self,
        path: str,
        sha256: str | None = None,
        heads: str | None = None,
        heads_sha256: str | None = None,
        device: str | torch.device = "cpu",
        batch: int = 16,
    ) -> None:
        self.device, self.batch = device, batch
        _, found = find_weights("lpips_backbone", path, sha256)
        if is_torchscript(path):
            self.network = load_torchscript(path, found, device)
            self.name, self.sha256 = "LPIPS (TorchScript)", found
            return
        network = load_lpips(path)
        place, found_heads = find_weights(HEADS[network.kind], heads, heads_sha256)
        self.network = load_heads(network, place).to(device)
        self.name, self.sha256 = f"LPIPS 0.1 ({network.kind})", f"{found}+{found_heads}"

    @torch.no_grad()
    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) twice, on [0, 1], to (B,), float32; of volumes (B, 1, X, Y, Z) the mean over axial slices."""
        if first.ndim == 5:
            count, depth = first.shape[0], first.shape[-1]
            pair = (volume.movedim(-1, 1).flatten(0, 1) for volume in (first, second))
            return self(*pair).view(count, depth).mean(1)
        values = []
        for start in range(0, len(first), self.batch):
            pair = (images[start : start + self.batch] for images in (first, second))
            pair = ((2 * images.float() - 1).expand(-1, 3, -1, -1).to(self.device) for images in pair)
            found = self.network(*pair)
            values.append(found.reshape(len(found), -1).mean(1).float().cpu())
        return torch.cat(values)


def learned_distance(path: str | None, sha256: str | None, device: str = "cpu") -> LearnedDistance | None:
    """The distance where a network file is named, None where not."""
    return None if path is None else LearnedDistance(path, sha256, device=device)
