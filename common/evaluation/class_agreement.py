"""Whether a frozen classifier reads synthetic images as the class that was asked for, beside real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.tables import csv_rows
from ..metrics.uncertainty import clustered_with_interval
from ..reports.report import Report
from .cases import case_of
from .image_stream import ImageStream

NAME = "Class agreement"
CASE, CLASS = "case", "class"


def read_classes(path: str | Path) -> dict[str, str]:
    """The class of each case, from a CSV file with the columns case and class.

    Raises:
        InputError: a missing column, or a case with two classes.
    """
    found: dict[str, str] = {}
    for where, row in csv_rows(path, (CASE, CLASS)):
        if not row[CASE] or not row[CLASS]:
            raise InputError(f"{where}: has no {CLASS if row[CASE] else CASE}; fill it in")
        if found.setdefault(row[CASE], row[CLASS]) != row[CLASS]:
            raise InputError(f"{path}: case {row[CASE]} has the classes {found[row[CASE]]} and {row[CLASS]}; keep one")
    return found


@dataclass(frozen=True)
class FrozenClassifier:
    """A TorchScript classifier, and what it is asked.

    Attributes:
        network: (1, 1, H, W) or (1, 1, X, Y, Z) on [0, 1] to logits (1, C).
        sha256: of its file.
        names: of the C classes, in the network's order.
        classes: what was asked for, by case.
    """

    network: torch.nn.Module
    sha256: str
    names: tuple[str, ...]
    classes: Mapping[str, str]

    def __post_init__(self) -> None:
        unknown = next(((case, name) for case, name in self.classes.items() if name not in self.names), None)
        if unknown is not None:
            raise InputError(
                f"classes: case {unknown[0]} is {unknown[1]}; the classifier knows {', '.join(self.names)}"
            )

    def knows(self, stream: ImageStream, pattern: str | None) -> bool:
        """Whether a class is asked of any image of a set."""
        return any(case_of(file, pattern) in self.classes for file in stream.survey.files)

    @torch.no_grad()
    def read(self, stream: ImageStream, pattern: str | None) -> list[dict[str, Any]]:
        """What is asked of, and read in, every image whose case has a class.

        Args:
            stream: images on [0, 1].
            pattern: see `case_of`.

        Raises:
            InputError: no image's case has a class, or the network fails or gives another number of logits.
        """
        rows = []
        for number, file in enumerate(tqdm(stream.survey.files, desc=f"reading {stream.survey.title} images")):
            case = case_of(file, pattern)
            if case not in self.classes:
                continue
            try:
                logits = self.network(torch.from_numpy(stream[number])[None, None])[0]
            except RuntimeError as error:  # of PyTorch's own parts, at the end of a long trace through the network
                last = (str(error).strip().splitlines() or ["no message"])[-1]
                raise InputError(f"classifier: fails on {file.name}: {last[:200]}") from error
            if len(logits) != len(self.names):
                raise InputError(f"classifier: gives {len(logits)} numbers for {len(self.names)} class names")
            rows.append({"case": case, "asked": self.classes[case], "read": self.names[int(logits.argmax())]})
        if not rows:
            raise InputError(f"classes: no {stream.survey.title} image is of a case in it; see --case_pattern")
        return rows


def add_class_agreement(
    report: Report, readings: Mapping[str, Sequence[Mapping[str, Any]]], names: Sequence[str], sha256: str, seed: int
) -> None:
    """Append the table.

    Args:
        report: gets it.
        readings: of `FrozenClassifier.read`, by set: synthetic and, as the ceiling, real.
        names: of the classes.
        sha256: of the classifier.
        seed: of the bootstrap, over cases.
    """
    rows = []
    for title, found in readings.items():
        clusters = [row["case"] for row in found]
        asked, read = (np.array([names.index(row[key]) for row in found]) for key in ("asked", "read"))
        row: dict[str, Any] = {"images": title, "n": len(found)}
        for name, score in (("agreement", agreement), ("balanced agreement", balanced_agreement)):
            row[name] = clustered_with_interval(clusters, lambda k, s=score, a=asked, r=read: s(a[k], r[k]), seed)
        rows.append(row)
    note = (
        f"Class read by a frozen classifier (sha256 {sha256[:16]}) against the class asked for; balanced: the mean "
        "over classes. Synthetic images that are read better than real ones are more typical of their class than these."
    )
    report.add(NAME, ["images", "agreement", "balanced agreement", "n"], rows, note)


def agreement(asked: np.ndarray, read: np.ndarray) -> float:
    """Share that is read as asked for."""
    return float((asked == read).mean())


def balanced_agreement(asked: np.ndarray, read: np.ndarray) -> float:
    """Mean over the classes that were asked for of the share that is read so."""
    return float(np.mean([(read[asked == value] == value).mean() for value in np.unique(asked)]))
