"""Records of finished cases, kept so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..io.files import make_output_dir, sha256_of_json, write_json
from ..outputs import EVALUATION_RECORDS
from .seeding import file_states


class CaseRecords:
    """JSON files by case in the folder `records`.

    Args:
        output_dir: of the evaluation.
        facts: all that the records depend on beside the case and its files; records of other facts are not reused.
    """

    def __init__(self, output_dir: str | Path, facts: Mapping[str, Any]) -> None:
        self.folder, self.facts = make_output_dir(Path(output_dir) / EVALUATION_RECORDS), facts

    def path(self, kind: Any, item: Mapping[str, Any]) -> Path:
        """File of one kind of record (any JSON value) of one datalist item."""
        key = sha256_of_json([kind, item, file_states(dict(item)), self.facts])
        return self.folder / f"{item['case']}_{key[:12]}.json"

    def get(self, kind: Any, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record, or None where the case is not finished."""
        path = self.path(kind, item)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def put(self, kind: Any, item: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Write a record."""
        write_json(self.path(kind, item), record)

    def get_or_make(
        self, kind: Any, item: Mapping[str, Any], make: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """The record, made now where the case is not finished."""
        if self.get(kind, item) is None:
            self.put(kind, item, make(item))
        return self.get(kind, item)
