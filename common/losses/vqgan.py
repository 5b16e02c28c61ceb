"""Losses of a VQ-GAN and its discriminator, every weight an argument."""

from __future__ import annotations

import logging

import torch
from torch import nn

from ..metrics.features import load_torchscript

logger = logging.getLogger(__name__)


class LpipsTerm(nn.Module):
    """LPIPS (Zhang et al. 2018) by a network file, differentiable in its first argument.

    Args:
        path, sha256: TorchScript of the whole LPIPS network: two batches (B, 3, H, W) in [-1, 1] to distances (B, ...).
    """

    def __init__(self, path: str, sha256: str) -> None:
        super().__init__()
        self.network = [load_torchscript(path, sha256)]  # in a list: not part of any state or optimiser

    def forward(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Mean distance of (B, 1, X, Y) images in [-1, 1], shown to the network as three equal channels."""
        network = self.network[0].to(image.device)
        return network(*(part.expand(-1, 3, -1, -1) for part in (reconstruction, image))).mean()


def lpips_term(path: str | None, sha256: str | None) -> LpipsTerm | None:
    """The term where a network file is named, None where not."""
    return None if path is None else LpipsTerm(path, str(sha256))


class VqganLoss(nn.Module):
    """L1 + codebook + perceptual, as a weighted sum; a term of weight 0 is not computed.

    The paper (through its latent-diffusion code) weighs each of the three with 1.

    Args:
        l1: weight of the mean absolute error.
        codebook: weight of the quantiser's loss.
        perceptual: weight of `lpips`, which is off, and said to be, where no file is given.
        lpips: see `LpipsTerm`.
        lesion_weight: weight of a lesion's pixels in the mean absolute error, against 1 elsewhere; 1 in the paper.
            Small lesions otherwise vanish in the mean.
    """

    def __init__(
        self,
        l1: float = 1.0,
        codebook: float = 1.0,
        perceptual: float = 0.0,
        lpips: LpipsTerm | None = None,
        lesion_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.l1, self.codebook, self.perceptual, self.lesion_weight = l1, codebook, perceptual, lesion_weight
        self.lpips = lpips
        if lpips is None:
            self.perceptual = 0.0
            logger.info("the perceptual term (LPIPS) is off: no network file is given (lpips_file)")

    def forward(
        self,
        prediction: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        target: tuple[torch.Tensor, torch.Tensor | None],
    ) -> dict[str, torch.Tensor]:
        """Weighted terms by name (`l1`, `codebook`, `perceptual`), each a scalar; their sum is the loss.

        Args:
            prediction: reconstruction (B, C, X, Y), codebook loss and indices, from `VQGAN.forward`.
            target: image (B, C, X, Y), and class map (B, 1, X, Y), above 0 in lesions, or None.
        """
        reconstruction, codebook_loss, _ = prediction
        image, mask = target
        reconstruction = reconstruction.float()
        terms = {}
        if self.l1:
            error = (reconstruction - image).abs()
            if mask is not None:
                error = torch.where(mask > 0, self.lesion_weight, 1.0) * error
            terms["l1"] = self.l1 * error.mean()
        if self.codebook:
            terms["codebook"] = self.codebook * codebook_loss
        if self.perceptual:
            terms["perceptual"] = self.perceptual * self.lpips(reconstruction, image)
        return terms


class HingeLoss(nn.Module):
    """Hinge loss on raw logits for the discriminator, their negative mean for the generator (Lim and Ye 2017).

    MONAI's `PatchAdversarialLoss("hinge")` bounds the logits by a tanh and gives the generator a hinge too.
    """

    def forward(self, logits: torch.Tensor, target_is_real: bool, for_discriminator: bool) -> torch.Tensor:
        """Scalar loss of logits of any shape; halving the discriminator's two parts is left to the trainer.

        Args:
            logits: the discriminator's.
            target_is_real: whether they judge real images; of no effect on the generator, which wants to pass as real.
            for_discriminator: whose loss.
        """
        if not for_discriminator:
            return -logits.mean()
        return torch.relu(1 - logits if target_is_real else 1 + logits).mean()
