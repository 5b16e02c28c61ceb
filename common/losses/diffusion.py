"""Error of a denoiser's prediction, with more weight on regions of interest."""

from __future__ import annotations

import torch
from torch import nn

from ..knobs import check_choice


class WeightedLoss(nn.Module):
    """Mean of weight times absolute or squared error.

    Args:
        kind: `l1` or `l2`.
    """

    def __init__(self, kind: str = "l2") -> None:
        super().__init__()
        check_choice("loss_kind", kind, ("l1", "l2"))
        self.kind = kind

    def forward(self, prediction: torch.Tensor, target: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Prediction and target (B, L, *grid), weight (B, 1, *grid): `target` is the pair of both; a scalar."""
        wanted, weight = target
        difference = prediction - wanted
        error = difference.abs() if self.kind == "l1" else difference.square()
        return (weight * error).mean()
