"""Which checkpoint is the best over several metrics: SAMe, the scaled aggregate measure of Osuala et al. 2024.

    python scripts/same.py --input candidates/metrics.csv
    python scripts/same.py --input table.csv --metrics "[ssim,mae,fid_img]" --output same.json
    python scripts/same.py --input later.csv --ranges same.json

The table is a CSV, first column the candidate's name and one column a metric, or JSON: a list of such rows, or a map
from name to metrics. Lower is better; the figure holds for the candidates that were compared.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _root  # noqa: F401
import fire

from common.errors import InputError, install_error_hook
from common.io.files import write_json
from common.knobs import as_path
from common.metrics.same import (
    CANDIDATE,
    HIGHER,
    LOWER,
    ScaledAggregate,
    known_direction,
    scaled_aggregate,
    score_against_ranges,
)


def main(
    input: str,
    output: str | None = None,
    metrics: Sequence[str] | None = None,
    higher: Sequence[str] = (),
    lower: Sequence[str] = (),
    ranges: str | None = None,
) -> None:
    """Print the candidates from best to worst with their scaled parts (0 is best).

    Args:
        input: the table, .csv or .json.
        output: file for scores, parts, scaling set and ranges, as JSON.
        metrics: which columns count; all but the first where nothing is said.
        higher: columns where higher is better, for example "[dice,auc]"; SSIM, MS-SSIM and PSNR are known.
        lower: columns where lower is better; MAE, MSE, RMSE, LPIPS, FID and KID are known.
        ranges: same.json of an earlier scoring, on whose scale these candidates are put; it says which metrics count.
    """
    table = read_table(as_path(input))
    if ranges is not None:
        found = score_against_ranges(table, _read_json(as_path(ranges)))
    else:
        columns = dict.fromkeys(name for row in table for name in row if name != CANDIDATE)
        chosen = _names(metrics) if metrics is not None else list(columns)
        given = dict.fromkeys(_names(higher), HIGHER) | dict.fromkeys(_names(lower), LOWER)
        unknown = [name for name in (*chosen, *given) if name not in columns]
        if unknown:
            raise InputError(f"{input}: has no column {unknown[0]}; it has {', '.join(columns)}")
        found = scaled_aggregate(table, {name: given.get(name) or _direction(name) for name in chosen})
    print(ranking_table(found))
    if output is not None:
        path = as_path(output)
        if not path.parent.is_dir():
            raise InputError(f"output {path}: its folder does not exist; create it first")
        write_json(path, found.to_json())
        print(f"scores, parts and ranges: {path.resolve()}")


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV or JSON table; the first column's value goes under `candidate`.

    Raises:
        InputError: no such file, not a table, or a row of another length than the header.
    """
    if path.suffix.lower() == ".json":
        content = _read_json(path)
        if isinstance(content, dict) and all(isinstance(row, dict) for row in content.values()):
            return [{CANDIDATE: name, **row} for name, row in content.items()]
        if not isinstance(content, list) or not all(isinstance(row, dict) and row for row in content):
            raise InputError(f"{path}: not a table; give a list of rows, or a map from candidate to metrics")
        return [_first_as_name(row) for row in content]
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"input {path}: cannot be read as a CSV table; check the path") from error
    if not lines or len(set(lines[0])) < len(lines[0]) or len(lines[0]) < 2:
        raise InputError(f"{path}: needs a first line with different names: the candidate's column, then the metrics")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(lines[0]):
            raise InputError(f"{path}: row {number} has {len(line)} values, the first line names {len(lines[0])}")
    return [_first_as_name(dict(zip(lines[0], line, strict=True))) for line in lines[1:]]


def _first_as_name(row: dict[str, Any]) -> dict[str, Any]:
    name, *others = row
    return {CANDIDATE: row[name]} | {other: row[other] for other in others}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON; check the path") from error


def _names(value: str | Sequence[str]) -> list[str]:
    return [str(name).strip() for name in (value.split(",") if isinstance(value, str) else value)]


def _direction(name: str) -> str:
    direction = known_direction(name)
    if direction is None:
        raise InputError(
            f'column {name}: say whether --higher "[{name}]" or --lower "[{name}]" is better, or leave it out by '
            "--metrics"
        )
    return direction


def ranking_table(found: ScaledAggregate) -> str:
    """Candidates from best to worst as aligned text."""
    head = ["rank", "candidate", "SAMe", *(f"{name} ({way})" for name, way in found.metrics.items())]
    rows = [
        [str(place), name, f"{found.scores[name]:.3f}", *(f"{part:.3f}" for part in found.parts[name].values())]
        for place, name in enumerate(found.ranking, 1)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
