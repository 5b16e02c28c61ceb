"""A report as Markdown, from its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .cells import format_value, is_interval, shared_n

SYNTHETIC_LINE = (
    "Synthetic images are described here: they were made by a generative model, show no patient and are not for "
    "diagnosis."
)


def render_markdown(content: Mapping[str, Any]) -> str:
    """The whole report as Markdown.

    Args:
        content: as `Report.to_json` makes it.
    """
    lines = [f"# {inline(content['title'])}", ""]
    if content["facts"].get("synthetic") is True:
        lines += [f"**{SYNTHETIC_LINE}**", ""]
    lines += warning_lines(content["warnings"])
    lines += fact_lines(content["facts"])
    for name, table in content["tables"].items():
        lines += ["", f"## {inline(name)}", "", *table_lines(table)]
    for curve in content["curves"]:
        lines += ["", f"## {inline(curve['name'])}", "", *_curve_lines(curve)]
    for figure in content["figures"]:
        lines += ["", f"## {inline(figure['title'])}", ""]
        lines += [f"![{inline(figure['title'])}]({quote(figure['file'])})"]
        lines += ["", inline(figure["caption"])] if figure["caption"] else []
    return "\n".join(lines) + "\n"


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts as a list, numbers with all their digits."""
    return [f"- {inline(name)}: {inline(format_value(value, exact=True))}" for name, value in facts.items()]


def table_lines(table: Mapping[str, Any]) -> list[str]:
    """A table, its number of cases where all intervals share one, and its note."""
    together = shared_n(table["rows"])
    lines = ["| " + " | ".join(map(inline, table["columns"])) + " |", "|" + "---|" * len(table["columns"])]
    for row in table["rows"]:
        cells = (inline(_cell(row.get(column, ""), together)) for column in table["columns"])
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"n = {together} for every interval."] if together is not None else []
    return lines + (["", inline(table["note"])] if table["note"] else [])


def warning_lines(warnings: list[str]) -> list[str]:
    """The warnings as a quoted list; nothing where there are none."""
    return [*(f"> - **Warning:** {inline(text)}" for text in warnings), ""] if warnings else []


def inline(text: str) -> str:
    """Text for one line of Markdown: no line breaks, no HTML, no end of a table's cell."""
    return " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _cell(value: Any, together: int | None) -> str:
    text = format_value(value)
    if is_interval(value) and value.get("n") is not None and together is None:
        text += f", n {value['n']}"
    return text


def _curve_lines(curve: Mapping[str, Any]) -> list[str]:
    count = ", ".join(f"{inline(label)} ({len(points)} points)" for label, points in curve["series"].items())
    line = (
        f"{inline(curve['y_label'])} against {inline(curve['x_label'])}: {count}. Drawn in `report.html`; the points "
    )
    return [line + "are in `report.json`.", *(["", inline(curve["note"])] if curve["note"] else [])]
