"""VinDr-Mammo as downloaded: images/<study>/<image>.dicom and its tables.

`breast-level_annotations.csv` has a row an image (side, view, density, split), `finding_annotations.csv` a row a
finding. Tables do not name patients, one examination is one patient; a `metadata.csv` with a column `patient_id` tells
examinations of one patient together. An image of `No Finding` is healthy. Categories `Mass` and `Suspicious
Calcification` are lesions of these types, both together a mass, all others `other`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .mammogram_records import (
    CALCIFICATION,
    MASS,
    OTHER,
    LesionMark,
    MammogramRecord,
    birads_number,
    density_letter,
    is_nothing,
    pathology_word,
    section_word,
)
from .mammogram_tables import read_rows
from .prepare_mammograms import DEFAULT_FINDINGS, check_options, prepare_mammograms

BREASTS, FINDINGS, METADATA = "breast-level_annotations.csv", "finding_annotations.csv", "metadata.csv"
IMAGES = "images"
SUFFIXES = (".dicom", ".dcm")
NO_FINDING, CALCIFICATION_NAME, MASS_NAME = "No Finding", "Suspicious Calcification", "Mass"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def prepare_vindr(
    source: str | Path,
    output: str | Path,
    size: int = 512,
    fit: str = "letterbox",
    findings: Any = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    split: str = "own",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> Path:
    """Prepare VinDr-Mammo; see `scripts/prepare_data.py vindr` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument or a table is unusable, or no mammogram is.
    """
    options = check_options(size, fit, box_shape, findings, any_modality=False)
    records, left_out = find_vindr(source)
    division = (split, fractions, seed, workers)
    return prepare_mammograms("vindr", source, output, records, options, *division, left_out=left_out)


def find_vindr(source: str | Path) -> tuple[list[MammogramRecord], dict[str, int]]:
    """Records of the images that are there, by the tables' order, and how many were left out, by reason.

    Raises:
        InputError: no such folder, a table missing or without its columns, or a value that cannot be read.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder; give the one that holds {BREASTS}")
    needed = ("study_id", "image_id", "laterality", "view_position", "breast_density")
    breasts = read_rows(source / BREASTS, None, needed)
    findings = _findings(source / FINDINGS)
    patients = _patients(source / METADATA)
    records, missing = [], 0
    for row in breasts:
        study, image = row["study_id"], row["image_id"]
        path = _file(source / IMAGES / study, image)
        if path is None:
            missing += 1
            continue
        try:
            record = MammogramRecord(
                name=image,
                path=path,
                patient=patients.get(image, study),
                laterality=row["laterality"] or None,
                view=row["view_position"] or None,
                density=density_letter(row["breast_density"]),
                lesions=findings.get(image),
                section=section_word(row.get("split")),
            )
        except InputError as error:
            raise InputError(f"{source / BREASTS}: image {image}: {error}") from error
        records.append(record)
    return records, {"files that the tables name and that are not there": missing}


def _findings(path: Path) -> dict[str, tuple[LesionMark, ...]]:
    needed = ("image_id", "finding_categories", "finding_birads", *CORNERS)
    found: dict[str, list[LesionMark]] = defaultdict(list)
    for row in read_rows(path, None, needed):
        try:
            mark = _mark(row)
        except InputError as error:
            raise InputError(f"{path}: image {row['image_id']}: {error}") from error
        found[row["image_id"]] += [mark] if mark else []
    return {image: tuple(marks) for image, marks in found.items()}


def _mark(row: dict[str, str]) -> LesionMark | None:
    """The lesion of a row, None for `No Finding`."""
    categories = _categories(row["finding_categories"])
    if categories == [NO_FINDING]:
        return None
    kind = MASS if MASS_NAME in categories else CALCIFICATION if CALCIFICATION_NAME in categories else OTHER
    birads = birads_number(row["finding_birads"])
    cells = [row[name] for name in CORNERS]
    box = None
    if not all(is_nothing(cell) for cell in cells):
        try:
            box = tuple(float(cell) for cell in cells)
        except ValueError as error:
            raise InputError(f"box {', '.join(cells)}: is not four numbers; correct the row") from error
    return LesionMark(kind, birads, pathology_word(None, birads), box=box)


def _categories(text: str) -> list[str]:
    """Names of a list written as Python does."""
    try:
        names = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        names = [text]
    return [str(name).strip() for name in (names if isinstance(names, (list, tuple)) else [names])]


def _patients(path: Path) -> dict[str, str]:
    """Patient of each image, where there is a table that says so."""
    if not path.is_file():
        return {}
    rows = read_rows(path, None, ())
    if "patient_id" not in rows[0]:
        return {}
    key = next((name for name in ("sop instance uid", "image_id") if name in rows[0]), None)
    if key is None:
        raise InputError(f"{path}: has patient_id, but neither SOP Instance UID nor image_id; add one of them")
    return {row[key]: row["patient_id"] for row in rows if not is_nothing(row["patient_id"])}


def _file(folder: Path, image: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{image}{suffix}").is_file()), None)
