"""What an evaluation of text-to-mammogram asks for: the attributes of real images, and combinations never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..cohorts.datalist import SECTIONS, load_datalist
from ..cohorts.mammogram_prompts import compose
from ..cohorts.prompt_attributes import AREAS, DENSITY_WORDS, MammogramAttributes, attributes_from_knobs
from ..errors import InputError
from ..transforms.breast_area import area_word

SEEN, UNSEEN = "seen combinations", "unseen combinations"
ASKED = ("view", "vendor", "density", "area")
Combination = tuple[str, str, str]


def asked_of(item: Mapping[str, Any]) -> dict[str, str | None]:
    """View, vendor, density and area of a datalist item; None for what it does not say."""
    ratio = item.get("area_ratio")
    return {**{name: item.get(name) for name in ASKED[:3]}, "area": None if ratio is None else area_word(ratio)}


def combination_of(asked: Mapping[str, str | None]) -> Combination | None:
    """Vendor, density and area; None where one is not known."""
    found = tuple(asked[name] for name in ASKED[1:])
    return None if None in found else found


def unseen_combinations(training: Sequence[Mapping[str, Any]], chosen: Any = None) -> list[Combination]:
    """Combinations of vendor, density and area that no training image has.

    Args:
        training: datalist items that the model was trained on.
        chosen: lists of vendor, density (letter or word) and area; None for all that the training images' vendors,
            the four densities and the three areas make and no training image has.

    Raises:
        InputError: not a list of three words each, or an unknown word.
    """
    if chosen is not None:
        if not isinstance(chosen, (list, tuple)) or any(len(entry) != 3 or isinstance(entry, str) for entry in chosen):
            raise InputError(f"unseen={chosen}: give lists of three, such as [['siemens', 'D', 'small']]")
        parts = [attributes_from_knobs(vendor=vendor, density=density, area=area) for vendor, density, area in chosen]
        return [(part.vendor, part.density, part.area) for part in parts]
    seen = {combination_of(asked_of(item)) for item in training} - {None}
    vendors = sorted({vendor for vendor, _, _ in seen})
    return [found for found in product(vendors, DENSITY_WORDS, AREAS) if found not in seen]


def seen_requests(items: Sequence[Mapping[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """Prompts of real images: `case`, `prompt`, `asked` and `like`, the item; evenly random, all where fewer."""
    order = np.random.default_rng([seed, 1]).permutation(len(items))[:count]
    return [_request(items[k]["case"], asked_of(items[k])) | {"like": items[k]} for k in sorted(order)]


def unseen_requests(combinations: Sequence[Combination], views: Sequence[str], count: int) -> list[dict[str, Any]]:
    """`count` prompts (or as many more as all need once), each combination in each view equally often, as above."""
    kinds = [(view, *combination) for combination in combinations for view in views]
    repeats = -(-count // len(kinds)) if kinds else 0
    return [
        _request("_".join((*kind[1:], kind[0], str(k))), dict(zip(ASKED, kind, strict=True)))
        for kind in kinds
        for k in range(repeats)
    ]


def _request(case: str, asked: dict[str, str | None]) -> dict[str, Any]:
    return {"case": case, "asked": asked, "prompt": compose(MammogramAttributes(**asked))}


def optional_items(path: Any) -> list[dict[str, Any]]:
    """All cases of a datalist; none where no path is given."""
    return [] if path is None else load_datalist(path, SECTIONS)
