"""nnU-Net's loss: Dice and cross-entropy at every resolution of the decoder, from MONAI's parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceCELoss
from torch import nn
from torch.nn import functional


class DeepSupervisedDiceCE(nn.Module):
    """Weighted sum over resolutions; each is worth half of the one above, the coarsest of several nothing, sum 1.

    Dice is taken over the batch and the foreground, in full precision whatever the logits are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def forward(self, logits: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Loss of logits (B, classes, Z, Y, X), or a list of them, finest first; target (B, 1, Z, Y, X), labels."""
        outputs = [logits] if isinstance(logits, torch.Tensor) else list(logits)
        weights = [0.5**level for level in range(len(outputs))]
        if len(weights) > 1:
            weights[-1] = 0.0
        total = sum(weights)
        loss = outputs[0].new_zeros((), dtype=torch.float32)
        for output, weight in zip(outputs, weights, strict=True):
            if weight:
                scaled = functional.interpolate(target.float(), output.shape[2:], mode="nearest")
                loss = loss + weight / total * self.loss(output.float(), scaled)
            else:
                # Distributed training waits for a gradient of every part, if only of 0.
                loss = loss + 0.0 * output.float().sum()
        return loss
