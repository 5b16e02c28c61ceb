"""Optimisers by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)


def make_optimizer(
    params: Iterable[nn.Parameter], kind: str = "adamw", lr: float = 1e-3, weight_decay: float = 0.01
) -> Any:
    """An optimiser.

    Args:
        params: what is trained.
        kind: `adamw`; `adamw8bit`, of bitsandbytes, on CUDA, and where that is missing `adamw`, which is logged;
            `adafactor`, whose state is a small share of the weights' size, for machines of little memory.
        lr: learning rate.
        weight_decay: decoupled.
    """
    if kind == "adamw8bit":
        try:
            from bitsandbytes.optim import AdamW8bit

            if torch.cuda.is_available():
                return AdamW8bit(params, lr=lr, weight_decay=weight_decay)
        except ImportError:
            pass
        logger.warning("optimizer_kind=adamw8bit: bitsandbytes or CUDA is missing; AdamW in full precision is used")
    if kind == "adafactor":
        return torch.optim.Adafactor(params, lr=lr, weight_decay=weight_decay)
    return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay)
