"""A plain folder of mammograms (DICOM, PNG, PGM, TIFF, NIfTI, NRRD), with a table, with mini-MIAS' Info file, or alone.

The table has a row an image, or a row a lesion. Columns: `image` (file, relative to the folder), and as far as known
`patient`, `laterality` (L, R), `view` (CC, MLO, LM, ML), `density` (A to D, 1 to 4, or a word), `vendor`, `split`
(training, validation, test), `spacing_mm` (for files that do not say); of a lesion `x0`, `y0`, `x1`, `y1` (pixel edges,
from the upper left corner, the last excluded), or `x`, `y`, `radius`, or `mask` (an image file of the mammogram's size,
relative to the folder), and `type` (mass, calcification, other; healthy for none), `birads`, `pathology`. In a table
with any of the lesion's columns, an image whose row leaves them empty is healthy; without them, no one said.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.mammograms import is_mammogram_file
from ..io.volumes import case_name, volume_suffix
from .mammogram_records import MammogramRecord, check_unique
from .mammogram_tables import IMAGE_COLUMNS, LESION_COLUMNS, image_facts, lesion_of_row, read_rows
from .mini_mias import read_mini_mias
from .prepare_mammograms import DEFAULT_FINDINGS, check_options, prepare_mammograms

CORNERS = ("x0", "y0", "x1", "y1")
MASK_ENDINGS = ("_mask", "-mask", "_seg", "-seg", "_label", "-label")
COLUMNS = ("image", *IMAGE_COLUMNS, *CORNERS, *LESION_COLUMNS)


def prepare_folder(
    source: str | Path,
    output: str | Path,
    table: str | None = None,
    mias: str | None = None,
    size: int = 512,
    fit: str = "letterbox",
    findings: Any = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    any_modality: bool = False,
    split: str = "leak_free",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> Path:
    """Prepare a folder; see `scripts/prepare_data.py mammograms` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument or the table is unusable, or no mammogram is.
    """
    options = check_options(size, fit, box_shape, findings, any_modality)
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder; give a folder of mammograms")
    if table is not None and mias is not None:
        raise InputError("table, mias: give one of them")
    left_out: dict[str, int] = {}
    if mias is not None:
        records, left_out = read_mini_mias(Path(mias), source)
    elif table is not None:
        records, left_out = read_table(Path(table), source)
    else:
        records, left_out = all_images(source)
        print("no table: each image counts as a patient of its own, and nothing is known of lesions and density")
    division = (split, fractions, seed, workers)
    return prepare_mammograms("mammograms", source, output, records, options, *division, left_out=left_out)


def all_images(folder: Path) -> tuple[list[MammogramRecord], dict[str, int]]:
    """Every mammogram below a folder, hidden files left out; the patient is the name of the file.

    Files named as masks are (`…_mask.png`) are left out and counted.

    Raises:
        InputError: there is none.
    """
    found = _images(folder)
    paths = [path for path in found if not path.name.split(".")[0].lower().endswith(MASK_ENDINGS)]
    if not paths:
        raise InputError(f"source {folder}: holds no DICOM, PNG, PGM, TIFF, NIfTI or NRRD file; check the path")
    names = _names(paths, folder)
    records = [MammogramRecord(name=names[path], path=path, patient=names[path]) for path in paths]
    return records, {"files named as masks": len(found) - len(paths)}


def read_table(table: Path, folder: Path) -> tuple[list[MammogramRecord], dict[str, int]]:
    """Records of the images that a table names, in its order, and how many files it does not name.

    Raises:
        InputError: an unknown column or word (naming the nearest), a file that is not there, rows that contradict.
    """
    rows_of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(table, COLUMNS, ("image",)):
        if not row["image"]:
            raise InputError(f"{table}: has a row without image; fill in the file")
        rows_of[row["image"]].append(row)
    paths = {}
    for image in rows_of:
        path = folder / image
        if not path.is_file():
            raise InputError(f"{table}: {path}: no such file; correct the table")
        paths[image] = path
    names = _names(list(paths.values()), folder)
    knows_lesions = not {*CORNERS, *LESION_COLUMNS}.isdisjoint(next(iter(rows_of.values()))[0])
    records = []
    for image, rows in rows_of.items():
        where = f"{table}: {image}"
        facts = image_facts(rows, where)
        marks = [lesion_of_row(row, CORNERS, where, folder) for row in rows]
        name = names[paths[image]]
        facts["patient"] = facts["patient"] or name
        lesions = tuple(mark for mark in marks if mark is not None) if knows_lesions else None
        records.append(MammogramRecord(name=name, path=paths[image], lesions=lesions, **facts))
    masks = {mark.mask.resolve() for record in records for mark in record.lesions or () if mark.mask is not None}
    named = {path.resolve() for path in paths.values()} | masks | {table.resolve()}
    return records, {"files that the table does not name": sum(p.resolve() not in named for p in _images(folder))}


def _images(folder: Path) -> list[Path]:
    found = (Path(home) / name for home, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if not path.name.startswith(".") and is_mammogram_file(path))


def _names(paths: Sequence[Path], folder: Path) -> dict[Path, str]:
    """Names of cases: the file's without its suffix, with the folders before it where that is not unique."""
    short = {path: case_name(path) if volume_suffix(path) else path.stem for path in paths}
    counts: dict[str, int] = defaultdict(int)
    for name in short.values():
        counts[name] += 1
    names = {}
    for path, name in short.items():
        if counts[name] > 1:
            name = "_".join((*path.relative_to(folder).parts[:-1], path.name.replace(".", "_")))
        names[path] = name
    check_unique([MammogramRecord(name, path, name) for path, name in names.items()], str(folder))
    return names
