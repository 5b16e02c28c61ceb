"""Nearest images of a set: by normalised cross-correlation under flips and small shifts, and by features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from scipy import ndimage

from ..errors import InputError
from .copy_descriptors import Descriptors

CANDIDATES = 20
QUERY_BLOCK, BANK_BLOCK = 32, 1024
# Numbers held at once while the shifts of one image are tried.
LARGEST_SEARCH = 200_000_000


@dataclass(frozen=True)
class Nearest:
    """The nearest image of a bank for each of N queries.

    Attributes:
        index: (N,) number in the bank; -1 where nothing was left to compare with.
        distance: (N,) 1 - NCC, 0 to 2; NaN where nothing was left to compare with.
        flips: (N, D) bool, the axes to flip the query along.
        shifts: (N, D) pixels of the bank's first image by which the flipped query then has to be moved.
    """

    index: np.ndarray
    distance: np.ndarray
    flips: np.ndarray
    shifts: np.ndarray


class CopySearch:
    """A training set made ready to be searched.

    The distance of images s and t is d = 1 - max NCC(s', t), where s' goes through all flips (2^D with none) and all
    shifts of s up to `max_shift` pixels along each axis, at every whole pixel or every quarter of a grid cell,
    whichever is more; NCC is Pearson's correlation of the descriptors in a window that lies wholly within both images.

    Two steps: at half the resolution and with few shifts all images and flips are compared by matrix products, then
    the best `candidates` (image, flip) pairs with all shifts. Memory: about 5 bytes a cell and training image with the
    descriptors themselves, 0.2 GB for 10 000 images at 64 x 64 cells. An image without contrast correlates with nothing
    (d = 1).

    Args:
        training: their descriptors.
        max_shift: pixels of the training set's first image; along a short axis at most a quarter of it.
        candidates: pairs that are compared exactly.

    Raises:
        InputError: so many shifts that they don't fit into memory.
    """

    def __init__(self, training: Descriptors, max_shift: int = 4, candidates: int = CANDIDATES) -> None:
        if max_shift < 0:
            raise InputError(f"max_shift={max_shift}: has to be 0 or more pixels")
        self.count, self.candidates = len(training), candidates
        cell = np.array(training.image_shape) / np.array(training.grid)
        limits = [min(max_shift, side // 4) for side in training.image_shape]
        margin = [ceil(limit / c) for limit, c in zip(limits, cell, strict=True)]
        self._inner = tuple(slice(m, g - m) for m, g in zip(margin, training.grid, strict=True))
        self.window = tuple(part.stop - part.start for part in self._inner)
        self.steps = [_shift_steps(limit, c) for limit, c in zip(limits, cell, strict=True)]
        self.shifts = np.array(list(product(*self.steps)))
        if len(self.shifts) * np.prod(self.window) > LARGEST_SEARCH:
            raise InputError(
                f"max_shift={max_shift}: {len(self.shifts)} shifts an image are too many; choose a lower one"
            )
        reach = limits / cell
        self._operators = [
            _shift_operators(steps / c, g)[:, part]
            for steps, c, g, part in zip(self.steps, cell, training.grid, self._inner, strict=True)
        ]
        self._rough_operators = [
            _shift_operators(_rough_steps(r), g)[:, part]
            for r, g, part in zip(reach, training.grid, self._inner, strict=True)
        ]
        self.flips = [tuple(np.flatnonzero(on)) for on in product((0, 1), repeat=len(training.grid))]
        self._bank = np.empty((self.count, int(np.prod(self.window))), np.float16)
        coarse = []
        for block in _blocks(self.count, BANK_BLOCK):
            windows = _normalised(self._cut(training.values[block].astype(np.float32)))
            self._bank[block] = windows * np.sqrt(windows.shape[1])  # of order 1: half precision is coarse near 0
            coarse.append(_normalised(self._coarsen(windows)))
        self._coarse = np.concatenate(coarse)

    def nearest(
        self,
        queries: Descriptors,
        groups: Sequence[Hashable] | None = None,
        bank_groups: Sequence[Hashable] | None = None,
    ) -> Nearest:
        """Search for each query.

        Args:
            queries: descriptors on the training set's grid.
            groups, bank_groups: a query is not compared with bank images of its own group.
        """
        count, ndim = len(queries), len(self.window)
        result = Nearest(
            np.full(count, -1), np.full(count, np.nan), np.zeros((count, ndim), bool), np.zeros((count, ndim), int)
        )
        own, other = _group_numbers(groups, bank_groups)
        for block in _blocks(count, QUERY_BLOCK):
            images = queries.values[block].astype(np.float32)
            flipped = np.stack([np.flip(images, [a + 1 for a in axes]) for axes in self.flips], axis=1)
            scores = np.stack([[self._rough_scores(image) for image in row] for row in flipped])
            if own is not None:
                scores = np.where((own[block, None] == other)[:, None], -np.inf, scores)
            scores = scores.reshape(len(images), -1)
            kept = min(self.candidates, scores.shape[1])
            best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
            for row, chosen in enumerate(best):
                chosen = np.sort(chosen[np.isfinite(scores[row, chosen])])
                if chosen.size:
                    self._refine(flipped[row], chosen, result, block.start + row)
        return result

    def _refine(self, flipped: np.ndarray, chosen: np.ndarray, result: Nearest, place: int) -> None:
        """Try all shifts for the chosen (flip, image) pairs of one query and note the best."""
        flip_numbers, indices = np.divmod(chosen, self.count)
        best = -np.inf
        for flip in np.unique(flip_numbers):
            some = indices[flip_numbers == flip]
            against = _normalised(self._bank[some].astype(np.float32))
            correlation = self._shifted(flipped[flip], self._operators) @ against.T
            shift, number = np.unravel_index(correlation.argmax(), correlation.shape)
            if correlation[shift, number] > best:
                best = correlation[shift, number]
                result.index[place] = some[number]
                result.flips[place] = [axis in self.flips[flip] for axis in range(len(self.window))]
                result.shifts[place] = self.shifts[shift]
        result.distance[place] = max(0.0, 1 - float(best))

    def _rough_scores(self, image: np.ndarray) -> np.ndarray:
        """NCC of one image (*grid) with the whole bank at half the resolution, the best of a few shifts: (bank,)."""
        coarse = _normalised(self._coarsen(self._shifted(image, self._rough_operators)))
        return (coarse @ self._coarse.T).max(0)

    def _shifted(self, image: np.ndarray, operators: Sequence[np.ndarray]) -> np.ndarray:
        """The window of one image (*grid) under every shift, normalised: (shifts, cells of the window)."""
        for operator in operators:  # the next axis of the image becomes (step, window) at the end
            image = np.tensordot(image, operator, (0, 2))
        ndim = len(self.window)
        windows = image.transpose(*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2))
        return _normalised(windows.reshape(-1, self._bank.shape[1]))

    def _cut(self, images: np.ndarray) -> np.ndarray:
        return images[(slice(None), *self._inner)].reshape(len(images), -1)

    def _coarsen(self, windows: np.ndarray) -> np.ndarray:
        pairs = [number for cells in self.window for number in (cells // 2, 2)]
        return windows.reshape(-1, *pairs).mean(tuple(range(2, 2 + len(pairs), 2))).reshape(len(windows), -1)


def nearest_features(
    queries: np.ndarray,
    training: np.ndarray,
    groups: Sequence[Hashable] | None = None,
    training_groups: Sequence[Hashable] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest training vector by Euclidean distance, each feature divided by its deviation in the training set.

    Features that are constant in the training set are left out. The distance is divided by the square root of the
    number of features, so that 1.4 is what two unrelated normal vectors have.

    Args:
        queries, training: (N, F) and (M, F).
        groups, training_groups: a query is not compared with training vectors of its own group.

    Returns:
        Index (N,), -1 where nothing was left, and distance (N,), NaN there.
    """
    deviation = training.std(0)
    varying = deviation > 1e-9 * np.maximum(1, np.abs(training).max(0, initial=0))
    scale = np.sqrt(max(1, varying.sum()))
    queries, training = (m[:, varying] / deviation[varying] / scale for m in (queries, training))
    own, other = _group_numbers(groups, training_groups)
    index, distance = np.full(len(queries), -1), np.full(len(queries), np.nan)
    norms = (training**2).sum(1)
    for block in _blocks(len(queries), BANK_BLOCK):
        squares = norms - 2 * queries[block] @ training.T
        if own is not None:
            squares = np.where(own[block, None] == other, np.inf, squares)
        near = squares.argmin(1)
        defined = np.isfinite(squares[np.arange(len(near)), near])
        # From the difference itself: the expanded square loses the last digits of a small distance.
        exact = np.linalg.norm(queries[block] - training[near], axis=1)
        index[block], distance[block] = np.where(defined, near, -1), np.where(defined, exact, np.nan)
    return index, distance


def _group_numbers(
    groups: Sequence[Hashable] | None, others: Sequence[Hashable] | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if groups is None or others is None:
        return None, None
    numbers = {group: number for number, group in enumerate(dict.fromkeys([*groups, *others]))}
    return np.array([numbers[g] for g in groups]), np.array([numbers[g] for g in others])


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Zero mean and unit norm, so that a product is the correlation; rows without contrast become zero."""
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-6)


def _shift_steps(max_shift: int, cell: float) -> np.ndarray:
    """Whole pixels from -max_shift to max_shift, a quarter of a cell apart but no less than one pixel."""
    steps = [*range(0, max_shift, max(1, round(cell / 4))), max_shift]
    return np.array(sorted({sign * step for step in steps for sign in (-1, 1)}))


def _rough_steps(reach: float) -> np.ndarray:
    """Cells from -reach to reach, so close that none between is further than 0.7 from one of them.

    That much the halved resolution forgives. Brain phantoms of 40 x 40 pixels moved by 3 were missed at 1.
    """
    each_side = ceil(reach / 1.4) if reach > 0.7 else 0
    return np.linspace(-reach, reach, 2 * each_side + 1) if each_side else np.zeros(1)


def _shift_operators(shifts: np.ndarray, cells: int) -> np.ndarray:
    """(shifts, cells, cells): matrices that move a signal by so many cells, with cubic splines between cells."""
    identity = np.eye(cells)
    return np.stack([ndimage.shift(identity, (s, 0), order=3, mode="nearest") for s in shifts]).astype(np.float32)
