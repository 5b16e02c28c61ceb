"""Reconstruction loss of paired translation, every weight an argument."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from ..metrics.features import load_torchscript

logger = logging.getLogger(__name__)


class FeatureTerm(nn.Module):
    """Weighted mean absolute differences of a pretrained network's feature maps, as pix2pixHD uses VGG19.

    Args:
        path, sha256: TorchScript network from (B, 3, H, W) to a list of feature maps.
        level_weights: one for each map; the original's for relu1_1, 2_1, 3_1, 4_1, 5_1.
    """

    def __init__(
        self, path: str, sha256: str, level_weights: Sequence[float] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    ) -> None:
        super().__init__()
        self.network = [load_torchscript(path, sha256)]  # in a list: not part of any state or optimiser
        self.level_weights = tuple(level_weights)

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar; three channels are seen as the colours of one picture, any other number one at a time."""
        network = self.network[0].to(prediction.device)
        if prediction.shape[1] != 3:
            prediction, target = (part.flatten(0, 1)[:, None].expand(-1, 3, -1, -1) for part in (prediction, target))
        with torch.no_grad():
            wanted = network(target)
        levels = zip(self.level_weights, network(prediction), wanted, strict=True)
        return sum(weight * functional.l1_loss(found, real) for weight, found, real in levels)


def feature_term(path: str | None, sha256: str | None) -> FeatureTerm | None:
    """The term where a network file is named, None where not."""
    return None if path is None else FeatureTerm(path, str(sha256))


class TranslationLoss(nn.Module):
    """L1 of phases and of their differences, with tumours weighted, and perceptual; terms of weight 0 are left out.

    Args:
        l1: weight of the mean absolute error of the image; 0 in the paper, which leaves it to the discriminator.
        tumor_weight: weight of tumour pixels in it, against 1 elsewhere. Small lesions otherwise vanish in the mean.
        kinetics: weight of the same error of the differences between successive phases, which tells wash-out from
            persistent enhancement; ours.
        perceptual: weight of `feature_network`, which is off, and said to be, where no file is given.
        feature_network: see `FeatureTerm`.
    """

    def __init__(
        self,
        l1: float = 1.0,
        tumor_weight: float = 1.0,
        kinetics: float = 0.0,
        perceptual: float = 0.0,
        feature_network: FeatureTerm | None = None,
    ) -> None:
        super().__init__()
        self.l1, self.tumor_weight, self.kinetics = l1, tumor_weight, kinetics
        self.perceptual, self.feature_network = perceptual, feature_network
        if feature_network is None:
            self.perceptual = 0.0
            logger.info("the perceptual term is off: no network file is given (perceptual_file)")

    def forward(self, prediction: torch.Tensor, target: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weighted terms by name, each a scalar.

        Args:
            prediction: (B, C, H, W).
            target: phases (B, C, H, W) and tumour mask (B, 1, H, W).
        """
        phases, mask = target
        prediction = prediction.float()
        terms = {}
        emphasis = torch.where(mask > 0, self.tumor_weight, 1.0)
        if self.l1:
            terms["l1"] = self.l1 * (emphasis * (prediction - phases).abs()).mean()
        if self.kinetics and phases.shape[1] > 1:
            difference = prediction.diff(dim=1) - phases.diff(dim=1)
            terms["kinetics"] = self.kinetics * (emphasis * difference.abs()).mean()
        if self.perceptual:
            terms["perceptual"] = self.perceptual * self.feature_network(prediction, phases)
        return terms
