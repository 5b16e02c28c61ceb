"""Exponential moving average of weights, by ignite, in a form that configs can list among the handlers."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from ..errors import InputError
from .gradients import is_step


class UpdateEma:
    """Handler: attach an ignite `EMAHandler` that other parts of the config (checkpoint, export) refer to as well.

    Args:
        ema: the handler; its `momentum` is the share of the new weights, 1 minus the usual decay.
        every: batches whose gradients are accumulated before a step; weights that did not move are not averaged.
    """

    def __init__(self, ema: EMAHandler, every: int = 1) -> None:
        self.ema, self.every = ema, int(every)

    def attach(self, engine: Engine) -> None:
        """Average after each step of the optimiser."""
        self.ema.attach(engine, warn_if_exists=False, event=Events.ITERATION_COMPLETED(event_filter=self._is_step))

    def _is_step(self, engine: Engine, event: int) -> bool:
        return is_step(engine, self.every)


class CurrentWeights:
    """In place of an `EMAHandler` where nothing is averaged: the model itself.

    Args:
        model: becomes `ema_model`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ema_model = model

    def attach(self, engine: Engine, warn_if_exists: bool = True, event: Any = None) -> None:
        """Nothing to do."""


class WarmupEma(EMAHandler):
    """`EMAHandler` whose decay grows with the iterations, or that averages a part of the model only.

    At iteration n (1, 2, ...) the decay is min(`decay`, (1 + n) / (10 + n)), as in the latent-diffusion code. n is the
    engine's count, which a resumed training takes up again, so there is no further state to be saved.

    Args:
        model: `ema_model` becomes a copy of it.
        decay: final share of the old weights, above 0 and below 1.
        warmup: let the decay grow, else it is constant.
        only: name of the submodule that is averaged; all other weights are the current ones. None: everything.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True, only: str | None = None) -> None:
        super().__init__(model, momentum=1 - decay)
        self.decay, self.warmup, self.only = decay, warmup, only

    def attach(
        self, engine: Engine, name: str = "ema_momentum", warn_if_exists: bool = True, event: Any = None
    ) -> None:
        """Average after each iteration, or at another event; arguments as of `EMAHandler`."""
        event = Events.ITERATION_COMPLETED if event is None else event
        if self.warmup:
            engine.add_event_handler(event, self._set_momentum, name)  # before the update that uses it
        super().attach(engine, name, warn_if_exists, event)
        if self.only is not None:
            engine.add_event_handler(event, self._follow)

    def _set_momentum(self, engine: Engine, name: str) -> None:
        iteration = engine.state.iteration
        setattr(engine.state, name, 1 - min(self.decay, (1 + iteration) / (10 + iteration)))

    @torch.no_grad()
    def _follow(self, engine: Engine) -> None:
        current = dict(self.model.named_parameters())
        for name, parameter in self.ema_model.named_parameters():
            if not name.startswith(f"{self.only}."):
                parameter.copy_(current[name])


def make_ema(
    model: nn.Module, decay: float, warmup: bool = False, only: str | None = None
) -> EMAHandler | CurrentWeights:
    """An average of a model's weights, with `attach` and `ema_model`.

    Args:
        model: not wrapped for distributed training.
        decay: share of the old weights at each iteration; 0 averages nothing.
        warmup, only: see `WarmupEma`; without them this is ignite's handler. Buffers are copied in any case.

    Raises:
        InputError: a decay out of range, or no such submodule.
    """
    if not 0 <= decay < 1:
        raise InputError(f"ema_decay={decay}: give 0 (no average) or a number below 1")
    if only is not None and only not in dict(model.named_children()):
        parts = ", ".join(name for name, _ in model.named_children())
        raise InputError(f"ema_only={only}: the network has no such part, it has {parts}")
    if decay == 0:
        return CurrentWeights(model)
    if warmup or only is not None:
        return WarmupEma(model, decay, warmup, only)
    return EMAHandler(model, momentum=1 - decay)
