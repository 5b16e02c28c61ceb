"""Exponential moving average of weights, by ignite, in a form that configs can list among the handlers."""

from __future__ import annotations

from ignite.engine import Engine
from ignite.handlers import EMAHandler
from torch import nn


class UpdateEma:
    """Handler: attach an ignite `EMAHandler` that other parts of the config (checkpoint, export) refer to as well.

    Args:
        ema: the handler; its `momentum` is the share of the new weights, 1 minus the usual decay.
    """

    def __init__(self, ema: EMAHandler) -> None:
        self.ema = ema

    def attach(self, engine: Engine) -> None:
        """Average after each iteration."""
        self.ema.attach(engine, warn_if_exists=False)


class CurrentWeights:
    """In place of an `EMAHandler` where nothing is averaged: the model itself.

    Args:
        model: becomes `ema_model`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ema_model = model

    def attach(self, engine: Engine, warn_if_exists: bool = True) -> None:
        """Nothing to do."""


def optional_ema(model: nn.Module, decay: float) -> EMAHandler | CurrentWeights:
    """An average of a model's weights with the usual decay, or, at decay 0, the weights as they are."""
    return EMAHandler(model, momentum=1 - decay) if decay > 0 else CurrentWeights(model)
