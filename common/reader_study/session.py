"""One reader's way through a study: which part is open, what it asks, and what was answered.

A part is a task over all images. What a later part asks is not known here until the earlier one is closed, and a closed
part can neither be seen nor changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from .answers import load_answers, reading_order, save_answers
from .layout import image_file
from .protocols import values_of
from .readers import Reader, keep
from .study_files import STUDY_JSON, Study, Task, read_study


class Session:
    """A reader at work.

    Args:
        folder: of the study.
        reader: from `readers.enter` or `readers.enter_named`.

    Raises:
        InputError: the study or the reader's answers are damaged.
    """

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.folder, self.reader = folder, reader
        self.study: Study = read_study(folder)
        self.asked: list[dict[str, Any]] = json.loads((folder / STUDY_JSON).read_text(encoding="utf-8"))["tasks"]
        self.answers = load_answers(folder, reader.name, self.study)

    def state(self) -> dict[str, Any]:
        """What the page may know.

        Returns:
            `reader`, `finished`, and while there is an open part `part` (1, 2, ...), `question`, `choices` (`value` and
            `label`), `count` (images) and `answers` (by position, None where there is none).
        """
        told: dict[str, Any] = {"reader": self.reader.name, "finished": self._open() is None}
        if told["finished"]:
            return told
        asked = self.asked[self.reader.closed]
        labels = asked.get("labels", {})
        choices = [{"value": value, "label": labels.get(str(value), "")} for value in values_of(asked)]
        answers = [self.answers.get((image, self._open().id)) for image in self._order()]
        return told | {
            "part": self.reader.closed + 1,
            "question": asked.get("question", asked["id"]),
            "choices": choices,
            "count": len(answers),
            "answers": answers,
        }

    def answer(self, part: int, position: int, value: int) -> None:
        """Keep an answer; it is on disk when this returns.

        Raises:
            InputError: another part than the open one, no such image, or no such answer.
        """
        image = self._image(part, position)
        if type(value) is not int or value not in values_of(self.asked[self.reader.closed]):
            raise InputError(f"answer {value}: not one of the answers to this question")
        # The file is read again: a second page of the same reader may have written since.
        self.answers = load_answers(self.folder, self.reader.name, self.study)
        self.answers[image, self._open().id] = value
        save_answers(self.folder, self.reader.name, self.study, self.answers)

    def close_part(self, part: int) -> None:
        """Leave the open part for good.

        Raises:
            InputError: another part than the open one, or images without an answer.
        """
        self._image(part, 0)
        missing = sum((image, self._open().id) not in self.answers for image in self.study.images)
        if missing:
            raise InputError(f"{missing} image{'s have' if missing > 1 else ' has'} no answer yet; answer all of them")
        self.reader = keep(self.folder, replace(self.reader, closed=self.reader.closed + 1))

    def pixels(self, part: int, position: int) -> np.ndarray:
        """An image of the open part, (H, W) uint16.

        Raises:
            InputError: another part than the open one, no such image, or its file is gone.
        """
        name = self._image(part, position)
        try:
            with Image.open(image_file(self.folder, name)) as picture:
                return np.asarray(picture).astype("<u2")
        except OSError as error:
            raise InputError(f"image {name} cannot be read; copy the study's folder again") from error

    def _open(self) -> Task | None:
        closed = self.reader.closed
        return self.study.tasks[closed] if closed < len(self.study.tasks) else None

    def _order(self) -> Sequence[str]:
        return reading_order(self.study, self.reader.name, self._open().id)

    def _image(self, part: int, position: int) -> str:
        if self._open() is None or part != self.reader.closed + 1:
            raise InputError("this part is not open; load the page again")
        if type(position) is not int or not 0 <= position < len(self.study.images):
            raise InputError(f"image {position}: there is no such image")
        return self._order()[position]
