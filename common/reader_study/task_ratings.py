"""Answers to one task as a table of readers and images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .study_files import SYNTHETIC, Reading, Task

REFERENCE_TASK = "birads"  # the task that the key's reference answers
REALNESS_TASK = "rating"  # a scale from surely synthetic to surely real


@dataclass(frozen=True)
class TaskRatings:
    """Answers of m readers about N images; a reader who answered nothing is none of the task's.

    Attributes:
        task: what was asked.
        readers: m names.
        images: N names.
        values: (m, N); NaN where a reader gave no answer.
        synthetic: what the images are, bool (N,).
        references: BI-RADS categories, (N,); NaN where there is none.
        cases: (N,) texts.
    """

    task: Task
    readers: tuple[str, ...]
    images: np.ndarray
    values: np.ndarray
    synthetic: np.ndarray
    references: np.ndarray
    cases: np.ndarray

    def where(self, kept: np.ndarray) -> TaskRatings:
        """These images alone, by indices or bool (N,)."""
        parts = (self.images, self.values, self.synthetic, self.references, self.cases)
        return TaskRatings(self.task, self.readers, *(part[..., kept] for part in parts))

    def complete(self) -> TaskRatings:
        """The images that all readers rated."""
        return self.where(~np.isnan(self.values).any(0))

    def of_reader(self, reader: str) -> TaskRatings:
        """One reader, and the images rated by that reader."""
        values = self.values[[self.readers.index(reader)]]
        alone = TaskRatings(self.task, (reader,), self.images, values, self.synthetic, self.references, self.cases)
        return alone.complete()

    def of_kind(self, synthetic: bool) -> TaskRatings:
        """The real images, or the synthetic ones."""
        return self.where(self.synthetic == synthetic)

    def at_least(self, threshold: int) -> TaskRatings:
        """Answers as 1 at or above a threshold and 0 below it; all of them must be there."""
        values = (self.values >= threshold).astype(float)
        return TaskRatings(self.task, self.readers, self.images, values, self.synthetic, self.references, self.cases)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of real images and of the synthetic ones that belong to them.

        A pair has a case of its own, one image of each kind, and both have the same reference.
        """
        found = []
        for case in dict.fromkeys(self.cases.tolist()):
            members = np.flatnonzero(self.cases == case)
            real, synthetic = members[~self.synthetic[members]], members[self.synthetic[members]]
            if case and len(real) == len(synthetic) == 1 and self.references[real] == self.references[synthetic]:
                found.append((real[0], synthetic[0]))
        both = np.array(found, int).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def mean(self) -> np.ndarray:
        """Mean over the readers of each image, (N,): the inter-rater label of Kapsner et al. 2024."""
        return self.values.mean(0)


def ratings_of(reading: Reading, task: Task) -> TaskRatings:
    """The answers to a task; m is 0 where nobody answered."""
    images = reading.study.images
    rows = {
        reader: [answers.get((image, task.id), np.nan) for image in images]
        for reader, answers in reading.answers.items()
        if any((image, task.id) in answers for image in images)
    }
    entries = [reading.key[image] for image in images]
    return TaskRatings(
        task,
        tuple(rows),
        np.array(images),
        np.array(list(rows.values()), float).reshape(len(rows), len(images)),
        np.array([entry.truth == SYNTHETIC for entry in entries]),
        np.array([np.nan if entry.reference is None else entry.reference for entry in entries], float),
        np.array([entry.case for entry in entries]),
    )
