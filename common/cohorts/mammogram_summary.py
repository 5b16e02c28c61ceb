"""What a datalist of mammograms says of all its items together, and what a person is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def summary(items: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> dict[str, Any]:
    """What the datalist says of all items together."""
    lost = [{"case": item["case"], **entry} for item in items for entry in item.get("lesions_lost", [])]
    guessed = Counter(name for item in items for name in item.get("guessed", []))
    warnings = Counter(told for item in items for told in item.get("warnings", []))
    return {
        "left_out": dict(left_out),
        "lesions_lost": lost,
        "guessed": dict(sorted(guessed.items())),
        "warnings": dict(sorted(warnings.items())),
    }


def tell(facts: Mapping[str, Any], total: int) -> None:
    """Print what a person should know before training on the items."""
    for reason, count in facts["left_out"].items():
        print(f"left out {count} images: {reason}")
    for name, count in facts["guessed"].items():
        print(f"{name} of {count} of {total} images is a guess from pixels")
    for warning, count in facts["warnings"].items():
        print(f"{count} of {total} images: {warning}")
    for entry in facts["lesions_lost"]:
        what = "is outside of the crop" if not entry["shown"] else f"is cut, {entry['shown']:.0%} is shown"
        print(f"{entry['case']}: lesion {entry['number']} ({entry['type']}) {what}")
