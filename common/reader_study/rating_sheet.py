"""One sheet for a whole study of real-or-synthetic ratings: columns image, truth, reader and rating.

The short way into the analysis for ratings that were collected elsewhere, such as those of Montoya-del-Angel et al.
2023 (arXiv 2311.09822), whose radiologist rated images from 0 (surely synthetic) to 4 (surely real).
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..io.tables import csv_rows
from ..knobs import as_path
from .protocols import SCALE
from .study_files import KeyEntry, Reading, Study, Task, truth_word

COLUMNS = ("image", "truth", "reader", "rating")
RATING = Task("rating", SCALE, 0, 4)


def read_sheet(path: str | Path) -> Reading:
    """The study in a sheet; further columns are ignored.

    Raises:
        InputError: a missing file or column, a word or rating that is none, an image rated twice by a reader or called
            both real and synthetic, or no rating at all.
    """
    path = as_path(path)
    key: dict[str, KeyEntry] = {}
    answers: dict[str, dict[tuple[str, str], int]] = {}
    for where, row in csv_rows(path, COLUMNS):
        image, reader, rating = row["image"], row["reader"], row["rating"]
        if not image or not reader:
            raise InputError(f"{where}: has no {'reader' if image else 'image'}; fill it in")
        entry = KeyEntry(truth_word(row["truth"], where), "", None)
        if key.setdefault(image, entry) != entry:
            raise InputError(f"{where}: image {image} is called both real and synthetic; correct one")
        if rating not in map(str, range(RATING.minimum, RATING.maximum + 1)):
            raise InputError(f"{where}: rating '{rating}': use 0 (surely synthetic) to 4 (surely real)")
        own = answers.setdefault(reader, {})
        if (image, RATING.id) in own:
            raise InputError(f"{where}: {reader} rates image {image} twice; keep one line")
        own[image, RATING.id] = int(rating)
    if not key:
        raise InputError(f"{path}: holds no rating; fill it in")
    return Reading(Study(path.stem, "mam_e", 0, (RATING,), tuple(key)), key, answers)
