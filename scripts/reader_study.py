"""Whether readers could tell synthetic images from real ones: a scored sheet to a table of ROC areas.

    python scripts/reader_study.py ratings.csv

The sheet has the columns image, truth (real or synthetic), reader and rating: 0 (surely synthetic) to 4 (surely real).
"""

from __future__ import annotations

import json

import _root  # noqa: F401
import fire

from common.errors import InputError, install_error_hook
from common.io.files import write_json
from common.knobs import as_path, check_knob
from common.metrics.reader_study import read_sheet, reader_study


def main(sheet: str, seed: int = 0, output: str | None = None) -> str:
    """Area under the ROC curve of each reader with a 95 % bootstrap interval over images, and their mean.

    An area of 0.5 says that the reader cannot tell synthetic images, 1 that they are told without fail.

    Args:
        sheet: CSV file.
        seed: of the bootstrap.
        output: JSON file for the figures, with the points of the curves; nothing is written without it.

    Returns:
        The table.
    """
    check_knob("seed", seed)
    found = reader_study(read_sheet(str(sheet)), seed)
    if output is not None:
        path = as_path(output)
        if not path.parent.is_dir():
            raise InputError(f"output {path}: its folder does not exist; make it, or name another file")
        write_json(path, json.loads(json.dumps(found).replace("NaN", "null")))
    return study_table(found)


def study_table(found: dict) -> str:
    """The figures of `reader_study` as aligned text."""
    rows = [["reader", "real", "synthetic", "AUC", "95 % interval", "exact"]]
    for name, reader in found["readers"].items():
        counts = [str(reader["n_real"]), str(reader["n_synthetic"])]
        rows.append([name, *counts, f"{reader['mean']:.3f}", _interval(reader), reader["exact"]])
    mean = found["mean"]
    rows.append([f"mean of {mean['n_readers']}", "", "", f"{mean['mean']:.3f}", _interval(mean), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _interval(value: dict) -> str:
    return f"{value['low']:.3f} to {value['high']:.3f}"


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
