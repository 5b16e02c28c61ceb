"""BI-RADS classes of lesions: from a table, a segment's name or tags, or the JSON file beside a mask.

A lesion has class 2 to 6. Class 1 means that an examination shows none, so no pixel can have it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ImageColor

from ..errors import InputError
from ..io.segmentations import Segment
from ..io.volumes import volume_suffix
from ..knobs import as_path

logger = logging.getLogger(__name__)

CLASSES = (2, 3, 4, 5, 6)
HEALTHY = 1  # of an examination without a finding
IGNORED = 0
_ENTRY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,:{}"']+?))\s*:\s*["']?([^,{}"']+?)["']?\s*(?:,|$)""")
_SPELLED = r"(?<![a-z0-9])bi[-_. ]?rads?[-_.:=# ]*(?:cat(?:egory)?|class)?[-_.: ]*(\d+)[a-c]?(?![a-z0-9])"
_SHORT = r"(?<![a-z0-9])b(\d)[a-c]?(?![a-z0-9])"
_LEADING = r"^\s*(\d)[a-c]?\s*(?:$|[-–:(,_]\s*(?!\d))"


def check_class(value: Any, where: str) -> int:
    """A lesion's class as a number; `4a` is 4.

    Raises:
        InputError: not a class from 2 to 6.
    """
    found = re.fullmatch(r"(\d+)(?:\.0)?[a-c]?", str(value).strip().lower())
    number = int(found[1]) if found else None
    if number == 1:
        raise InputError(f"{where}: class 1 means no finding and is never a lesion's; remove the lesion or correct it")
    if number not in CLASSES:
        raise InputError(f"{where}: {value} is not a BI-RADS class of a lesion; use 2 to 6")
    return number


def read_class_table(classes: Mapping | str | Path | None) -> dict[str, int]:
    """Table from label values, instance numbers, segment names or colours (as text) to classes.

    Args:
        classes: a mapping, its text as on a command line such as `{1: 4, left: 5}`, or a JSON file that holds one.
            Class 0 means that a value is ignored. None is an empty table.

    Raises:
        InputError: not a mapping, or a class that is not 0 or 2 to 6.
    """
    if classes is None:
        return {}
    if not isinstance(classes, Mapping):
        classes = _parse(str(classes)) if str(classes).strip().startswith("{") else _read_json(as_path(classes))
    table = {}
    for key, value in classes.items():
        key = ",".join(map(str, key)) if isinstance(key, (tuple, list)) else str(key).strip()
        table[key] = IGNORED if str(value).strip() == "0" else check_class(value, f"classes: {key}")
    return table


def _parse(text: str) -> dict[str, str]:
    inner = text.strip()[1:-1]
    entries = list(_ENTRY.finditer(inner))
    if not text.strip().endswith("}") or not entries or sum(len(e[0]) for e in entries) != len(inner):
        raise InputError(f"classes={text}: not a table; write for example {{1: 4, 2: 5}} or {{red: 5}}")
    return {next(part for part in entry.groups()[:3] if part is not None): entry[4] for entry in entries}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"classes={path}: neither a table such as {{1: 4}} nor a JSON file that holds one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); correct or remove it") from error
    if not isinstance(content, dict):
        raise InputError(f'{path}: expected a JSON object such as {{"1": 4}}; correct or remove it')
    return content


def colour_classes(table: Mapping[str, int]) -> dict[tuple[int, ...], int]:
    """A table of colours, by RGB: keys are names (`red`), hexadecimal (`ff0000`) or `255,0,0`.

    `green` is pure green (0, 255, 0), as masks are painted, besides the darker one that the web calls so.

    Raises:
        InputError: a key that is no colour.
    """
    colours = {}
    for key, value in table.items():
        parts = re.fullmatch(r"\(?\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)\s*\)?", key)
        try:
            if parts:
                text = f"rgb({parts[1]},{parts[2]},{parts[3]})"
            else:
                text = f"#{key}" if re.fullmatch(r"[0-9a-fA-F]{6}", key) else key
            colours[ImageColor.getrgb(text)[:3]] = value
        except ValueError as error:
            raise InputError(f"classes: {key} is not a colour; use red, ff0000 or 255,0,0") from error
    if ImageColor.getrgb("green") in colours:
        colours.setdefault(ImageColor.getrgb("lime"), colours[ImageColor.getrgb("green")])
    return colours


def class_from_name(name: str) -> int | None:
    """Class that a name tells (`BI-RADS 4`, `birads_5 left`, `B4a`, `4 - suspicious`), or None; 0 to 9 are possible.

    A number alone tells it only at the beginning: `Segment_4` is Slicer's own numbering.
    """
    for pattern in (_SPELLED, _SHORT, _LEADING):
        found = {int(number) for number in re.findall(pattern, name.lower())}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def class_of_segment(segment: Segment, table: Mapping[str, int], path: Path) -> int:
    """Class of a segment: from the table by name or label value, else from its tags, else from its name.

    Returns:
        2 to 6, or 0 where the table ignores the segment.

    Raises:
        InputError: nothing tells the class, or it is not one of a lesion.
    """
    for key in (segment.name, str(segment.value)):
        if key in table:
            return table[key]
    tagged = {int(number) for number in re.findall(_SPELLED, segment.tags.lower())}
    told = tagged.pop() if len(tagged) == 1 else class_from_name(segment.name)
    if told is None:
        raise InputError(
            f"{path}: the BI-RADS class of segment {segment.name} cannot be told from its tags or name; "
            f'give it with --classes "{{{segment.name}: 4}}"'
        )
    birads = check_class(told, f"{path}: segment {segment.name}")
    logger.info(f"{path}: segment {segment.name} is read as BI-RADS {birads}")
    return birads


def class_file_of(mask: Path) -> Path:
    """Where the JSON file of the same name beside a mask, volume or PNG, lies if there is one."""
    return mask.with_name(mask.name[: -len(volume_suffix(mask) or mask.suffix)] + ".json")


def read_class_file(mask: Path) -> dict[int, int] | None:
    """Class by instance from the JSON file beside a mask.

    Two forms: `{"instances": {"1": 4}}` as nnDetection has it, and `{"lesions": [{"instance": 1, "birads": 4}]}` as our
    phantoms have it.

    Returns:
        The classes, empty where there is no lesion; None without a file, or where it says nothing about classes.

    Raises:
        InputError: not readable, or a class that is not 2 to 6.
    """
    path = class_file_of(mask)
    if not path.is_file():
        return None
    content = _read_json(path)
    instances = content.get("instances")
    lesions = content.get("lesions")
    if isinstance(lesions, list) and all(isinstance(lesion, dict) for lesion in lesions) and instances is None:
        # Lists of lesions have other uses too: one without any class is no class file.
        if lesions and not any("birads" in lesion for lesion in lesions):
            return None
        instances = {lesion.get("instance"): lesion.get("birads") for lesion in lesions}
    if instances is None and not all(key.isdigit() for key in content):
        return None
    if not isinstance(instances, dict) or not all(str(number).isdigit() for number in instances):
        raise InputError(f'{path}: expected {{"instances": {{"1": 4, ...}}}}; correct or remove it')
    return {int(number): check_class(value, f"{path}: instance {number}") for number, value in instances.items()}
