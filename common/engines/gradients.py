"""Gradient clipping as a handler."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn


class ClipGradients:
    """Handler of a trainer: bound the norm of all gradients together before the optimiser's step.

    Args:
        parameters: what is trained.
        norm: largest norm; 0 clips nothing.
        every: batches whose gradients are accumulated before a step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], norm: float, every: int = 1) -> None:
        self.parameters, self.norm, self.every = list(parameters), float(norm), int(every)

    def attach(self, engine: Engine) -> None:
        """Run after each backward pass that a step follows."""
        if self.norm > 0:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
        if done % self.every == 0 or done == engine.state.epoch_length:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.norm)
