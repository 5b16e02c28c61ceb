"""datalist.json: the one form in which every cohort enters, split by patient and fingerprinted."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.files import sha256_of_json, write_json
from ..knobs import as_path

SECTIONS = ("training", "validation", "test")
logger = logging.getLogger(__name__)
PATH_KEYS = ("image", "phases", "label", "reference", "breast")


def split_by_patient(
    items: Sequence[dict[str, Any]], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Divide cases so that no patient stands in two sections.

    A patient's place depends on the seed and the patient's name alone, up to the exact section sizes.

    Args:
        items: cases with a `patient` entry.
        fractions: training, validation, test; they sum to 1.
        seed: of the shuffle.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"fractions {tuple(fractions)}: give training, validation and test shares that sum to 1")
    patients = sorted(
        {item["patient"] for item in items}, key=lambda p: hashlib.sha256(f"{seed}|{p}".encode()).digest()
    )
    places = np.repeat(SECTIONS, _section_sizes(len(patients), fractions))
    section_of = dict(zip(patients, places.tolist(), strict=True))
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    for item in sorted(items, key=lambda item: item["case"]):
        sections[section_of[item["patient"]]].append(item)
    return sections


def _section_sizes(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole sizes that sum to `count`; each section with a share gets at least one patient where there are enough."""
    edges = np.rint(np.cumsum([0.0, *fractions]) * count).astype(int)
    sizes = np.diff(edges).tolist()
    for section, share in enumerate(fractions):
        if share > 0 and sizes[section] == 0 and max(sizes) > 1:
            sizes[sizes.index(max(sizes))] -= 1
            sizes[section] = 1
    return sizes


def save_datalist(path: str | Path, sections: dict[str, list[dict]], **facts: Any) -> str:
    """Write a datalist with paths relative to its own folder; returns the hash of the split.

    Args:
        path: the `datalist.json`.
        sections: cases under `training`, `validation`, `test`.
        facts: further top-level entries, for example the seed and what was skipped.
    """
    path = Path(path)
    split_hash = sha256_of_json({name: [item["case"] for item in sections.get(name, [])] for name in SECTIONS})
    relative = {
        name: [_with_paths(item, lambda p: os.path.relpath(p, path.parent)) for item in sections.get(name, [])]
        for name in SECTIONS
    }
    write_json(path, {**facts, "split_sha256": split_hash, **relative})
    return split_hash


def load_datalist(
    path: str | Path, sections: str | Iterable[str] = SECTIONS, required: bool = True, having: str | None = None
) -> list[dict[str, Any]]:
    """Cases of one or more sections of a datalist, with absolute paths.

    Args:
        path: the `datalist.json`.
        sections: one name or several.
        required: whether no case at all is a mistake.
        having: take only cases with this entry, such as `label`; how many are left out is logged.

    Raises:
        InputError: no such file, not JSON, without the sections asked for, or a case whose files are gone.
    """
    path = as_path(path)
    names = [sections] if isinstance(sections, str) else list(sections)
    if not path.is_file():
        raise InputError(f"{path}: no such datalist; make one with scripts/prepare_data.py")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); make it again with scripts/prepare_data.py") from error
    if not isinstance(content, dict) or not any(name in content for name in names):
        raise InputError(f"{path}: has no section {' or '.join(names)}; make it again with scripts/prepare_data.py")
    folder = path.parent.resolve()
    found = [item for name in names for item in content.get(name, [])]
    if having is not None:
        total, found = len(found), [item for item in found if having in item]
        if len(found) < total:
            logger.info(f"{path}: {total - len(found)} of {total} cases have no {having} and are left out")
    if required and not found:
        wanted = f"case with {having}" if having else "case"
        raise InputError(f"{path}: section {' or '.join(names)} holds no {wanted}; split again with other --fractions")
    items = [_with_paths(item, lambda p: str((folder / p).resolve())) for item in found]
    for item in items:
        for missing in (file for file in _files(item) if not Path(file).is_file()):
            raise InputError(f"{path}: case {item.get('case', '?')}: {missing} is gone; prepare the data again")
    return items


def _files(item: dict[str, Any]) -> list[str]:
    values = [item[key] for key in PATH_KEYS if key in item]
    return [file for value in values for file in (value if isinstance(value, list) else [value])]


def _with_paths(item: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    changed = dict(item)
    for key in PATH_KEYS:
        if isinstance(item.get(key), str):
            changed[key] = change(item[key])
        elif isinstance(item.get(key), list):
            changed[key] = [change(entry) for entry in item[key]]
    return changed
