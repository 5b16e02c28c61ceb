"""A report of an evaluation: facts, warnings, tables, curves and figures, written as JSON, Markdown and HTML.

JSON is the report; Markdown and HTML are drawn from it, so that the three say the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.files import write_atomically, write_json, write_text
from ..outputs import REPORT_FIGURES, REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN
from .cells import format_value, plain
from .report_html import render_html
from .report_markdown import render_markdown

__all__ = ["SCHEMA_VERSION", "Curve", "Figure", "Report", "Table", "format_value"]

SCHEMA_VERSION = "1.0"  # of `report_schema.json`; the first number changes where an old reader would fail
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass
class Table:
    """A table: `rows` are mappings from column to a value, a text, or a `mean_with_interval` result.

    An interval may have a `floor` beside it (what real against real scores): a number, or an interval of its own.
    """

    name: str
    columns: Sequence[str]
    rows: list[Mapping[str, Any]]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "columns": list(self.columns),
            "rows": [plain(dict(row)) for row in self.rows],
            "note": self.note,
        }


@dataclass
class Curve:
    """A chart of lines: each of `series` is a list of points (x, y); lines break at points that are not finite."""

    name: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The chart as JSON values."""
        return {
            "name": self.name,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "series": {label: [[plain(x), plain(y)] for x, y in points] for label, points in self.series.items()},
            "note": self.note,
        }


@dataclass
class Figure:
    """A picture: `png` is the path of a PNG file, or its bytes (these are kept beside the report, in `figures/`)."""

    title: str
    png: str | Path | bytes
    caption: str = ""

    def content(self) -> bytes:
        """The bytes of the file.

        Raises:
            OSError: there is no such file.
            ValueError: it is not a PNG.
        """
        content = self.png if isinstance(self.png, bytes) else Path(self.png).read_bytes()
        if not content.startswith(PNG_SIGNATURE):
            raise ValueError(f"figure {self.title!r}: not a PNG")
        return content


@dataclass
class Report:
    """A titled list of tables with the facts that they rest on.

    Attributes:
        title: first heading.
        facts: what was measured on what with what (counts, seeds, hashes, scales); shown first. `synthetic: True` puts
            a line under the title that synthetic images are among those described; `memorisation` is the verdict on
            copies of training images, which goes into the model card.
        tables, curves, figures: each in order; names of tables differ.
        warnings: what a reader has to know before any number; shown above everything else.
    """

    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, columns: Sequence[str], rows: list[Mapping[str, Any]], note: str = "") -> None:
        """Append a table."""
        self.tables.append(Table(name, columns, rows, note))

    def to_markdown(self) -> str:
        """The whole report as Markdown."""
        return render_markdown(self.to_json())

    def to_json(self, output_dir: str | Path = ".") -> dict[str, Any]:
        """The whole report as JSON values; NaN and infinity become null.

        Args:
            output_dir: folder that the report lies in; files of figures are named relative to it.

        Raises:
            ValueError: two tables have one name, or a figure is no PNG.
        """
        names = [table.name for table in self.tables]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ValueError(f"report {self.title!r}: two tables are called {double!r}")
        return {
            "schema_version": SCHEMA_VERSION,
            "title": self.title,
            "warnings": list(self.warnings),
            "facts": plain(self.facts),
            "tables": {table.name: table.to_json() for table in self.tables},
            "curves": [curve.to_json() for curve in self.curves],
            "figures": [self._figure(number, Path(output_dir)) for number in range(len(self.figures))],
        }

    def write(self, output_dir: str | Path) -> tuple[Path, Path, Path]:
        """Write `report.json`, `report.md` and `report.html`, each atomically; returns the three paths.

        The HTML file holds its pictures. The Markdown file refers to theirs: figures that are bytes, or files outside
        `output_dir`, are put into its `figures/`.

        Raises:
            OSError, ValueError: a figure is missing, or no PNG.
        """
        output_dir = Path(output_dir)
        content = self.to_json(output_dir)
        pictures = [figure.content() for figure in self.figures]
        for listed, picture in zip(content["figures"], pictures, strict=True):
            path = output_dir / listed["file"]
            if not path.is_file() or path.read_bytes() != picture:
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, lambda temporary, picture=picture: Path(temporary).write_bytes(picture))
        paths = tuple(output_dir / name for name in (REPORT_JSON, REPORT_MARKDOWN, REPORT_HTML))
        write_json(paths[0], content)
        write_text(paths[1], render_markdown(content))
        write_text(paths[2], render_html(content, pictures))
        return paths

    def _figure(self, number: int, output_dir: Path) -> dict[str, Any]:
        figure = self.figures[number]
        content = figure.content()
        width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))  # of its first chunk
        return {
            "title": figure.title,
            "file": _file_name(figure, number, output_dir),
            "sha256": hashlib.sha256(content).hexdigest(),
            "width": width,
            "height": height,
            "caption": figure.caption,
        }


def _file_name(figure: Figure, number: int, output_dir: Path) -> str:
    """Where a figure lies, relative to the report, with forward slashes."""
    if not isinstance(figure.png, bytes):
        relative = os.path.relpath(Path(figure.png).resolve(), output_dir.resolve())
        if Path(relative).parts[:1] != (os.pardir,):
            return Path(relative).as_posix()
    words = re.sub(r"[^a-z0-9]+", "_", figure.title.lower()).strip("_")[:60]
    return f"{REPORT_FIGURES}/{number + 1}_{words or 'figure'}.png"
