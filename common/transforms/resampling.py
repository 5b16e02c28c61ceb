"""Resampling along one axis as a sparse matrix: any scale and any offset, without blurring twice or leaving gaps."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def axis_weights(num_out: int, num_in: int, scale: float, offset: float, kernel: str = "linear") -> sparse.csr_array:
    """Weights (num_out, num_in) that make each output sample from input samples.

    Sample k of either side covers the interval [k, k + 1] of its axis; `out = in * scale + offset` relates the two.
    Where the output is coarser, the kernel is widened by as much (anti-aliasing). Rows of output samples whose centre
    lies outside the input are empty, all others sum to 1.

    Args:
        num_out: output samples.
        num_in: input samples.
        scale: output samples per input sample, above 0.
        offset: where the input's beginning lies on the output axis.
        kernel: `linear` (a triangle) or `cubic` (Catmull-Rom, Keys 1981 with a = -0.5).
    """
    reach, weigh = (1.0, _triangle) if kernel == "linear" else (2.0, _catmull_rom)
    centres = (np.arange(num_out) + 0.5 - offset) / scale
    width = max(1.0, 1.0 / scale)
    first = np.floor(centres - reach * width - 0.5).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach * width)) + 2)
    weights = weigh((taps + 0.5 - centres[:, None]) / width)
    # A tap beyond the border takes the border's sample.
    rows = np.broadcast_to(np.arange(num_out)[:, None], taps.shape)
    matrix = sparse.csr_array(
        (weights.ravel(), (rows.ravel(), taps.clip(0, num_in - 1).ravel())), shape=(num_out, num_in)
    )
    inside = (centres > 0) & (centres < num_in)
    sums = matrix.sum(axis=1)
    matrix = sparse.diags_array(np.where(inside, 1 / np.where(inside, sums, 1), 0.0)) @ matrix
    matrix.eliminate_zeros()
    return sparse.csr_array(matrix, dtype=np.float32)


def axis_overlaps(num_out: int, num_in: int, scale: float, offset: float) -> sparse.csr_array:
    """Which input samples overlap each output sample at all: ones and zeros (num_out, num_in); see `axis_weights`."""
    tolerance = 1e-6  # of an input sample: neighbours that share an edge alone do not overlap
    lowest = (np.arange(num_out) - offset) / scale
    first = np.floor(lowest + tolerance).astype(int).clip(0, num_in)
    last = np.ceil(lowest + 1 / scale - tolerance).astype(int).clip(0, num_in)
    counts = np.maximum(last - first, 0)
    taps = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.repeat(np.arange(num_out), counts)
    return sparse.csr_array((np.ones(len(taps), np.float32), (rows, taps)), shape=(num_out, num_in))


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(distance), 0, None)


def _catmull_rom(distance: np.ndarray) -> np.ndarray:
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))
