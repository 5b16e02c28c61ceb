"""What networks that read mammograms learn from datalist items: answers, places of lesions, and items of an epoch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.transforms import Transform
from monai.utils import CommonKeys as Keys

from ..errors import InputError
from .seeding import SeededSampler, derive_seed

NO_ANSWER = -1
MALIGNANT = "malignant"
# Values of the map of places: no lesion, one that is not malignant, a malignant one, one of unknown pathology.
NOTHING, OTHER, FOUND, UNSURE = range(4)


def answer(item: Mapping[str, Any], head: str) -> str | None:
    """What a datalist item says to a head's question; None where it does not.

    `malignant` is `yes` where a malignant lesion is in the frame, `no` where all lesions are known and none is; any
    other head is the entry of that name.
    """
    if head != MALIGNANT:
        return item.get(head)
    if not item.get("findings_known", True):
        return None
    found = [lesion.get("pathology") for lesion in item.get("lesions", [])]
    if MALIGNANT in found:
        return "yes" if "label" in item else None
    return None if None in found else "no"


def reading_items(
    items: Sequence[dict[str, Any]], classes: Mapping[str, Sequence[str]], types: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Items that answer a question at least.

    Args:
        items: of one section.
        classes: words by head, in the order of the network's outputs.
        types: of lesions whose malignancy can be seen at the network's resolution; that of others is left open. None
            for all.
    """
    items = [item if types is None else _with_open_cases(item, types) for item in items]
    return [item for item in items if any(answer(item, head) in words for head, words in classes.items())]


class CheckAnswers:
    """Handler of a trainer: before it starts, every answer has to occur among its items.

    Args:
        items, classes: see `reading_items`.
    """

    def __init__(self, items: Sequence[Mapping[str, Any]], classes: Mapping[str, Sequence[str]]) -> None:
        self.items, self.classes = items, classes

    def attach(self, engine: Engine) -> None:
        """Run at `STARTED`."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine | None = None) -> None:
        """Check.

        Raises:
            InputError: a head one of whose words no item has.
        """
        for head, words in self.classes.items():
            given = {answer(item, head) for item in self.items}
            missing = [word for word in words if word not in given]
            if missing:
                raise InputError(
                    f"input: no training case has {head} {missing[0]}, which a reader cannot learn to tell then; add "
                    "such cases, or leave the word out of its classes"
                )


def _with_open_cases(item: dict[str, Any], types: Sequence[str]) -> dict[str, Any]:
    lesions = [
        {**lesion, "pathology": None}
        if lesion.get("pathology") == MALIGNANT and lesion.get("type") not in types
        else lesion
        for lesion in item.get("lesions", [])
    ]
    return {**item, "lesions": lesions}


class LesionSampler(SeededSampler):
    """Shuffled indices of all items with lesions and of as many others, which differ from epoch to epoch.

    Args:
        items: in the data set's order.
        others: how many items without lesions come to one with them; None takes all items.
        seed, rank, world_size: see `SeededSampler`.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        others: float | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.with_lesions = [k for k, item in enumerate(items) if item.get("lesions") or others is None]
        self.without = [k for k, item in enumerate(items) if not item.get("lesions") and others is not None]
        self.drawn = min(len(self.without), round((others or 0) * len(self.with_lesions)))
        super().__init__(len(self.with_lesions) + self.drawn, seed, rank, world_size)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, 1))
        drawn = torch.randperm(len(self.without), generator=generator)[: self.drawn].tolist()
        chosen = self.with_lesions + [self.without[k] for k in drawn]
        return iter([chosen[k] for k in super().__iter__()])


class ReadingTargetsd(Transform):
    """Adds `target`, the number of each head's answer (-1 for none), and makes `label` a map of what is where.

    Args:
        classes: see `reading_items`.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]]) -> None:
        self.classes = {head: list(words) for head, words in classes.items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Item of `LoadMammogramd`, `label` (1, H, W) with lesion numbers, to one with the map in its place."""
        item = dict(data)
        answers = [(answer(item, head), words) for head, words in self.classes.items()]
        item["target"] = torch.tensor([w.index(a) if a in w else NO_ANSWER for a, w in answers])
        kinds = {"benign": OTHER, MALIGNANT: FOUND, None: UNSURE}
        places = torch.zeros_like(item[Keys.LABEL])
        for number, lesion in enumerate(item.get("lesions", []), 1):
            places[item[Keys.LABEL] == lesion.get("number", number)] = kinds[lesion.get("pathology")]
        item[Keys.LABEL] = places
        return item
