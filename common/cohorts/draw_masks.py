"""Lesion masks that nobody drew as masks: from boxes in a table, and the shares of several raters."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..io.files import make_output_dir
from ..io.images import load_image
from ..io.volumes import VOLUME_SUFFIXES, case_name
from .lesion_annotations import LesionAnnotation, boxes_annotation, read_annotation, save_annotation, soft_from_raters

COLUMNS = ("case", "x0", "y0", "x1", "y1", "birads")


def masks_from_boxes(table: str, images: str, output: str) -> list[Path]:
    """Write the mask of every case in a table; a row with empty box and class is an examination without lesions.

    Args:
        table: CSV with the columns case, x0, y0, x1, y1, birads; pixels of the image's file, half-open.
        images: folder of the images, `<case>` or `<case>_mip` with a volume's suffix; they give the grid.
        output: folder for `<case>_mask.nii.gz` and the JSON file of its classes.

    Raises:
        InputError: the table or an image cannot be read, or a box does not fit its image.
    """
    rows = _read_table(Path(table))
    home = make_output_dir(output)
    written = []
    for case in dict.fromkeys(row["case"] for row in rows):
        path = _image_of(Path(images), case)
        image = load_image(path)
        boxes = [[row[name] for name in COLUMNS[1:]] for row in rows if row["case"] == case and row["birads"] != ""]
        try:
            numbers = [(*(int(value) for value in box[:4]), box[4]) for box in boxes]
        except ValueError as error:
            raise InputError(f"{table}: case {case}: a box needs four whole numbers ({error})") from error
        annotation = boxes_annotation(numbers, tuple(image.shape[1:]), image.affine.numpy(), f"{table}: {case}")
        written.append(home / f"{case}_mask.nii.gz")
        save_annotation(written[-1], annotation, "lesions from boxes")
    return written


def mask_of_raters(masks: Sequence[str], output: str) -> Path:
    """Write the soft mask of several raters' masks of one image: each class's share of raters at each pixel.

    Args:
        masks: one a rater, in any form that `read_annotation` takes.
        output: folder for `<case>_mask.nii.gz`, (X, Y, 1, 5), named after the first mask.

    Raises:
        InputError: fewer than two masks, or masks on different grids.
    """
    if isinstance(masks, str) or len(masks) < 2:
        raise InputError('masks: give one of each of two or more raters, such as --masks "[a.nii.gz, b.nii.gz]"')
    raters = [read_annotation(path) for path in masks]
    first = raters[0]
    soft = LesionAnnotation(first.path, first.instances, first.classes, first.affine, soft_from_raters(raters))
    path = make_output_dir(output) / f"{case_name(first.path)}_mask.nii.gz"
    save_annotation(path, soft, "share of raters, BI-RADS 2 to 6")
    return path


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"table {path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table {path}: cannot be read as CSV ({error})") from error
    if not rows or any(name not in rows[0] for name in COLUMNS):
        raise InputError(f"table {path}: needs the columns {', '.join(COLUMNS)} and a row for each lesion")
    return [{name: (row[name] or "").strip() for name in COLUMNS} for row in rows]


def _image_of(folder: Path, case: str) -> Path:
    names = [f"{case}{ending}{suffix}" for ending in ("", "_mip") for suffix in VOLUME_SUFFIXES]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise InputError(f"images {folder}: no image of case {case}; expected {case}_mip.nii.gz or the like")
    return found
