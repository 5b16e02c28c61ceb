"""The tumour boxes of Duke-Breast-Cancer-MRI, and where they lie on a volume's grid.

A box is given as rows, columns and slices, all counted from 1 and inclusive, slices in the order of the files. Which
way that order and the rows run differs between scanners, so boxes go to the grid through the positions in the headers.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl

from ..errors import InputError
from ..io.dicom_headers import DicomSeries, DicomSlice

COLUMNS = ("Patient ID", "Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice")
SHEET = "Sheet1"


@dataclass(frozen=True)
class AnnotationBox:
    """(first, last) of rows, columns and slices; from 1, inclusive."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    slices: tuple[int, int]


def read_boxes(path: str | Path) -> dict[str, AnnotationBox]:
    """Boxes by patient, from the collection's `Annotation_Boxes.xlsx` or the same table as CSV.

    Raises:
        InputError: no such file, not a table, a column missing, or a value that is no number or no range.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"boxes {path}: no such file; give Annotation_Boxes.xlsx, or the same table as CSV")
    rows = _rows_of_xlsx(path) if path.suffix.lower() == ".xlsx" else _rows_of_csv(path)
    if not rows:
        raise InputError(f"boxes {path}: holds no row; give the collection's table")
    missing = [name for name in COLUMNS if name not in rows[0]]
    if missing:
        raise InputError(f"boxes {path}: column {', '.join(missing)} is missing; give the collection's table")
    boxes = {}
    for row in rows:
        patient = str(row["Patient ID"] or "").strip()
        if patient:
            boxes[patient] = _box(path, patient, row)
    return boxes


def box_on_grid(box: AnnotationBox, series: DicomSeries, affine: np.ndarray) -> list[list[int]]:
    """The box as half-open voxel indices `[[x0, y0, z0], [x1, y1, z1]]` on a grid.

    Args:
        box: from `read_boxes`.
        series: whose files the box counts.
        affine: of the grid, voxel to RAS millimetres.

    Raises:
        InputError: the box leaves the images, or its slices are not in the series.
    """
    numbered = slice_numbers(series)
    first, last = (numbered.get(number) for number in box.slices)
    if first is None or last is None:
        raise InputError(
            f"the box covers slices {box.slices[0]} to {box.slices[1]}, series {series.title} has the files "
            f"{min(numbered)} to {max(numbered)}; check the box or download the whole series"
        )
    if box.rows[1] > first.rows or box.columns[1] > first.columns:
        raise InputError(
            f"the box reaches row {box.rows[1]} and column {box.columns[1]}, slices have {first.rows} rows and "
            f"{first.columns} columns; check the box"
        )
    corners = [
        _world(entry, row - 1, column - 1) for entry in (first, last) for row in box.rows for column in box.columns
    ]
    to_voxel = np.linalg.inv(np.asarray(affine, float))
    voxels = np.rint([(to_voxel @ (*corner, 1.0))[:3] for corner in corners]).astype(int)
    return [voxels.min(0).tolist(), (voxels.max(0) + 1).tolist()]


def slice_numbers(series: DicomSeries) -> dict[int, DicomSlice]:
    """Slices by the number in file order that boxes count with.

    That is the number that ends the file name, else InstanceNumber; a part of a download keeps its numbers. In a series
    of several phases numbers run on through the phases, so there slices are counted within the phase.
    """
    numbers = [_number_in_name(entry.path) for entry in series.slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        numbers = [entry.instance for entry in series.slices]
    if None in numbers or len(set(numbers)) < len(numbers) or series.temporal_count > 1:
        by_file = sorted(series.slices, key=lambda s: (s.instance or 0, s.path.name))
        return dict(enumerate(by_file, start=1))
    return dict(zip(numbers, series.slices, strict=True))


def _number_in_name(path: Path) -> int | None:
    match = re.fullmatch(r"\d+-(\d+)", path.stem)
    return int(match.group(1)) if match else None


def _world(entry: DicomSlice, row: int, column: int) -> np.ndarray:
    """Centre of a pixel in RAS millimetres."""
    along_row, along_column = np.array(entry.orientation[:3]), np.array(entry.orientation[3:])
    lps = np.array(entry.position) + along_row * entry.spacing[1] * column + along_column * entry.spacing[0] * row
    return lps * (-1.0, -1.0, 1.0)


def _rows_of_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return [{(k or "").strip(): v for k, v in row.items()} for row in csv.DictReader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"boxes {path}: not a CSV table; give Annotation_Boxes.xlsx or the same as CSV") from error


def _rows_of_xlsx(path: Path) -> list[dict[str, Any]]:
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl lets through what zip and XML readers raise
        raise InputError(f"boxes {path}: cannot be read as xlsx; copy it again or give the table as CSV") from error
    sheet = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
    rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    book.close()
    names = [str(name or "").strip() for name in rows[0]] if rows else []
    return [dict(zip(names, row, strict=False)) for row in rows[1:]]


def _box(path: Path, patient: str, row: dict[str, Any]) -> AnnotationBox:
    try:
        values = [int(float(row[name])) for name in COLUMNS[1:]]
    except (TypeError, ValueError) as error:
        raise InputError(f"boxes {path}: {patient} has a value that is no number; correct the row") from error
    ranges = list(zip(values[::2], values[1::2], strict=True))
    if any(first < 1 or last < first for first, last in ranges):
        raise InputError(f"boxes {path}: {patient} has a range that is empty or begins below 1; correct the row")
    return AnnotationBox(*ranges)
