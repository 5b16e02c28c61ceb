"""Accumulated gradients: when a step follows, and clipping as a handler."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn


def is_step(engine: Engine, every: int) -> bool:
    """Whether MONAI's trainer lets the optimiser step in the current iteration.

    Args:
        engine: within an iteration, or at its end.
        every: batches whose gradients are accumulated; an epoch's last ones may be fewer.
    """
    if every == 1:
        return True
    done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return done % every == 0 or done == engine.state.epoch_length


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
        if is_step(engine, self.every):
            torch.nn.utils.clip_grad_norm_(self.parameters, self.norm)
