"""A reader's answers on disk, written after each one, and the order in which a reader sees the images."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..io.tables import write_csv
from .study_files import ANSWER_COLUMNS, ANSWERS, Study, answers_of

Answers = dict[tuple[str, str], int]


def load_answers(folder: Path, reader: str, study: Study) -> Answers:
    """What a reader has answered so far, by (image, task); nothing if the reader has not begun.

    Raises:
        InputError: the file was changed so that it no longer fits the study.
    """
    path = _path(folder, reader)
    return answers_of(path, study) if path.is_file() else {}


def save_answers(folder: Path, reader: str, study: Study, answers: Mapping[tuple[str, str], int]) -> None:
    """Write all of a reader's answers, by task and then by image; the file is whole at any time."""
    path = _path(folder, reader)
    path.parent.mkdir(exist_ok=True)
    places = ((image, task.id) for task in study.tasks for image in study.images)
    rows = [(*place, answers[place]) for place in places if place in answers]
    write_csv(path, [dict(zip(ANSWER_COLUMNS, row, strict=True)) for row in rows])


def reading_order(study: Study, reader: str, task: str) -> Sequence[str]:
    """The study's images as a reader sees them in a task: another order for each reader and each task."""
    order = list(study.images)
    random.Random(f"{study.seed} {reader} {task}").shuffle(order)
    return order


def _path(folder: Path, reader: str) -> Path:
    return folder / ANSWERS / f"{reader}.csv"
