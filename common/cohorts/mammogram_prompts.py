"""Sentences that describe a mammogram: one grammar that writes every form of the MAM-E models and reads it back.

MAM-E (Montoya-del-Angel et al. 2023, arXiv 2311.09822) trains each model on sentences of its own: view and breast area
(OMI-H), view and density (VinDr), either with the vendor's name in it (fusion), a constant sentence (inpainting). Its
fused sentence, with both area and density, is used when sampling only; here it is the form of training too. Lesion
clauses with a type, and `magnified` for close-ups, are additions of this project.

    a [magnified] [<vendor>] mammogram [in <VIEW> view] [with <x> area and <y> density][[,] <lesion clause>]

The lesion clause is `with a [benign|malignant] mass` (or `lesion`), `with [benign|malignant] calcifications` or
`without a lesion`. It has a comma before it where area or density were said, and none elsewhere, so that the inpainting
sentence stays the paper's `a mammogram with a lesion`. Reading takes it either way, in any case of letters.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import InputError
from .prompt_attributes import (
    DENSITY_WORDS,
    MammogramAttributes,
    attributes_from_knobs,
    check_attributes,
    density_word,
    unknown_word,
    words,
)
from .prompt_parser import parse

__all__ = [
    "FORMS",
    "PRIORITIES",
    "MammogramAttributes",
    "attributes_from_knobs",
    "check_attributes",
    "compose",
    "density_word",
    "parse",
    "random_prompt",
    "said",
    "view_of",
    "words",
]

PRIORITIES = ("area", "density", "only area", "only density")
FORMS = ("fused", "area", "density", "view", "comma", "inpainting", "patch")
_NEEDED = {
    "area": ("view", "area"),
    "density": ("view", "density"),
    "view": ("view",),
    "comma": ("view",),
    "inpainting": ("lesion",),
    "patch": ("lesion",),
}


def said(attributes: MammogramAttributes, priority: str = "area", form: str = "fused") -> MammogramAttributes:
    """What of the attributes a sentence of `compose` tells, and `parse` therefore returns.

    Raises:
        InputError: as `compose`.
    """
    check_attributes(attributes)
    for name, value, choices in (("priority", priority, PRIORITIES), ("form", form, FORMS)):
        if value not in choices:
            raise unknown_word(name, value, choices)
    only = priority.removeprefix("only ") if priority.startswith("only ") else None
    needed = _NEEDED.get(form, (only,) if only else ())
    missing = [slot for slot in needed if getattr(attributes, slot) in (None, "none")]
    if missing:
        what = f"priority {priority}" if form == "fused" else f"form {form}"
        raise InputError(f"{what}: says {' and '.join(needed)}; give {' and '.join(missing)}")
    a = attributes
    if form == "fused":
        return replace(a, **({"density" if only == "area" else "area": None} if only else {}))
    if form in ("inpainting", "patch"):
        return MammogramAttributes(lesion="lesion", magnified=form == "patch")
    if form == "comma":
        lesion = None if a.area is None or a.lesion is None else "none" if a.lesion == "none" else "lesion"
        return MammogramAttributes(view=a.view, area=a.area, lesion=lesion)
    return MammogramAttributes(view=a.view, **({form: getattr(a, form)} if form != "view" else {}))


def compose(attributes: MammogramAttributes, priority: str = "area", form: str = "fused") -> str:
    """The sentence of some attributes.

    Args:
        attributes: of a mammogram; what is None is not said.
        priority: of the fused form: which of area and density comes first, or which alone is said.
        form: `fused`, see above; `area` and `density`, with the view, of the OMI-H and VinDr models; `view` alone;
            `comma`, of the older OMI-H models (`mammogram, MLO view, small size, with lesion`); `inpainting`, constant;
            `patch` (`magnification of a lesion`). What a form has no words for is left out, see `said`.

    Raises:
        InputError: an unknown value, or one missing that the form or priority is about.
    """
    a = said(attributes, priority, form)
    if form == "patch":
        return "magnification of a lesion"
    if form == "comma":
        status = {None: [], "none": ["healthy"], "lesion": ["with lesion"]}[a.lesion]
        return ", ".join(["mammogram", f"{a.view} view", *([f"{a.area} size"] if a.area else []), *status])
    phrases = [f"{a.area} area"] if a.area else []
    if a.density:
        phrases.insert(len(phrases) if priority == "area" else 0, f"{DENSITY_WORDS[a.density]} density")
    subject = ["a", *(["magnified"] if a.magnified else []), *([a.vendor] if a.vendor else []), "mammogram"]
    sentence = " ".join(subject) + (f" in {a.view} view" if a.view else "")
    sentence += f" with {' and '.join(phrases)}" if phrases else ""
    return sentence + (f"{',' if phrases else ''} {_lesion_clause(a)}" if a.lesion else "")


def random_prompt(attributes: MammogramAttributes, generator: torch.Generator, keep: float = 0.8) -> str:
    """A fused sentence for training, with attributes left out at random so that any subset can be asked for.

    Args:
        attributes: all that is known.
        generator: six numbers are drawn whatever the attributes.
        keep: probability with which each of view, vendor, density, area and pathology is said. A lesion clause and
            `magnified` always are. Area comes before density in half of the sentences.
    """
    draws = torch.rand(6, generator=generator).tolist()
    slots = ("view", "vendor", "density", "area", "pathology")
    dropped = {slot: None for slot, draw in zip(slots, draws, strict=False) if draw >= keep}
    return compose(replace(attributes, **dropped), "area" if draws[5] < 0.5 else "density")


def _lesion_clause(attributes: MammogramAttributes) -> str:
    if attributes.lesion == "none":
        return "without a lesion"
    many = attributes.lesion == "calcification"
    kind = "calcifications" if many else attributes.lesion
    return " ".join(["with", *([] if many else ["a"]), *filter(None, [attributes.pathology]), kind])


def view_of(prompt: str) -> str | None:
    """The view that a prompt of the grammar names; None for any other sentence."""
    try:
        return parse(prompt).view
    except InputError:
        return None
