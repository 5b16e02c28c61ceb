"""What a reader study leaves on disk: its description, the answers of each reader, and the key kept apart.

STUDY/study.json             name, protocol, seed, tasks and images
STUDY/answers/<reader>.csv   image, task, value
key.csv                      image, truth, case, reference, source
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.files import sha256_of_source
from ..io.tables import csv_rows
from ..knobs import as_path
from .layout import image_file
from .protocols import BINARY, SCALE

STUDY_JSON = "study.json"
ANSWERS = "answers"
ANSWER_COLUMNS = ("image", "task", "value")
KEY_COLUMNS = ("image", "truth", "case", "reference", "source")
HASH = "sha256"  # of an image's file, in the key
REAL, SYNTHETIC = "real", "synthetic"
REFERENCES = range(1, 7)  # BI-RADS


@dataclass(frozen=True)
class Task:
    """What readers answer about each image.

    Attributes:
        id: its name.
        kind: `scale` of whole numbers, or `binary`: 0 real, 1 synthetic.
        minimum, maximum: ends of the scale; 0 and 1 of a binary task.
    """

    id: str
    kind: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Study:
    """A blinded set and its tasks, as `study.json` describes it.

    Attributes:
        name: of the study.
        protocol: `kapsner`, `mam_e` or a name of one's own.
        seed: of the set.
        tasks: in the order in which they are asked.
        images: names without an ending.
    """

    name: str
    protocol: str
    seed: int
    tasks: tuple[Task, ...]
    images: tuple[str, ...]


@dataclass(frozen=True)
class KeyEntry:
    """What an image is.

    Attributes:
        truth: `real` or `synthetic`.
        case: that it shows, or whose lesion mask it was made from; empty where nobody knows.
        reference: BI-RADS category 1 to 6, or None.
    """

    truth: str
    case: str
    reference: int | None


@dataclass(frozen=True)
class Reading:
    """A whole study.

    Attributes:
        study: its description.
        key: by image; all images of the study and no others.
        answers: by reader: whole numbers by (image, task).
    """

    study: Study
    key: Mapping[str, KeyEntry]
    answers: Mapping[str, Mapping[tuple[str, str], int]]


def read_reading(study: str | Path, key: str | Path) -> Reading:
    """A study's folder together with its key.

    Raises:
        InputError: see `read_study`, `read_answers` and `read_key`.
    """
    described = read_study(study)
    return Reading(described, read_key(key, described, as_path(study)), read_answers(study, described))


def read_study(folder: str | Path) -> Study:
    """The description in a study's folder.

    Raises:
        InputError: no `study.json`, or one with a field missing, a task that is none, or a name used twice.
    """
    path = as_path(folder) / STUDY_JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name the folder of a study") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); make the study again") from error
    fields = ("name", "protocol", "seed", "tasks", "images")
    missing = [name for name in fields if not isinstance(content, dict) or name not in content]
    missing += [name for name in fields[3:] if not missing and not isinstance(content[name], list)]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}, or not as a list; make the study again")
    tasks = tuple(_task(task, path) for task in content["tasks"])
    images = tuple(str(image) for image in content["images"])
    for kind, names in (("image", images), ("task", [task.id for task in tasks])):
        if not names:
            raise InputError(f"{path}: lists no {kind}; make the study again")
        repeated = _repeated(names)
        if repeated:
            raise InputError(f"{path}: lists {kind} {repeated} twice; make the study again")
    return Study(str(content["name"]), str(content["protocol"]), content["seed"], tasks, images)


def read_answers(folder: str | Path, study: Study) -> dict[str, dict[tuple[str, str], int]]:
    """Answers of all readers, by name of the file; an empty value is no answer yet.

    Raises:
        InputError: no file at all, an image or task that the study has not, a value off its scale, or a question
            answered twice.
    """
    folder = as_path(folder) / ANSWERS
    files = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: holds no answers (<reader>.csv); let somebody read the study first")
    return {path.stem: answers_of(path, study) for path in files}


def read_key(path: str | Path, study: Study, folder: Path | None = None) -> dict[str, KeyEntry]:
    """The key, by image.

    Args:
        path: CSV file.
        study: that it is of.
        folder: of the study, whose images have to be those that the key was made with; images of all studies bear the
            same names. None not to look. Keys that were typed have no hashes, and are taken as they are.

    Raises:
        InputError: an image that the study has not, one twice or one missing, a truth other than real and synthetic, or
            a reference other than 1 to 6.
    """
    path = as_path(path)
    key: dict[str, KeyEntry] = {}
    for where, row in csv_rows(path, KEY_COLUMNS, (HASH,)):
        image = row["image"]
        _check_known("image", image, study.images, where)
        if image in key:
            raise InputError(f"{where}: image {image} stands twice; keep one line")
        if folder is not None and row[HASH] and image_hash(folder, image) != row[HASH]:
            raise InputError(f"{where}: was made for another image {image}; give the key of this very study")
        reference = row["reference"]
        if reference and reference not in map(str, REFERENCES):
            raise InputError(f"{where}: reference '{reference}': use BI-RADS 1 to 6, or leave it empty")
        key[image] = KeyEntry(truth_word(row["truth"], where), row["case"], int(reference) if reference else None)
    missing = [image for image in study.images if image not in key]
    if missing:
        raise InputError(f"{path}: lacks {name_some(missing)} of the study's images; give the key of this very study")
    return key


def image_hash(folder: Path, image: str) -> str | None:
    """SHA-256 of an image's file in a study; None where it is not there."""
    return sha256_of_source(image_file(folder, image))


def truth_word(text: str, where: str) -> str:
    """`real` or `synthetic`, in whatever case it was written.

    Raises:
        InputError: another word.
    """
    if text.lower() not in (REAL, SYNTHETIC):
        nearest = difflib.get_close_matches(text.lower(), (REAL, SYNTHETIC), n=1, cutoff=0)[0]
        raise InputError(f"{where}: truth '{text}': did you mean {nearest}? Use real or synthetic")
    return text.lower()


def name_some(names: Sequence[str], shown: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def answers_of(path: Path, study: Study) -> dict[tuple[str, str], int]:
    if path.is_file() and not path.read_bytes().strip():
        return {}  # whoever took back the only answer
    tasks = {task.id: task for task in study.tasks}
    answers: dict[tuple[str, str], int] = {}
    seen = set()
    for where, row in csv_rows(path, ANSWER_COLUMNS):
        image, name, value = (row[column] for column in ANSWER_COLUMNS)
        _check_known("image", image, study.images, where)
        _check_known("task", name, list(tasks), where)
        if (image, name) in seen:
            raise InputError(f"{where}: image {image} has a second answer to {name}; keep one line")
        seen.add((image, name))
        task = tasks[name]
        if value and value not in map(str, range(task.minimum, task.maximum + 1)):
            raise InputError(f"{where}: value '{value}' of {name}: use {task.minimum} to {task.maximum}")
        if value:
            answers[image, name] = int(value)
    return answers


def _task(content: Any, path: Path) -> Task:
    kind = content.get("kind") if isinstance(content, dict) else None
    ends = (0, 1) if kind == BINARY else (content.get("min"), content.get("max")) if kind == SCALE else (None,) * 2
    if not all(type(end) is int for end in ends) or ends[0] >= ends[1] or not content.get("id"):
        raise InputError(
            f"{path}: task {json.dumps(content)}: give an id, and the kind binary, or scale with whole min and max"
        )
    return Task(str(content["id"]), kind, *ends)


def _check_known(what: str, name: str, known: Sequence[str], where: str) -> None:
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
        raise InputError(f"{where}: the study has no {what} '{name}'; the nearest is {nearest}")


def _repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)
