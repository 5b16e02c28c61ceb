"""Which lesion masks to sample from: inputs as users give them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohorts.datalist import SECTIONS, load_datalist
from ..cohorts.lesion_classes import class_file_of
from ..errors import InputError
from ..io.label_images import is_label_image
from ..io.segment_files import is_dicom_file
from ..io.volumes import case_name, volume_suffix
from ..knobs import as_path
from ..outputs import DATALIST
from .plan import MASK_NAME, tell_apart


def find_annotations(path: str | Path, sections: Sequence[str] = SECTIONS) -> list[dict[str, Any]]:
    """Lesion masks, as a user names them.

    Args:
        path: a mask file that `read_annotation` takes; a `datalist.json`, or a folder that holds one; any other folder
            (its files named as masks, or all its images where none is).
        sections: of a datalist.

    Returns:
        Items with `case`, `image` (the mask's path) and, where there is one, `class_file` (the JSON file beside it) and
        `breast` (a datalist's outline).

    Raises:
        InputError: nothing there, or nothing that can be a mask.
    """
    path = as_path(path)
    if path.is_dir() and not (path / DATALIST).is_file():
        found = _find_label_images(path)
        items = [_from_file(file) for file in [file for file in found if _is_named_mask(file)] or found]
    elif path.is_dir() or path.suffix == ".json":
        file = path / DATALIST if path.is_dir() else path
        items = [_from_datalist(item, file) for item in load_datalist(file, sections)]
    elif not path.exists():
        raise InputError(f"input {path}: no such file or folder; give a mask, a folder of masks or a datalist.json")
    else:
        items = [_from_file(path)] if is_label_image(path) or is_dicom_file(path) else []
    if not items:
        raise InputError(f"input {path}: no mask found; give NIfTI, NRRD or PNG masks, for example X_mask.nii.gz")
    tell_apart(items, path)
    return items


def _find_label_images(folder: Path) -> list[Path]:
    paths = (Path(home) / name for home, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in paths if is_label_image(path) and not path.name.startswith("."))


def _stem(path: Path) -> str:
    return path.name[: -len(volume_suffix(path) or path.suffix)]


def _is_named_mask(path: Path) -> bool:
    return MASK_NAME.search(_stem(path)) is not None


def _from_file(path: Path) -> dict[str, Any]:
    item = {"case": case_name(path if volume_suffix(path) else _stem(path)), "image": str(path)}
    return item | ({"class_file": str(class_file_of(path))} if class_file_of(path).is_file() else {})


def _from_datalist(item: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if "label" not in item:
        raise InputError(f"{path}: case {item.get('case', '?')} has no label to sample from")
    found = _from_file(Path(item["label"])) | ({"case": item["case"]} if "case" in item else {})
    return found | ({"breast": item["breast"]} if "breast" in item else {})
