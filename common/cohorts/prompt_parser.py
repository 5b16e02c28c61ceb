"""Reads the sentences of `mammogram_prompts` back, from left to right, and names the place where one goes wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from .prompt_attributes import AREAS, DENSITY_WORDS, PATHOLOGIES, VENDORS, VIEWS, MammogramAttributes, nearest_of


def parse(prompt: str, vendors: Sequence[str] = VENDORS) -> MammogramAttributes:
    """Attributes that a sentence of any form tells.

    Args:
        prompt: in any case of letters, with any spaces, a full stop at its end or none.
        vendors: names that are known.

    Raises:
        InputError: not a sentence of the grammar; names the place and the nearest word.
    """
    tokens = _Tokens(str(prompt))
    if tokens.found("magnification"):
        tokens.expect("of", "a", "lesion")
        attributes = MammogramAttributes(lesion="lesion", magnified=True)
    elif tokens.found("mammogram"):
        attributes = _parse_comma_form(tokens)
    else:
        attributes = _parse_sentence(tokens, vendors)
    tokens.expect_end()
    return attributes


class _Tokens:
    """Words of a prompt, read from left to right."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.waiting = re.findall(r"[\w-]+|[^\w\s]", prompt.lower().strip().removesuffix("."))
        if not self.waiting:
            raise InputError("prompt: is empty; write for example: a mammogram in MLO view with high density")

    @property
    def next(self) -> str:
        return self.waiting[0] if self.waiting else ""

    def found(self, word: str) -> bool:
        """Take a word if it is the next one."""
        if self.next != word:
            return False
        self.waiting.pop(0)
        return True

    def one_of(self, slot: str, values: Sequence[str]) -> str:
        """Take the next word, which has to be one of some values."""
        value = nearest_of(f"{slot} word", self.next, values)
        self.waiting.pop(0)
        return value

    def expect(self, *expected: str) -> None:
        for word in expected:
            if not self.found(word):
                where = f"{self.next!r} where" if self.waiting else "it ends where"
                raise InputError(f"prompt '{self.prompt}': {where} '{word}' is expected")

    def expect_end(self) -> None:
        if self.waiting:
            raise InputError(f"prompt '{self.prompt}': nothing is expected from '{self.next}' on; remove or reword it")


def _parse_sentence(tokens: _Tokens, vendors: Sequence[str]) -> MammogramAttributes:
    found: dict[str, Any] = {}
    tokens.expect("a")
    found["magnified"] = tokens.found("magnified")
    if not tokens.found("mammogram"):
        after = ("mammogram",) if found["magnified"] else ("magnified", "mammogram")
        found["vendor"] = tokens.one_of("vendor", (*vendors, *after))
        tokens.expect("mammogram")
    if tokens.found("in"):
        found["view"] = tokens.one_of("view", VIEWS)
        tokens.expect("view")
    if tokens.next == "with" and not _lesion_follows(tokens.waiting[1:]):
        tokens.expect("with")
        found |= _parse_phrases(tokens)
    if tokens.found(",") or tokens.next in ("with", "without"):
        found |= _parse_lesion(tokens)
    return MammogramAttributes(**found)


def _lesion_follows(rest: Sequence[str]) -> bool:
    return bool(rest) and rest[0] in ("a", "mass", "lesion", "calcifications", *PATHOLOGIES)


def _parse_phrases(tokens: _Tokens) -> dict[str, str]:
    """`small area`, `very high density`, or both with `and` between them."""
    found: dict[str, str] = {}
    while True:
        size = next((i for i, word in enumerate(tokens.waiting) if word in ("area", "density", "and", ",")), None)
        noun = None if size is None else tokens.waiting[size]
        if noun not in ("area", "density"):
            said_words = " ".join(tokens.waiting[:size])
            raise InputError(f"prompt '{tokens.prompt}': 'with {said_words}' is of neither area nor density; say which")
        if noun in found:
            raise InputError(f"prompt '{tokens.prompt}': says the {noun} twice; keep one")
        letters = {word: letter for letter, word in DENSITY_WORDS.items()}
        value = nearest_of(f"{noun} word", " ".join(tokens.waiting[:size]), AREAS if noun == "area" else (*letters,))
        found[noun] = value if noun == "area" else letters[value]
        del tokens.waiting[: size + 1]
        if not tokens.found("and"):
            return found


def _parse_lesion(tokens: _Tokens) -> dict[str, str | None]:
    if tokens.found("without"):
        tokens.expect("a", "lesion")
        return {"lesion": "none"}
    tokens.expect("with")
    one = tokens.found("a")
    pathology = tokens.one_of("lesion", PATHOLOGIES) if tokens.next in PATHOLOGIES else None
    kind = tokens.one_of("lesion", ("mass", "lesion", *PATHOLOGIES) if one else ("calcifications", *PATHOLOGIES))
    if kind in PATHOLOGIES:
        raise InputError(f"prompt '{tokens.prompt}': says the pathology twice; keep one")
    return {"lesion": kind.removesuffix("s") if not one else kind, "pathology": pathology}


def _parse_comma_form(tokens: _Tokens) -> MammogramAttributes:
    """`mammogram, <VIEW> view[, <area> size[, healthy|with lesion]]`."""
    tokens.expect(",")
    found: dict[str, str] = {"view": tokens.one_of("view", VIEWS)}
    tokens.expect("view")
    if tokens.found(","):
        found["area"] = tokens.one_of("size", AREAS)
        tokens.expect("size")
        if tokens.found(","):
            healthy = tokens.one_of("lesion", ("healthy", "with")) == "healthy"
            tokens.expect(*([] if healthy else ["lesion"]))
            found["lesion"] = "none" if healthy else "lesion"
    return MammogramAttributes(**found)
