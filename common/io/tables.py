"""Tables as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..knobs import as_path
from .files import write_text


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows atomically; columns are all keys in the order in which they first occur, missing values are empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def csv_rows(
    path: str | Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[str, dict[str, str]]]:
    """Rows of a CSV file, each with the words that say where it stands; cells without surrounding spaces.

    Args:
        path: of the file; comma, semicolon or tab between columns.
        columns: that it must have; others are ignored, and so are empty lines.
        optional: that it may have; empty where it has them not.

    Raises:
        InputError: a file that cannot be read, is no CSV file in UTF-8 or lacks a column.
    """
    path = as_path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        heading = text.partition("\n")[0]
        table = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=heading.count))
        names = [(name or "").strip().lower() for name in table.fieldnames or ()]
        table.fieldnames = names
        rows = [(f"{path} line {table.line_num}", row) for row in table]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from error
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}; it needs {', '.join(columns)}")
    return [(where, {name: (row.get(name) or "").strip() for name in (*columns, *optional)}) for where, row in rows]
