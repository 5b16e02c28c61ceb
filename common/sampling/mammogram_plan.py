"""Which mammograms to draw, and into which to paint: inputs as users give them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohorts.datalist import SECTIONS, load_datalist
from ..cohorts.mammogram_prompts import MammogramAttributes, attributes_from_knobs, compose
from ..errors import InputError
from ..io.mammograms import is_mammogram_file
from ..io.volumes import case_name, volume_suffix
from ..knobs import as_path, as_text
from ..outputs import DATALIST
from .plan import tell_apart

_LONGEST_NAME = 60
# Words of the prompts' grammar that tell nothing apart in a name.
_FILLERS = {"a", "mammogram", "in", "view", "with", "and", "of"}


def find_paintings(
    path: str | Path, mask: str | Path | None = None, sections: Sequence[str] = SECTIONS
) -> list[dict[str, Any]]:
    """Mammograms with masks, as a user names them.

    Args:
        path: a mammogram; a folder of them; a `datalist.json`, or a folder that holds one.
        mask: for a mammogram a mask file, for a folder of them a folder of masks of the same names; a datalist's own
            `label` is used without it.
        sections: of a datalist.

    Returns:
        Items with `case`, `image` and `mask` (paths).

    Raises:
        InputError: nothing there, or a mammogram without a mask.
    """
    path = as_path(path)
    mask = None if mask is None else as_path(mask)
    listed = path / DATALIST if (path / DATALIST).is_file() else path if path.suffix == ".json" else None
    if listed is not None:
        if mask is not None:
            raise InputError("mask: goes with a mammogram or a folder of them; a datalist names its own as `label`")
        items = [
            {"case": item["case"], "image": item["image"], "mask": item["label"]}
            for item in load_datalist(listed, sections, having="label")
        ]
    elif path.is_dir():
        if mask is None or not mask.is_dir():
            raise InputError(f"input {path}: is a folder; name the folder of its masks with --mask")
        files = sorted(
            file
            for file in path.rglob("*")
            if mask not in file.parents and not file.name.startswith(".") and is_mammogram_file(file)
        )
        items = [_with_mask(file, _mask_in(mask, file)) for file in files]
    elif path.exists():
        if mask is None:
            raise InputError(f"input {path}: no mask; name the image in which the lesion is drawn with --mask")
        items = [_with_mask(path, mask)]
    else:
        raise InputError(f"input {path}: no such file or folder; give a mammogram (DICOM, PNG, NIfTI) and its --mask")
    if not items:
        raise InputError(f"input {path}: no mammogram found; give DICOM, PNG, TIFF, PGM or NIfTI images")
    for item in items:
        if not Path(item["mask"]).is_file():
            raise InputError(f"mask {item['mask']}: no such file")
    tell_apart(items, path)
    return items


def _stem(path: Path) -> str:
    suffix = volume_suffix(path) or path.suffix
    return path.name.removesuffix(suffix) if suffix and not suffix[1:].isdigit() else path.name


def _with_mask(path: Path, mask: Path) -> dict[str, Any]:
    return {"case": case_name(path if volume_suffix(path) else _stem(path)), "image": str(path), "mask": str(mask)}


def _mask_in(folder: Path, image: Path) -> Path:
    stem = _stem(image)
    found = [file for file in sorted(folder.iterdir()) if _stem(file) in (stem, f"{stem}_mask")]
    if not found:
        raise InputError(f"mask {folder}: holds none for {image.name}; name it {stem}_mask.png")
    return found[0]


def find_prompts(prompt: Any, attributes: Mapping[str, Any], priority: str = "area") -> list[dict[str, Any]]:
    """What is to be drawn from text: items with `case` and `prompt`.

    Args:
        prompt: a sentence, a list of them, or a text file with one a line; None composes one from the attributes.
        attributes: knobs `view`, `vendor`, `density`, `area`, `lesion`, `pathology`.
        priority: see `compose`.

    Raises:
        InputError: an empty list or file, or an unknown word.
    """
    if prompt is None:
        return [_prompt_item(compose(attributes_from_knobs(**attributes), priority))]
    if isinstance(prompt, list):
        prompts = [as_text(entry) for entry in prompt]
    elif as_text(prompt).endswith(".txt"):
        file = as_path(prompt)
        if not file.is_file():
            raise InputError(f"prompt {file}: no such file; give a sentence, or a text file with one a line")
        prompts = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        prompts = [as_text(prompt)]
    if not prompts:
        raise InputError("prompt: holds no sentence")
    items = [_prompt_item(entry) for entry in dict.fromkeys(prompts)]
    names = Counter(item["case"] for item in items)
    for item in items:
        if names[item["case"]] > 1:
            item["case"] += f"_{hashlib.sha256(item['prompt'].encode()).hexdigest()[:8]}"
    return items


def _prompt_item(prompt: str) -> dict[str, Any]:
    words = re.findall(r"[a-z0-9]+", prompt.lower())
    name = "_".join(word for word in words if word not in _FILLERS)[:_LONGEST_NAME].rstrip("_")
    return {"case": name or "mammogram", "prompt": prompt}


def painting_prompt(prompt: Any, attributes: Mapping[str, Any], crop: bool = False) -> str:
    """The sentence for a region to be filled: as given, or composed from the attributes, as a close-up if `crop`.

    Raises:
        InputError: an unknown word.
    """
    if prompt is not None:
        return as_text(prompt)
    found = attributes_from_knobs(**attributes)
    return compose(MammogramAttributes(**{**vars(found), "magnified": crop}))
