"""Which checkpoint of a training is the best, by SAMe over its validation metrics, as the paper chooses its model."""

from __future__ import annotations

import csv
import io
import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_atomically, write_json, write_text
from ..knobs import as_path, check_choice
from ..metrics.same import CANDIDATE, HIGHER, LOWER, scaled_aggregate
from ..outputs import CANDIDATE_METRICS, CANDIDATE_TRAINING, CANDIDATES, SAME
from ..weights import save_weights

PREFIX = "epoch_"

logger = logging.getLogger(__name__)


class SameSelection:
    """Handler: keeps a candidate every few epochs; when training is complete, the best one becomes the weights.

    Each candidate is `candidates/epoch_NNNN.pt` (half precision) and a row of `candidates/metrics.csv` with all of the
    validator's metrics. At the end `same.json` tells the scores, their parts and the scaling set, and the best file is
    copied to `path`. SAMe is relative: candidates whose file has been deleted, or whose metrics are not finite, are
    left out of the scaling set. With fewer than two there is nothing to compare, and the last epoch is written.

    Rows of a continued run follow those of the run before; what came after the checkpoint's epoch is made anew.

    Args:
        output_dir: folder of `candidates` and `same.json`.
        network: whose weights are kept, for example an EMA copy.
        validator: evaluator that runs after every epoch that is a candidate, by a handler listed before this one.
        metrics: names among the validator's metrics to `lower` or `higher`, whichever is better.
        path: file that the best candidate is copied to.
        interval: epochs between candidates.
        prefix: put before every key, where the network is a part of a composite one.
        fingerprint: knobs that tell one training from another.
        overwrite: replace candidates of another training in the folder.
        rank: only rank 0 writes.

    Raises:
        InputError: a candidate's epoch was not validated, the validator lacks a metric, or the folder holds candidates
            of another training.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        validator: Engine,
        metrics: Mapping[str, str],
        path: str,
        interval: int = 10,
        prefix: str = "",
        fingerprint: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        rank: int = 0,
    ) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise InputError(f"interval={interval}: give a whole number of epochs, at least 1")
        if not metrics:
            raise InputError("metrics={}: name at least one of the validator's metrics with lower or higher")
        for name, direction in metrics.items():
            check_choice(f"metrics {name}", direction, (LOWER, HIGHER))
        self.output_dir = make_output_dir(output_dir)
        self.folder = self.output_dir / CANDIDATES
        self.network, self.validator, self.metrics, self.path = network, validator, dict(metrics), as_path(path)
        self.interval, self.prefix, self.overwrite, self.rank = interval, prefix, overwrite, rank
        self.fingerprint = sha256_of_json(fingerprint or {})

    def attach(self, engine: Engine) -> None:
        """Drop what is out of date as an epoch starts, store when it has been validated, choose at `COMPLETED`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._drop_later)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self._store)
        engine.add_event_handler(Events.COMPLETED, self._choose)

    def _drop_later(self, engine: Engine) -> None:
        # As an epoch starts, and not at STARTED: there the epoch to continue from may not be restored yet.
        rows = self._read()
        later = [row for row in rows if _epoch(row) >= engine.state.epoch]
        if not later:
            return
        training = self.folder / CANDIDATE_TRAINING
        own = training.is_file() and training.read_text(encoding="utf-8").strip() == self.fingerprint
        if engine.state.epoch == 1 and not own and not self.overwrite:
            raise InputError(
                f"output_dir {self.output_dir}: holds the candidates of another training; choose another folder, or "
                "pass --overwrite True to replace them"
            )
        if self.rank == 0:
            self._write([row for row in rows if row not in later])
            for row in later:
                self._file(row).unlink(missing_ok=True)

    def _store(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if self.validator.state.epoch != epoch:
            raise InputError(
                f"epoch {epoch} is a candidate but was not validated: validate every {self.interval} epochs, by a "
                "handler that is listed before SameSelection"
            )
        found = self.validator.state.metrics
        missing = [name for name in self.metrics if name not in found]
        if missing:
            raise InputError(f"the validator has no metric {missing[0]}; it has {', '.join(found) or 'none'}")
        if self.rank != 0:
            return
        row = {CANDIDATE: f"{PREFIX}{epoch:04d}"} | {name: repr(float(value)) for name, value in found.items()}
        make_output_dir(self.folder)
        write_text(self.folder / CANDIDATE_TRAINING, self.fingerprint + "\n")
        # Weights first: a row never stands for a file that is not there.
        save_weights(self.network, self._file(row), self.prefix)
        self._write([old for old in self._read() if _epoch(old) < epoch] + [row])

    def _choose(self, engine: Engine) -> None:
        if self.rank != 0:
            return
        rows = [row for row in self._read() if _epoch(row) <= engine.state.epoch and self._file(row).is_file()]
        usable = [row for row in rows if all(_is_finite(row.get(name)) for name in self.metrics)]
        for row in rows:
            if row not in usable:
                logger.warning(f"{row[CANDIDATE]} is left out: a metric is missing or not finite")
        report = self.output_dir / SAME
        if len(usable) < 2:
            report.unlink(missing_ok=True)
            save_weights(self.network, self.path, self.prefix)
            logger.info(
                f"{len(usable)} candidates (one every {self.interval} epochs), SAMe compares at least two; "
                f"the last epoch, {engine.state.epoch}, is written: {self.path}"
            )
            return
        found = scaled_aggregate(usable, self.metrics)
        write_json(report, found.to_json())
        source = self.folder / f"{found.best}.pt"
        write_atomically(self.path, lambda temporary: shutil.copyfile(source, temporary))
        epoch = int(found.best.removeprefix(PREFIX))
        logger.info(
            f"SAMe chooses epoch {epoch} of {len(usable)} candidates ({found.scores[found.best]:.3f}): {self.path}"
        )

    def _file(self, row: Mapping[str, Any]) -> Path:
        return self.folder / f"{row[CANDIDATE]}.pt"

    def _read(self) -> list[dict[str, str]]:
        path = self.folder / CANDIDATE_METRICS
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def _write(self, rows: list[dict[str, str]]) -> None:
        columns = list(dict.fromkeys([CANDIDATE, *(name for row in rows for name in row)]))
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / CANDIDATE_METRICS, stream.getvalue())


def _epoch(row: Mapping[str, str]) -> int:
    return int(row[CANDIDATE].removeprefix(PREFIX))


def _is_finite(value: str | None) -> bool:
    return bool(value) and math.isfinite(float(value))
