"""What a sentence or a person says of a mammogram: a closed set of attributes, each with its few words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

VIEWS = ("CC", "MLO", "LM", "ML")
# First words of manufacturers' names in mammograms' headers.
# fmt: off
VENDORS = (
    "hologic", "siemens", "ge", "fujifilm", "ims", "planmed", "philips", "lorad", "sectra",
    "giotto", "metaltronica", "agfa", "kodak", "carestream", "konica", "canon", "samsung", "lumisys",
)
# fmt: on
DENSITY_WORDS = {"A": "very low", "B": "low", "C": "high", "D": "very high"}
AREAS = ("small", "medium", "big")
LESIONS = ("mass", "calcification", "lesion", "none")
PATHOLOGIES = ("benign", "malignant")

_PLAIN = "a magnified mammogram in view with without and area density benign malignant mass lesion calcifications"
_OLDER = ", size healthy magnification of"
_KNOBS = {"view": VIEWS, "area": AREAS, "lesion": LESIONS, "pathology": PATHOLOGIES}


@dataclass(frozen=True)
class MammogramAttributes:
    """What a sentence says of a mammogram; None where it says nothing.

    Attributes:
        view: CC, MLO, LM or ML.
        vendor: one lower-case word.
        density: BI-RADS letter A to D.
        area: small, medium or big, of the share of the image that the breast takes.
        lesion: mass, calcification, lesion (of whatever type) or none.
        pathology: benign or malignant, only where there is a lesion.
        magnified: a close-up of part of the breast.
    """

    view: str | None = None
    vendor: str | None = None
    density: str | None = None
    area: str | None = None
    lesion: str | None = None
    pathology: str | None = None
    magnified: bool = False


def words(vendors: Sequence[str] = VENDORS) -> tuple[str, ...]:
    """Every word that a sentence can hold, in lower case and a fixed order, the comma among them."""
    density = " ".join(DENSITY_WORDS.values())
    text = " ".join((_PLAIN, _OLDER, *VIEWS, *AREAS, density, *vendors)).lower()
    return tuple(dict.fromkeys(text.split()))


def density_word(letter: str) -> str:
    """Word of a BI-RADS density, `high` for C.

    Raises:
        InputError: not a letter from A to D.
    """
    return DENSITY_WORDS[nearest_of("density", letter, tuple(DENSITY_WORDS))]


def check_attributes(attributes: MammogramAttributes) -> None:
    """Check that each attribute has one of its values; a vendor may be any lower-case word of letters and digits.

    Raises:
        InputError: another value, naming the nearest; or a pathology without a lesion.
    """
    for slot, values in {**_KNOBS, "density": tuple(DENSITY_WORDS)}.items():
        value = getattr(attributes, slot)
        if value is not None and value not in values:
            raise unknown_word(slot, value, values)
    vendor = attributes.vendor
    if vendor is not None and (not re.fullmatch(r"[a-z0-9]+", vendor) or vendor in words(())):
        raise InputError(f"vendor {vendor!r}: give one lower-case word, such as siemens")
    if attributes.pathology and attributes.lesion in (None, "none"):
        raise InputError(f"pathology {attributes.pathology}: there is no lesion that it belongs to; give a lesion too")


def attributes_from_knobs(
    view: Any = None,
    vendor: Any = None,
    density: Any = None,
    area: Any = None,
    lesion: Any = None,
    pathology: Any = None,
    magnified: bool = False,
    vendors: Sequence[str] = VENDORS,
) -> MammogramAttributes:
    """Attributes as a person gives them, in any case of letters; None or empty text says nothing.

    Args:
        density: letter or word.
        lesion: `calcifications` is taken too.
        vendors: that are known.

    Raises:
        InputError: an unknown word, naming the nearest, or a pathology without a lesion.
    """
    lesion = "calcification" if _plain(lesion) == "calcifications" else lesion
    letters = {value: letter for letter, word in DENSITY_WORDS.items() for value in (word, letter.lower())}
    given = {"view": view, "vendor": vendor, "density": density, "area": area, "lesion": lesion, "pathology": pathology}
    choices = {**_KNOBS, "vendor": vendors, "density": (*DENSITY_WORDS.values(), *DENSITY_WORDS)}
    known = {slot: nearest_of(slot, value, choices[slot]) if _plain(value) else None for slot, value in given.items()}
    if known["density"]:
        known["density"] = letters[known["density"].lower()]
    attributes = MammogramAttributes(**known, magnified=bool(magnified))
    check_attributes(attributes)
    return attributes


def _plain(value: Any) -> str:
    return "" if value is None else " ".join(str(value).lower().split())


def nearest_of(slot: str, value: Any, values: Sequence[str]) -> str:
    """The one of some values that a word is, in any case of letters; InputError otherwise."""
    known = {choice.lower(): choice for choice in values}
    if _plain(value) not in known:
        raise unknown_word(slot, value, values)
    return known[_plain(value)]


def unknown_word(slot: str, value: Any, values: Sequence[str]) -> InputError:
    known = {choice.lower(): choice for choice in values}
    nearest = difflib.get_close_matches(_plain(value), known, n=1, cutoff=0)[0]
    return InputError(f"{slot} {str(value)!r}: did you mean {known[nearest]}? There are {', '.join(values)}")
