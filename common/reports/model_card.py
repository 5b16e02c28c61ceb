"""The block of a bundle's model card that says how it was evaluated: made from `report.json`, never typed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import InputError
from ..io.files import write_text
from .cells import format_value
from .report_markdown import SYNTHETIC_LINE, fact_lines, inline, table_lines, warning_lines

BEGIN = "<!-- evaluation:begin (made by scripts/model_card.py from evaluation.json; do not edit) -->"
END = "<!-- evaluation:end -->"
BEGIN_PATTERN = re.compile(r"<!-- evaluation:begin\b[^>]*-->")
MEMORISATION = "memorisation"  # the fact that holds the verdict on copies of training images
WHOLE_PATH = re.compile(r"(/|~/|[A-Za-z]:[\\/]|file:)[^\n]*")
PATH_WITHIN = re.compile(r"(?<![\w.:/])(/[\w.+-]+(/[\w.+-]+)+|~/[\w.+-]+|[A-Za-z]:\\[\w.+-]+)|\bfile:/")


def card_copy(report: Mapping[str, Any], source_sha256: str, tables: Sequence[str] | None = None) -> dict[str, Any]:
    """What a bundle keeps of a report, as `docs/evaluation.json`: facts, warnings and the chosen tables.

    Args:
        report: content of `report.json`.
        source_sha256: of that file.
        tables: names, in the order of the card; all where none are given.

    Returns:
        Content by the schema of reports, with `source_sha256`. Paths of the machine are reduced to file names.

    Raises:
        InputError: a table that is not there, or a path of the machine within a text.
    """
    chosen = list(report["tables"]) if tables is None else list(tables)
    unknown = next((name for name in chosen if name not in report["tables"]), None)
    if unknown is not None:
        raise InputError(f"tables: the report has no table {unknown!r}; it has {', '.join(report['tables'])}")
    kept = {
        "schema_version": report["schema_version"],
        "source_sha256": source_sha256,
        "title": report["title"],
        "warnings": report["warnings"],
        "facts": report["facts"],
        "tables": {name: report["tables"][name] for name in chosen},
        "curves": [],
        "figures": [],
    }
    return {key: _without_paths(key, value) for key, value in kept.items()}


def card_block(report_json: Mapping[str, Any], tables: Sequence[str] | None = None) -> str:
    """The Markdown block of a report, from marker to marker; the same report gives the same bytes.

    Args:
        report_json: content of `report.json`, or of the `docs/evaluation.json` that `card_copy` made of it.
        tables: names, in the order of the card; all where none are given.

    Raises:
        InputError: a table that is not there, or a path of the machine within a text.
    """
    source = report_json.get("source_sha256") or hashlib.sha256(canonical_text(report_json).encode()).hexdigest()
    content = card_copy(report_json, source, tables)
    facts = dict(content["facts"])
    verdict = format_value(facts.pop(MEMORISATION, "not tested"), exact=True)
    lines = [BEGIN, "", f"### {inline(content['title'])}", ""]
    if facts.pop("synthetic", False) is True:
        lines += [SYNTHETIC_LINE, ""]
    lines += warning_lines(content["warnings"])
    lines += [*fact_lines(facts), f"- **{MEMORISATION}**: {inline(verdict)}"]
    for name, table in content["tables"].items():
        lines += ["", f"#### {inline(name)}", "", *table_lines(table)]
    lines += ["", f"Made from the `report.json` with SHA-256 `{source}`; its figures in full: `evaluation.json`.", ""]
    return "\n".join([*lines, END])


def canonical_text(content: Mapping[str, Any]) -> str:
    """JSON as `report.json` and `docs/evaluation.json` have it, byte by byte."""
    return json.dumps(content, indent=2) + "\n"


def read_report(path: Path) -> dict[str, Any]:
    """The content of a `report.json`.

    Raises:
        InputError: no such file, or no report.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); name a report.json of an evaluation") from error
    needed = ("schema_version", "title", "warnings", "facts", "tables")
    if not isinstance(content, dict) or any(key not in content for key in needed):
        raise InputError(f"{path}: is no report by docs/evaluation_report.md; run the evaluation again")
    return content


def find_block(text: str, where: str = "README.md") -> tuple[int, int] | None:
    """Where the block lies in a model card, markers included: start and end; None where there are no markers.

    Raises:
        InputError: a marker without its other, doubled markers, or in the wrong order.
    """
    begins, ends = list(BEGIN_PATTERN.finditer(text)), [match.end() for match in re.finditer(re.escape(END), text)]
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0].end() > ends[0]:
        raise InputError(
            f"{where}: has {len(begins)} markers '<!-- evaluation:begin -->' and {len(ends)} '{END}'; leave one of "
            "each, in this order"
        )
    return begins[0].start(), ends[0]


def update_card(readme: Path, block: str) -> bool:
    """Put a block in the place of the one between the markers, atomically; returns whether the file changed.

    Raises:
        InputError: no such file, or markers that are missing or doubled.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{readme}: cannot be read ({error.strerror}); name the folder of a bundle") from error
    place = find_block(text, str(readme))
    if place is None:
        raise InputError(f"{readme}: has no markers; add the lines '<!-- evaluation:begin -->' and '{END}' to it")
    changed = text[: place[0]] + block + text[place[1] :]
    if changed == text:
        return False
    write_text(readme, changed)
    return True


def _without_paths(where: str, value: Any) -> Any:
    """A value with absolute paths reduced to their last part.

    Raises:
        InputError: a path within a longer text, where it cannot be told how far it goes.
    """
    if isinstance(value, Mapping):
        return {key: _without_paths(f"{where}, {key}", item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(where, item) for item in value]
    if not isinstance(value, str):
        return value
    if WHOLE_PATH.fullmatch(value):
        name = PureWindowsPath(value).name if "\\" in value else PurePosixPath(value).name
        return name or value
    found = PATH_WITHIN.search(value)
    if found:
        raise InputError(f"{where}: names a path of this machine ({found.group()}); keep it out of the report")
    return value
