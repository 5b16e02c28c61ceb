"""A progress bar an epoch, by ignite."""

from __future__ import annotations

from ignite.engine import Engine
from ignite.handlers.tqdm_logger import ProgressBar


class EpochProgress:
    """Handler: bar with the running loss of each epoch.

    Args:
        rank: only rank 0 shows it.
    """

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        """Attach ignite's `ProgressBar`."""
        if self.rank == 0:
            ProgressBar(mininterval=1.0).attach(engine, output_transform=_loss)


def _loss(output: list | dict) -> dict[str, float]:
    first = output[0] if isinstance(output, list) else output
    return {"loss": float(first["loss"])}
