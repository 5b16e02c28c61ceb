"""The single values behind the tables of an evaluation of mammogram synthesis, as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.tables import write_csv
from .mammogram_tables import Records


def write_image_values(path: str | Path, records: Records) -> None:
    """One row an image, real or drawn: what was asked for, what was measured, and the classifier's score if real.

    Args:
        path: the CSV file.
        records: of the evaluation.
    """
    rows = [
        {"images": "real", "case": record["case"], "sample": "", **_both(record["asked"], record["measured"])}
        | {"score": record["score"]}
        for record in (*records.real, *records.real_unseen)
    ]
    rows += [
        {"images": "SYNTHETIC", "case": record["case"], "sample": number, **_both(record["asked"], measured)}
        for record in (*records.drawn_seen, *records.drawn_unseen)
        for number, measured in enumerate(record["measured"])
    ]
    write_csv(path, rows)


def write_painting_values(path: str | Path, paintings: Sequence[Mapping[str, Any]]) -> None:
    """One row a painting: contrast and score of each of its images, and what its heat maps hit.

    Args:
        path: the CSV file.
        paintings: see `PaintingCheck.evaluate`.
    """
    rows = []
    for record in paintings:
        row = {key: _text(record[key]) for key in ("case", "source", "type", "pathology")}
        for measure in ("contrast", "score"):
            row |= {f"{measure}_{name}": _text(value) for name, value in record.get(measure, {}).items()}
        for name, methods in record.get("heat_maps", {}).items():
            for method, found in methods.items():
                row |= {f"{method}_{measure}_{name}": value for measure, value in found.items()}
        rows.append(row)
    write_csv(path, rows)


def _both(asked: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    parts = (("asked", asked), ("measured", measured))
    return {f"{kind}_{name}": _text(value) for kind, part in parts for name, value in part.items()}


def _text(value: Any) -> Any:
    return "" if value is None else value
