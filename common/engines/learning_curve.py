"""The learning curve of a training as a table: one row an epoch, in `learning_curve.csv`."""

from __future__ import annotations

import csv
import io
import math
import time
from collections import defaultdict
from typing import Any

from ignite.engine import Engine, Events

from ..errors import InputError
from ..io.files import write_text
from ..knobs import as_path
from ..outputs import LEARNING_CURVE


class LearningCurve:
    """Handler: mean loss, mean of each named loss term, the validator's metrics and the seconds of every epoch.

    Rows of a continued run follow those of the run before; rows after the checkpoint's epoch are written anew.

    Args:
        output_dir: folder of `learning_curve.csv`.
        validator: evaluator whose metrics are added where it has run.
        rank: only rank 0 writes.
    """

    def __init__(self, output_dir: str, validator: Engine | None = None, rank: int = 0) -> None:
        self.path = as_path(output_dir) / LEARNING_CURVE
        self.validator, self.rank = validator, rank
        self.sums: dict[str, float] = defaultdict(float)
        self.count, self.started = 0, 0.0

    def attach(self, engine: Engine) -> None:
        """Collect at each iteration, write at epoch ends."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.sums.clear()
        self.count, self.started = 0, time.monotonic()

    def _collect(self, engine: Engine) -> None:
        output = engine.state.output
        output = output[0] if isinstance(output, list) else output
        loss = float(output["loss"])
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} in epoch {engine.state.epoch}: lower --learning_rate or use --precision fp32; "
                "the last epoch's checkpoint is kept"
            )
        self.count += 1
        self.sums["loss"] += loss
        for name, value in output.get("terms", {}).items():
            self.sums[name] += value

    def _write(self, engine: Engine) -> None:
        if self.rank != 0:
            return
        epoch = engine.state.epoch
        row: dict[str, Any] = {"epoch": epoch, "seconds": round(time.monotonic() - self.started, 1)}
        row |= {name: f"{value / max(self.count, 1):.6g}" for name, value in self.sums.items()}
        if self.validator is not None and self.validator.state.epoch == epoch:
            row |= {name: f"{float(value):.6g}" for name, value in self.validator.state.metrics.items()}
        rows = [old for old in self._read() if int(old["epoch"]) < epoch] + [row]
        columns = list(dict.fromkeys(name for entry in rows for name in entry))
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, stream.getvalue())

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
