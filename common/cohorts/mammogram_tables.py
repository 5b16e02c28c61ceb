"""CSV tables about mammograms: rows with known columns alone, and what one row, or all rows of an image, say."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..io.mammogram_tags import LATERALITIES, VIEWS, vendor_word
from .mammogram_records import (
    LesionMark,
    birads_number,
    density_letter,
    is_nothing,
    kind_word,
    pathology_word,
    section_word,
)
from .prompt_attributes import nearest_of

HEALTHY_WORDS = ("healthy", "normal", "no finding", "none")
IMAGE_COLUMNS = ("patient", "laterality", "view", "density", "vendor", "split", "spacing_mm")
LESION_COLUMNS = ("mask", "x", "y", "radius", "type", "birads", "pathology")


def read_rows(path: Path, known: Sequence[str] | None, needed: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file by lower-case column names without surrounding spaces.

    Args:
        path: of the table; comma, semicolon or tab between columns.
        known: all columns that there may be; None for any.
        needed: columns that must be there.

    Raises:
        InputError: no such file, no table, an unknown column (naming the nearest) or a missing one.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; check the path")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a CSV table; save it as CSV in UTF-8") from error
    lines = text.splitlines()
    heading = lines[0] if lines else ""
    separator = max(",;\t", key=heading.count)
    reader = csv.reader(lines, delimiter=separator)
    names = [name.strip().lower() for name in next(reader, [])]
    for name in names if known is not None else ():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            raise InputError(f"{path}: column {name!r}: did you mean {nearest}? There are {', '.join(known)}")
    for name in needed:
        if name not in names:
            raise InputError(f"{path}: has no column {name}; it needs {', '.join(needed)}")
    rows = [dict(zip(names, (cell.strip() for cell in row), strict=False)) for row in reader if any(row)]
    if not rows:
        raise InputError(f"{path}: holds no row; check the table")
    return rows


def image_facts(rows: Sequence[Mapping[str, str]], where: str) -> dict:
    """What all rows of one image say of it: patient, laterality, view, density, vendor, section and spacing.

    Raises:
        InputError: a word that is unknown, or rows that contradict each other.
    """
    said = {}
    for column in IMAGE_COLUMNS:
        values = {row[column] for row in rows if not is_nothing(row.get(column))}
        if len(values) > 1:
            raise InputError(f"{where}: its rows have several values of {column}, {' and '.join(sorted(values))}")
        said[column] = next(iter(values), None)
    try:
        laterality, view = said["laterality"], said["view"]
        spacing = None if said["spacing_mm"] is None else _number(said["spacing_mm"], "spacing_mm")
        if spacing is not None and not spacing > 0:
            raise InputError(f"spacing_mm {spacing:g}: give millimetres above 0")
        return {
            "patient": said["patient"],
            "laterality": laterality and nearest_of("laterality", laterality[:1], LATERALITIES),
            "view": view and nearest_of("view", view, VIEWS),
            "density": density_letter(said["density"]),
            "vendor": vendor_word(said["vendor"]),
            "section": section_word(said["split"]),
            "spacing": spacing and (spacing, spacing),
        }
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def lesion_of_row(row: Mapping[str, str], corners: Sequence[str], where: str, mask_folder: Path) -> LesionMark | None:
    """The lesion that a row names; None where it names none.

    Args:
        row: from `read_rows`.
        corners: names of the columns of a box, left, top, right and bottom.
        where: for messages.
        mask_folder: that paths of masks are relative to.

    Raises:
        InputError: a value that cannot be used, or an incomplete box or circle.
    """
    columns = (*LESION_COLUMNS, *corners)
    kind = str(row.get("type") or "").lower()
    try:
        # A category alone says that nothing was found, or that it was not drawn; only the first is no lesion.
        alone = all(is_nothing(row.get(name)) for name in columns if name != "birads")
        if kind in HEALTHY_WORDS or (alone and birads_number(row.get("birads")) in (None, 0, 1)):
            return None
        box = _numbers(row, corners, "box")
        circle = _numbers(row, ("x", "y", "radius"), "circle")
        mask = None if is_nothing(row.get("mask")) else mask_folder / row["mask"]
        if sum(place is not None for place in (box, circle, mask)) > 1:
            raise InputError("has more than one of box, circle and mask; give one")
        if circle is not None and not circle[2] > 0:
            raise InputError(f"radius {circle[2]:g}: give pixels above 0")
        birads = birads_number(row.get("birads"))
        pathology = pathology_word(row.get("pathology"), birads)
        return LesionMark(kind_word(row.get("type")), birads, pathology, box=box, circle=circle, mask=mask)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _numbers(row: Mapping[str, str], names: Sequence[str], what: str) -> tuple[float, ...] | None:
    empty = [name for name in names if is_nothing(row.get(name))]
    if len(empty) == len(names):
        return None
    if empty:
        raise InputError(f"{what} without {', '.join(empty)}; fill in {', '.join(names)}")
    return tuple(_number(row[name], name) for name in names)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{name} {text!r} is no number; correct it") from error
    if value != value or abs(value) == float("inf"):
        raise InputError(f"{name} {text!r} is no number; correct it")
    return value
