"""Exponential moving average of weights, by ignite, in a form that configs can list among the handlers."""

from __future__ import annotations

from ignite.engine import Engine
from ignite.handlers import EMAHandler


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
