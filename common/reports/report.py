"""Reports as JSON for machines and Markdown for people, from the same tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.files import write_json, write_text
from ..outputs import REPORT_JSON, REPORT_MARKDOWN


@dataclass
class Table:
    """A table: `rows` are mappings from column to a value, a text, or a `mean_with_interval` result."""

    name: str
    columns: Sequence[str]
    rows: list[Mapping[str, Any]]
    note: str = ""


@dataclass
class Report:
    """A titled list of tables with the facts that they rest on.

    Attributes:
        title: first heading.
        facts: what was measured on what with what (counts, seeds, hashes, scales); shown first.
        tables: in order.
    """

    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def add(self, name: str, columns: Sequence[str], rows: list[Mapping[str, Any]], note: str = "") -> None:
        """Append a table."""
        self.tables.append(Table(name, columns, rows, note))

    def to_markdown(self) -> str:
        """The whole report as Markdown."""
        lines = [f"# {self.title}", ""]
        lines += [f"- {name}: {value}" for name, value in self.facts.items()]
        for table in self.tables:
            lines += ["", f"## {table.name}", ""]
            lines += ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
            lines += [
                "| " + " | ".join(format_value(row.get(column, "")) for column in table.columns) + " |"
                for row in table.rows
            ]
            if table.note:
                lines += ["", table.note]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The whole report as JSON values; NaN becomes null."""
        tables = {t.name: {"rows": [_plain(dict(row)) for row in t.rows], "note": t.note} for t in self.tables}
        return {"title": self.title, "facts": _plain(self.facts), "tables": tables}

    def write(self, output_dir: str | Path) -> tuple[Path, Path]:
        """Write `report.json` and `report.md`; returns both paths."""
        paths = Path(output_dir) / REPORT_JSON, Path(output_dir) / REPORT_MARKDOWN
        write_json(paths[0], self.to_json())
        write_text(paths[1], self.to_markdown())
        return paths


def format_value(value: Any) -> str:
    """A number to three significant digits, a mean with its interval, or text."""
    if isinstance(value, Mapping) and "mean" in value:
        return f"{format_value(value['mean'])} ({format_value(value['low'])} to {format_value(value['high'])})"
    if isinstance(value, float):
        if math.isnan(value):
            return "n/a"
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
