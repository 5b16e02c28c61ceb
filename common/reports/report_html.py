"""A report as one HTML page that needs nothing else: no other file, no network, no JavaScript."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .cells import floor_parts, format_value, is_finite, is_interval, shared_n
from .report_markdown import SYNTHETIC_LINE
from .report_style import STYLE
from .svg_bars import axis_ends, interval_bar, line_chart, shared_axis, swatch

# The page may show what it holds and nothing else, even if a text slipped through unescaped.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
HASH = re.compile(r"[0-9a-f]{16,}")


def render_html(content: Mapping[str, Any], pictures: Sequence[bytes]) -> str:
    """The whole report as an HTML page.

    Args:
        content: as `Report.to_json` makes it.
        pictures: the PNG files of its figures, in order.
    """
    sections = [(name, _table(table)) for name, table in content["tables"].items()]
    sections += [(curve["name"], _curve(curve)) for curve in content["curves"]]
    sections += [(f["title"], _figure(f, png)) for f, png in zip(content["figures"], pictures, strict=True)]
    title = escape(content["title"])
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        '<div class="page">',
        "<header>",
        f"<h1>{title}</h1>",
        f'<p class="synthetic">{escape(SYNTHETIC_LINE)}</p>' if content["facts"].get("synthetic") is True else "",
        _warnings(content["warnings"]),
        _contents([name for name, _ in sections]),
        _facts(content["facts"]),
        "</header>",
        "<main>",
    ]
    for number, (name, body) in enumerate(sections, 1):
        parts.append(f'<section id="section-{number}">\n<h2>{escape(name)}</h2>\n{body}\n</section>')
    parts += [
        "</main>",
        f"<footer>Schema {escape(content['schema_version'])} of <code>report.json</code>, which holds the same figures "
        "in full.</footer>",
        "</div>",
        "</body>",
        "</html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _warnings(warnings: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    return f'<div class="warnings" role="note"><h2>Read this first</h2><ul>{items}</ul></div>' if warnings else ""


def _contents(names: Sequence[str]) -> str:
    items = "".join(f'<li><a href="#section-{k}">{escape(name)}</a></li>' for k, name in enumerate(names, 1))
    return f'<nav class="contents" aria-label="Contents"><ul>{items}</ul></nav>' if names else ""


def _facts(facts: Mapping[str, Any]) -> str:
    items = "".join(f"<div><dt>{escape(str(name))}</dt><dd>{_fact(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>' if facts else ""


def _fact(value: Any) -> str:
    if isinstance(value, Mapping) and value and not is_interval(value):
        return "<br>".join(f"{escape(str(name))}: {_fact(item)}" for name, item in value.items())
    text = escape(format_value(value, exact=True))
    return f"<code>{text}</code>" if HASH.fullmatch(text) else text


def _table(table: Mapping[str, Any]) -> str:
    columns, rows = table["columns"], table["rows"]
    cells = {column: [row.get(column, "") for row in rows] for column in columns}
    axes = {column: shared_axis(cells[column]) for column in columns}
    together = shared_n(rows)
    head = "".join(_head(column, cells[column], axes[column]) for column in columns)
    body = "\n".join(
        f"<tr>{''.join(_cell(cells[column][k], axes[column], together) for column in columns)}</tr>"
        for k in range(len(rows))
    )
    return (
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>'
        f"</table></div>{_key(rows, axes, together)}{_note(table['note'])}"
    )


def _head(column: str, cells: Sequence[Any], axis: tuple[float, float] | None) -> str:
    numbers = axis is None and any(map(is_finite, cells))
    ends = "" if axis is None else axis_ends(axis)
    return f'<th scope="col"{" class=number" if numbers else ""}>{escape(str(column))}{ends}</th>'


def _cell(value: Any, axis: tuple[float, float] | None, together: int | None) -> str:
    if not is_interval(value):
        kind = ' class="number"' if is_finite(value) and axis is None else ""
        return f"<td{kind}>{escape(format_value(value))}</td>"
    text = f"<b>{escape(format_value(value['mean']))}</b>"
    beside = []
    if is_finite(value["low"]) and is_finite(value["high"]):
        beside.append(f"{format_value(value['low'])} to {format_value(value['high'])}")
    if together is None and value.get("n") is not None:
        beside.append(f"n {value['n']}")
    text += f" <small>{escape(' · '.join(beside))}</small>" if beside else ""
    if value.get("floor") is not None:
        text += f'<small class="floor-text">floor {escape(format_value(value["floor"]))}</small>'
    bar = interval_bar(value, axis) if axis is not None and is_finite(value["mean"]) else ""
    return f'<td class="figure">{text}{bar}</td>'


def _key(rows: Sequence[Mapping[str, Any]], axes: Mapping[str, Any], together: int | None) -> str:
    """What the marks of a table's bars mean, and on how many cases they rest."""
    if not any(axes.values()):
        return ""
    text = "Dot: the figure; bar: its interval"
    if any(floor_parts(cell)[0] is not None for row in rows for cell in row.values()):
        text += "; diamond: its floor, what real images score against real images"
    text += ". Bars of a column share the axis in its head."
    return f'<p class="note">{text}{f" n = {together} for every interval." if together is not None else ""}</p>'


def _note(note: str) -> str:
    return f'<p class="note">{escape(note)}</p>' if note else ""


def _curve(curve: Mapping[str, Any]) -> str:
    chart = line_chart(curve) or '<p class="note">No point of these lines is defined.</p>'
    items = "".join(f"<li>{swatch(k)}{escape(label)}</li>" for k, label in enumerate(curve["series"]))
    return f'<figure>{chart}<ul class="legend">{items}</ul></figure>{_note(curve["note"])}'


def _figure(figure: Mapping[str, Any], png: bytes) -> str:
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    caption = f"<figcaption>{escape(figure['caption'])}</figcaption>" if figure["caption"] else ""
    size = f'width="{figure["width"]}" height="{figure["height"]}"'
    return f'<figure><img src="{source}" alt="{escape(figure["title"])}" {size}>{caption}</figure>'
