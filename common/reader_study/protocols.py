"""What readers are asked: the tasks of the published reader studies, one after the other.

`kapsner`: Kapsner et al. 2024, section "Reading study": lesions first, before readers know of synthetic images, then
real or synthetic, anatomy and impression. `mam_e`: Montoya-del-Angel et al. 2023, one rating from 0 to 4. The questions
are worded by us; the papers print none.
"""

from __future__ import annotations

from typing import Any

from ..knobs import check_choice

SCALE, BINARY = "scale", "binary"
AGREEMENT = {"1": "not at all", "2": "hardly", "3": "partly", "4": "mostly", "5": "entirely"}
PROTOCOLS: dict[str, list[dict[str, Any]]] = {
    "kapsner": [
        {
            "id": "birads",
            "kind": SCALE,
            "min": 1,
            "max": 5,
            "question": "Which BI-RADS category does the most suspicious finding have?",
            "labels": {
                "1": "negative",
                "2": "benign",
                "3": "probably benign",
                "4": "suspicious",
                "5": "highly suggestive of malignancy",
            },
        },
        {
            "id": "synthetic",
            "kind": BINARY,
            "question": "Is this image real or synthetic?",
            "labels": {"0": "real", "1": "synthetic"},
        },
        {
            "id": "anatomy",
            "kind": SCALE,
            "min": 1,
            "max": 5,
            "question": "Is the anatomy correct?",
            "labels": AGREEMENT,
        },
        {
            "id": "realism",
            "kind": SCALE,
            "min": 1,
            "max": 5,
            "question": "Is the overall impression realistic (texture, resolution, contrast)?",
            "labels": AGREEMENT,
        },
    ],
    "mam_e": [
        {
            "id": "rating",
            "kind": SCALE,
            "min": 0,
            "max": 4,
            "question": "Is this image synthetic or real?",
            "labels": {
                "0": "surely synthetic",
                "1": "probably synthetic",
                "2": "undecided",
                "3": "probably real",
                "4": "surely real",
            },
        },
    ],
}


def tasks_of(protocol: str) -> list[dict[str, Any]]:
    """The tasks in the order in which they are put to a reader.

    Returns:
        Of each task `id`, `kind` (`scale`, with `min` and `max`, or `binary`: 0 real, 1 synthetic), `question` and
        `labels` by answer.

    Raises:
        InputError: no such protocol.
    """
    check_choice("protocol", protocol, tuple(PROTOCOLS))
    return PROTOCOLS[protocol]


def values_of(task: dict[str, Any]) -> range:
    """The answers that a task takes."""
    return range(2) if task["kind"] == BINARY else range(task["min"], task["max"] + 1)
