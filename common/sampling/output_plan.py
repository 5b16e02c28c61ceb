"""What a run is to make, and which of it exists already."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.volumes import case_name
from ..knobs import as_path
from ..provenance import is_finished

logger = logging.getLogger(__name__)


class OutputPlan:
    """Items whose output folders are missing; those with the same provenance are done.

    Args:
        output_dir: where the outputs' folders are.
        overwrite: replace outputs of another provenance instead of refusing.

    Attributes:
        items: what is to be made.
        provenance: record of each output, by its folder's name.
        done: names of outputs that exist with the same provenance.
    """

    def __init__(self, output_dir: str, overwrite: bool = False) -> None:
        self.output_dir, self.overwrite = as_path(output_dir), overwrite
        self.items: list[dict[str, Any]] = []
        self.provenance: dict[str, dict[str, Any]] = {}
        self.done: list[str] = []

    def add(self, name: str, record: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        """Plan one output.

        Raises:
            InputError: it exists with another provenance.
        """
        self.provenance[name] = dict(record)
        if is_finished(self.output_dir / name, record, self.overwrite):
            self.done.append(name)
        else:
            self.items.append(dict(item))

    def log_done(self, what: str) -> None:
        """Say how many outputs are kept, if any; `what` is their plural."""
        if self.done:
            logger.info(f"{len(self.done)} of {len(self.provenance)} {what} exist already and are kept")


def as_case(case: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """An item with `case` and `image`, also from a plain path, as other tools set inputs."""
    return {"case": case_name(case), "image": str(case)} if isinstance(case, (str, Path)) else dict(case)
