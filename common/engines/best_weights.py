"""The weights of the best validation so far, which survive a killed run and are what is exported in the end."""

from __future__ import annotations

import copy
from typing import Any

from ignite.engine import Engine, Events
from torch import nn


class BestWeights:
    """A copy of a model's weights at its lowest validation metric, in the form that checkpoints and exports take.

    Args:
        model: whose weights are kept; what is validated and what is kept may differ (EMA or not).
        metric: name among the evaluator's metrics; lower is better.

    Until the first validation, the model's current weights stand in.
    """

    def __init__(self, model: nn.Module, metric: str) -> None:
        self.model, self.metric = model, metric
        self.kept: dict[str, Any] | None = None
        self.value, self.epoch = float("inf"), 0

    def offer(self, value: float, epoch: int) -> None:
        """Keep the model's weights if they are better than those kept."""
        if value < self.value:
            self.value, self.epoch = value, epoch
            self.kept = copy.deepcopy({k: v.detach().cpu() for k, v in self.model.state_dict().items()})

    def weights(self) -> dict[str, Any]:
        """The state to export: the best one, or the current one where nothing was validated."""
        return self.model.state_dict() if self.kept is None else self.kept

    def describe(self) -> str:
        """Which weights `weights` are, in words."""
        if self.kept is None:
            return "never validated: the last weights are taken"
        return f"chosen: epoch {self.epoch}, {self.metric} {self.value:.4g}"

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"value": self.value, "epoch": self.epoch, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.value, self.epoch, self.kept = state["value"], state["epoch"], state["kept"]


class KeepBest:
    """Handler of an evaluator: offers the weights after each validation.

    Args:
        best: see `BestWeights`.
    """

    def __init__(self, best: BestWeights) -> None:
        self.best = best

    def attach(self, engine: Engine) -> None:
        """Run at `COMPLETED`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.best.offer(float(engine.state.metrics[self.best.metric]), int(engine.state.epoch))
