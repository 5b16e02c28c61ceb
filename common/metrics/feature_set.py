"""Feature vectors of a set of images, one or several an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class FeatureSet:
    """Feature vectors, and which image each of them is of.

    Attributes:
        rows: (R, F); may be backed by a file.
        images: (R,) whole numbers from 0 without gaps, ascending: the image of each row. Slices of one volume, or
            samples of one condition, share a number: intervals draw them together, and unbiased kernel sums never
            compare them with each other.
    """

    rows: torch.Tensor
    images: np.ndarray

    @classmethod
    def of_images(cls, rows: torch.Tensor) -> FeatureSet:
        """One vector an image, from (N, F); several, from (N, K, F)."""
        count = rows.shape[0]
        per_image = rows.shape[1] if rows.ndim == 3 else 1
        return cls(rows.reshape(-1, rows.shape[-1]), np.repeat(np.arange(count), per_image))

    @classmethod
    def of_groups(cls, groups: Sequence[Sequence[Sequence[float]]]) -> FeatureSet:
        """Any number of vectors (at least one) for each image."""
        numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        return cls(torch.tensor([row for group in groups for row in group]), numbers)

    def grouped(self, numbers: Sequence[int]) -> FeatureSet:
        """The same vectors with images joined to cases.

        Args:
            numbers: of each image its case, from 0 without gaps.
        """
        cases = np.asarray(numbers)[self.images]
        order = np.argsort(cases, kind="stable")
        return FeatureSet(self.rows[torch.from_numpy(order)], cases[order])

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self.images[-1]) + 1 if len(self.images) else 0

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.rows.shape[1]

    def take(self, chosen: Sequence[int] | np.ndarray) -> FeatureSet:
        """The set of some images, in the order given; an image that is named twice becomes two; none give none."""
        chosen = np.asarray(chosen, int)
        starts = np.searchsorted(self.images, np.arange(self.count + 1))
        sizes = starts[chosen + 1] - starts[chosen]
        parts = [np.arange(starts[k], starts[k + 1]) for k in chosen]
        kept = torch.from_numpy(np.concatenate([np.arange(0), *parts]))
        return FeatureSet(self.rows[kept], np.repeat(np.arange(len(chosen)), sizes))

    def means(self) -> torch.Tensor:
        """(N, F): the mean vector of each image."""
        groups = torch.from_numpy(self.images)
        sums = torch.zeros(self.count, self.width).index_add_(0, groups, self.rows.float())
        return sums / torch.bincount(groups).unsqueeze(1)

    def standardized_by(self, reference: FeatureSet) -> FeatureSet:
        """Scaled by the mean and deviation of another set, so that no feature dominates by its unit."""
        mean = reference.rows.mean(0)
        # A single vector has no deviation; what is compared with it then has no score either.
        std = reference.rows.std(0).clamp(min=1e-8) if len(reference.rows) > 1 else torch.ones_like(mean)
        return FeatureSet((self.rows - mean) / std, self.images)
