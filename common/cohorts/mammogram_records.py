"""What a cohort's tables say of one mammogram, before its file is read; and the words that tables use for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .prompt_attributes import DENSITY_WORDS, PATHOLOGIES, nearest_of

MASS, CALCIFICATION, UNSPECIFIED, OTHER = "mass", "calcification", "lesion", "other"
# `lesion` is a finding whose type nobody noted, `other` one of another type, such as a distortion.
KINDS = (MASS, CALCIFICATION, UNSPECIFIED, OTHER)
BENIGN_BIRADS, MALIGNANT_BIRADS = (2, 3), (4, 5, 6)
NOTHING = ("", "nan", "none", "null", "na", "n/a", "-")
_KIND_WORDS = {
    "mass": MASS,
    "calcification": CALCIFICATION,
    "calcifications": CALCIFICATION,
    "suspicious calcification": CALCIFICATION,
    "lesion": UNSPECIFIED,
    "other": OTHER,
}
_SECTION_WORDS = {
    "training": "training",
    "train": "training",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class LesionMark:
    """One lesion as a table gives it, in the pixels of the file; x along a row from the left, y down from the top.

    Attributes:
        kind: one of KINDS.
        birads: 0 to 6, or None.
        pathology: benign, malignant or None.
        box: (x0, y0, x1, y1), pixel edges, the last excluded.
        circle: (x, y, radius).
        from_bottom: the circle's y counts upwards from the lowest row.
        mask: file of the image's size.
    """

    kind: str
    birads: int | None = None
    pathology: str | None = None
    box: tuple[float, float, float, float] | None = None
    circle: tuple[float, float, float] | None = None
    from_bottom: bool = False
    mask: Path | None = None

    @property
    def has_place(self) -> bool:
        """Whether anything says where the lesion is."""
        return self.box is not None or self.circle is not None or self.mask is not None


@dataclass(frozen=True)
class MammogramRecord:
    """One mammogram of a cohort.

    Attributes:
        name: of the case, unique in the cohort.
        path: of the file.
        patient: whom it belongs to.
        laterality, view, vendor, density: as in datalists, or None; what the file's header says comes first.
        lesions: empty where there are none; None where nobody said.
        section: training, validation or test in the cohort's own division.
        spacing: (row_mm, column_mm) for files that do not say.
    """

    name: str
    path: Path
    patient: str
    laterality: str | None = None
    view: str | None = None
    vendor: str | None = None
    density: str | None = None
    lesions: tuple[LesionMark, ...] | None = None
    section: str | None = None
    spacing: tuple[float, float] | None = None


def is_nothing(value: Any) -> bool:
    """Whether a table's cell holds no value."""
    return value is None or str(value).strip().lower() in NOTHING


def density_letter(value: Any) -> str | None:
    """BI-RADS letter of a density: a letter, `DENSITY C`, 1 to 4, or one of the words of prompts; None if empty.

    Raises:
        InputError: anything else, naming the nearest.
    """
    if is_nothing(value):
        return None
    text = re.sub(r"^density[\s_:]*", "", str(value).strip(), flags=re.IGNORECASE)
    text = re.sub(r"^([1-4])\.0+$", r"\1", text)
    letters = {**{str(number): letter for number, letter in enumerate(DENSITY_WORDS, 1)}}
    letters |= {word: letter for letter, word in DENSITY_WORDS.items()}
    choices = (*DENSITY_WORDS, *letters)
    found = nearest_of("density", text.replace("_", " "), choices)
    return letters.get(found, found)


def birads_number(value: Any) -> int | None:
    """0 to 6 of a BI-RADS category such as `BI-RADS 4`, `4a` or 4; None if empty.

    Raises:
        InputError: anything else.
    """
    if is_nothing(value):
        return None
    match = re.fullmatch(r"(?:bi-?rads[\s_:]*)?([0-6])(?:\.0+|[abc])?", str(value).strip(), flags=re.IGNORECASE)
    if not match:
        raise InputError(f"birads {str(value)!r}: give a category from 0 to 6")
    return int(match.group(1))


def pathology_word(value: Any, birads: int | None) -> str | None:
    """`benign` or `malignant`: what is said, else what the BI-RADS category suspects (2, 3 or 4 to 6), else None."""
    if not is_nothing(value):
        return nearest_of("pathology", value, PATHOLOGIES)
    return "benign" if birads in BENIGN_BIRADS else "malignant" if birads in MALIGNANT_BIRADS else None


def kind_word(value: Any) -> str:
    """One of KINDS; `lesion` if empty.

    Raises:
        InputError: anything else, naming the nearest.
    """
    return UNSPECIFIED if is_nothing(value) else _KIND_WORDS[nearest_of("type", value, tuple(_KIND_WORDS))]


def section_word(value: Any) -> str | None:
    """training, validation or test; None if empty."""
    return None if is_nothing(value) else _SECTION_WORDS[nearest_of("split", value, tuple(_SECTION_WORDS))]


def findings_of(value: Any) -> tuple[str, ...]:
    """Kinds of findings from a knob: `all`, one kind, or several.

    Raises:
        InputError: an unknown one, naming the nearest.
    """
    parts: Sequence[Any] = value if isinstance(value, (list, tuple)) else str(value).split(",")
    if [str(part).strip().lower() for part in parts] == ["all"]:
        return KINDS
    return tuple(dict.fromkeys(nearest_of("findings", part, KINDS) for part in parts))


def check_unique(records: Sequence[MammogramRecord], where: str) -> None:
    """Check that no two records have one name.

    Raises:
        InputError: two have.
    """
    seen: dict[str, Path] = {}
    for record in records:
        if record.name in seen:
            raise InputError(f"{where}: {seen[record.name]} and {record.path} have one name; rename one of them")
        seen[record.name] = record.path
