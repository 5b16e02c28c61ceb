"""Generator and discriminator losses of the first stage, every weight an argument."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from ..metrics.features import load_torchscript
from ..metrics.ssim import ssim_terms

logger = logging.getLogger(__name__)


class PerceptualTerm(nn.Module):
    """Distance of a pretrained network's features, one contrast at a time.

    Args:
        path, sha256: TorchScript network from (B, c, ...) to a tensor or a list of tensors; see `docs/README.md`.
        channels: how many equal copies of a contrast it expects.
        slices: for a two-dimensional network, how many axial slices a volume contributes.
    """

    def __init__(self, path: str, sha256: str, channels: int = 1, slices: int | None = None) -> None:
        super().__init__()
        self.network = [load_torchscript(path, sha256)]  # in a list: not part of any state or optimiser
        self.channels, self.slices = channels, slices

    def forward(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Mean squared difference of the unit-length features of two (B, C, X, Y, Z) volumes."""
        network = self.network[0].to(image.device)
        terms = []
        for first, second in zip(reconstruction.split(1, 1), image.split(1, 1), strict=True):
            if self.slices is not None:
                step = max(1, image.shape[-1] // self.slices)
                first, second = (v[..., step // 2 :: step].movedim(-1, 1).flatten(0, 1) for v in (first, second))
            repeats = [1, self.channels] + [1] * (first.ndim - 2)
            pairs = [network(v.repeat(*repeats)) for v in (first, second)]
            levels = zip(*[p if isinstance(p, (list, tuple)) else [p] for p in pairs], strict=True)
            terms += [
                functional.mse_loss(functional.normalize(a, dim=1), functional.normalize(b, dim=1)) for a, b in levels
            ]
        return torch.stack(terms).mean()


class AutoencoderLoss(nn.Module):
    """L1 + L2 + SSIM + KL + perceptual, as a weighted sum; a term of weight 0 is not computed.

    Args:
        l1, l2, ssim, kl, perceptual: weights. L2 is ours (weight 0 in the paper's recipe).
        ssim_range: data range of the SSIM term in the image's units; MONAI's default of 1 is wrong for z-scores.
        ssim_window, ssim_crop: window, and edge of the random crop on which SSIM is computed (None: whole volume).
        region_weights: pixel weight per canonical mask value (1 necrosis, 2 oedema, 3 enhancing, 4 whole); brain and
            background have 1. Small structures otherwise vanish in the mean.
        perceptual_network: see `PerceptualTerm`; None switches the term off, which is logged.
    """

    def __init__(
        self,
        l1: float = 1.0,
        l2: float = 0.0,
        ssim: float = 1.0,
        kl: float = 1e-7,
        perceptual: float = 0.0,
        ssim_range: float = 8.0,
        ssim_window: int = 7,
        ssim_crop: int | None = None,
        region_weights: Mapping[str, float] | None = None,
        perceptual_network: PerceptualTerm | None = None,
    ) -> None:
        super().__init__()
        self.weights = {"l1": l1, "l2": l2, "ssim": ssim, "kl": kl, "perceptual": perceptual}
        self.ssim_range, self.ssim_window, self.ssim_crop = ssim_range, ssim_window, ssim_crop
        self.region_weights = {int(k): float(v) for k, v in (region_weights or {}).items()}
        self.perceptual_network = perceptual_network
        if perceptual_network is None:
            self.weights["perceptual"] = 0.0
            logger.info("the perceptual term is off: no network file is given (perceptual_file)")

    def forward(
        self,
        prediction: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        target: tuple[torch.Tensor, torch.Tensor | None],
    ) -> dict[str, torch.Tensor]:
        """Weighted terms by name, each a scalar; their sum is the loss.

        Args:
            prediction: reconstruction (B, C, X, Y, Z), latent mean and standard deviation (B, L, x, y, z).
            target: image, and the canonical regions (B, 1, X, Y, Z) for `region_weights` or None.
        """
        reconstruction, mean, std = (part.float() for part in prediction)
        image, mask = target
        difference = reconstruction - image
        emphasis = self._emphasis(mask, image)
        terms = {
            "l1": lambda: (emphasis * difference.abs()).mean(),
            "l2": lambda: (emphasis * difference.square()).mean(),
            "ssim": lambda: self._ssim(reconstruction, image),
            "kl": lambda: kl_divergence(mean, std),
            "perceptual": lambda: self.perceptual_network(reconstruction, image),
        }
        return {name: self.weights[name] * term() for name, term in terms.items() if self.weights[name]}

    def _emphasis(self, mask: torch.Tensor | None, image: torch.Tensor) -> torch.Tensor:
        emphasis = torch.ones_like(image[:, :1])
        if mask is not None:
            for value, weight in self.region_weights.items():
                emphasis = torch.where(mask == value, weight, emphasis)
        return emphasis

    def _ssim(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        if self.ssim_crop is not None:
            window: Sequence[slice] = [slice(None)] * 2
            for side in image.shape[2:]:
                edge = min(side, self.ssim_crop)
                start = int(torch.randint(0, side - edge + 1, ()))
                window = [*window, slice(start, start + edge)]
            reconstruction, image = reconstruction[tuple(window)], image[tuple(window)]
        return 1 - ssim_terms(reconstruction, image, self.ssim_range, self.ssim_window)[0].mean()


def kl_divergence(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Divergence of N(mean, std) from N(0, 1), averaged over latent elements, so that its weight fits any grid."""
    variance = std.square().clamp(min=1e-12)
    return 0.5 * (mean.square() + variance - variance.log() - 1).mean()


def perceptual_term(
    path: str | None, sha256: str | None, channels: int = 1, slices: int | None = None
) -> PerceptualTerm | None:
    """The perceptual term where a network file is named, None where not; see `PerceptualTerm`."""
    return None if path is None else PerceptualTerm(path, str(sha256), channels, slices)
