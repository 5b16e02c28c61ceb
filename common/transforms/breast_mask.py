"""Where the breasts are, from the pre-contrast volume alone: for weighting losses and figures, not a segmentation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from ..errors import InputError

CLEFT_MM = 30.0
# Breasts rise at least this far before the cleft between them, on both sides.
LEAST_RISE_MM = 12.0
SMOOTHING_MM = 1.5
DARK_SHARE = 0.01  # of the brightest tissue: where the logarithm turns linear
HISTOGRAM_BINS = 256


def otsu_threshold(values: np.ndarray) -> float:
    """The value that separates two classes best (Otsu 1979: largest variance between them), over 256 bins."""
    counts, edges = np.histogram(values, HISTOGRAM_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), values.size
    sums = np.cumsum(counts * centres)
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    # Empty bins between the classes tie; the middle of the gap is as far from both as can be.
    best = np.flatnonzero(np.nan_to_num(between) >= np.nanmax(between[:-1]) * (1 - 1e-12))
    return float((edges[best[0] + 1] + edges[best[-1] + 1]) / 2)


def body_mask(pre: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The body: above air, the largest component, holes filled slice by slice; bool (X, Y, Z).

    The back edge of the volume counts as closed, so that lungs which the field of view cuts open are filled too.

    Args:
        pre: pre-contrast volume (X, Y, Z), RAS axes, any unit.
        spacing: millimetres along X, Y, Z.

    Raises:
        InputError: the volume is empty or constant.
    """
    smooth = ndimage.gaussian_filter(np.asarray(pre, np.float32), [SMOOTHING_MM / s for s in spacing])
    smooth -= smooth.min()
    bright = float(np.percentile(smooth, 99.5))
    if bright == 0:
        raise InputError("the volume is empty or constant: it holds no body; check the file")
    # Coils receive the chest ten times weaker than the breasts. On a logarithm that is a step; air stays well below.
    np.log1p(smooth / (DARK_SHARE * bright), out=smooth)
    labels, _ = ndimage.label(smooth > otsu_threshold(smooth))
    body = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return _fill_slices(body)


def _fill_slices(mask: np.ndarray) -> np.ndarray:
    """Holes of each axial slice filled; the back edge (Y = 0) counts as closed."""
    closed = np.pad(mask, ((0, 0), (1, 0), (0, 0)), constant_values=True)
    return np.stack([ndimage.binary_fill_holes(piece) for piece in np.moveaxis(closed, 2, 0)], axis=2)[:, 1:]


def _front_outline(body: np.ndarray, columns: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Row of the foremost body voxel in each column, median over slices; smoothed by a median of 10 mm, which keeps
    single dark columns from passing for the cleft."""
    front = body[columns]
    rows = front.shape[1] - 1 - np.argmax(front[:, ::-1], axis=1).astype(float)
    outline = np.array([np.median(row[seen]) for row, seen in zip(rows, front.any(axis=1), strict=True)])
    return ndimage.median_filter(outline, max(1, round(10 / spacing[0])), mode="nearest")


def _outline_by_middle(body: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns that hold body, which of them are near its middle, and the front outline over all of them."""
    # The middle of the widths: a larger breast or the heart would pull a centre of mass to its side.
    columns = np.flatnonzero(body.any(axis=(1, 2)))
    middle = (columns[0] + columns[-1]) / 2
    return columns, np.abs(columns - middle) * spacing[0] <= CLEFT_MM, _front_outline(body, columns, spacing)


def _cleft(near: np.ndarray, outline: np.ndarray, spacing: Sequence[float]) -> int | None:
    """Index of the lowest outline near the middle, or None where it does not rise on both sides of it."""
    cleft = int(np.argmin(np.where(near, outline, np.inf)))
    rises = [side.max(initial=-np.inf) - outline[cleft] for side in (outline[:cleft], outline[cleft + 1 :])]
    return None if min(rises) * spacing[1] < LEAST_RISE_MM else cleft


def cleft_column(body: np.ndarray, spacing: Sequence[float]) -> int | None:
    """Column of the cleft between the breasts, or None where there is none, as in a volume of one breast.

    Args:
        body: from `body_mask`, (X, Y, Z), RAS axes.
        spacing: millimetres along X, Y, Z.
    """
    columns, near, outline = _outline_by_middle(body, spacing)
    found = _cleft(near, outline, spacing) if near.any() else None
    return None if found is None else int(columns[found])


def breast_mask(pre: np.ndarray, spacing: Sequence[float], margin_mm: float = 15.0) -> np.ndarray:
    """The part of the body in front of the sternum; bool (X, Y, Z).

    The line is the skin over the sternum, the bottom of the cleft between the breasts: the lowest point, within 30 mm
    of the body's middle, of its front outline (the median over slices). It is straight, so that with the breasts it
    takes some chest wall beside them. Where there is no cleft, as in a volume of one breast, the whole body is taken.

    Args:
        pre: pre-contrast volume (X, Y, Z), RAS axes, any unit, patient prone or supine.
        spacing: millimetres along X, Y, Z.
        margin_mm: how far behind the skin over the sternum the mask reaches; breast tissue lies there too, towards the
            armpits and on the muscle. Negative moves the line forward.

    Raises:
        InputError: the volume is empty or constant, or nothing lies in front of the line.
    """
    body = body_mask(pre, spacing)
    _, near, outline = _outline_by_middle(body, spacing)
    breast = np.zeros_like(body)
    if near.any():
        if _cleft(near, outline, spacing) is None:
            return body
        outline = outline[near]
        start = max(0, int(np.floor(outline.min() - margin_mm / spacing[1])) + 1)
        breast[:, start:] = _fill_slices(body[:, start:])
    if not breast.any():
        raise InputError(
            "nothing lies in front of the sternum; is the volume a breast MRI, and does its affine say where front is?"
        )
    return breast


def soft_breast_mask(
    pre: np.ndarray, spacing: Sequence[float], soft_mm: float = 5.0, margin_mm: float = 15.0
) -> np.ndarray:
    """`breast_mask` with its edge softened by a Gaussian of `soft_mm`; float32 (X, Y, Z) in [0, 1]."""
    mask = breast_mask(pre, spacing, margin_mm).astype(np.float32)
    return ndimage.gaussian_filter(mask, soft_mm / np.asarray(spacing))


class SoftBreastMaskd(MapTransform):
    """Breast mask of a pre-contrast volume with soft edges, on its grid and in its storage order.

    Args:
        keys: pre-contrast volumes (1, X, Y, Z) with their affine.
        output_key: where the masks go, one name for each key; float32 in [0, 1], shape (1, X, Y, Z).
        soft_mm: standard deviation of the Gaussian that softens the edge; 0 leaves it hard.
        margin_mm: as in `breast_mask`.

    Raises:
        InputError: as `breast_mask`, with the case and the key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_key: str | Sequence[str] = "breast",
        soft_mm: float = 5.0,
        margin_mm: float = 15.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_keys = (output_key,) if isinstance(output_key, str) else tuple(output_key)
        if len(self.output_keys) != len(self.keys):
            raise InputError(f"output_key={output_key}: give one name for each of the keys {', '.join(self.keys)}")
        self.soft_mm, self.margin_mm = float(soft_mm), float(margin_mm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, output in self.key_iterator(item, self.output_keys):
            try:
                item[output] = self._mask(item[key])
            except InputError as error:
                raise InputError(f"{item.get('case', 'case')}, {key}: {error}") from error
        return item

    def _mask(self, volume: MetaTensor) -> MetaTensor:
        stored = nibabel.orientations.io_orientation(volume.affine.cpu().numpy())
        to_ras = nibabel.orientations.apply_orientation(volume[0].as_tensor().cpu().numpy(), stored)
        spacing = np.empty(3)
        spacing[stored[:, 0].astype(int)] = np.asarray(volume.pixdim, float)
        soft = soft_breast_mask(to_ras, spacing, self.soft_mm, self.margin_mm)
        back = nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], stored)
        mask = nibabel.orientations.apply_orientation(soft, back)
        return MetaTensor(torch.from_numpy(np.ascontiguousarray(mask))[None], meta=dict(volume.meta))
