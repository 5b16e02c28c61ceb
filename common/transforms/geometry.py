"""From a volume of any grid to the grid of a network, and back.

A canvas is the box that the network's grid covers, as two corners (start, stop) in voxel coordinates of the volume;
it may be fractional and may reach outside. Crop, scale and zero padding of the paper are then one resampling, so that
no voxel is interpolated twice and the way back is exact in world coordinates.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform, ResampleToMatch, SpatialResample
from monai.utils import TraceKeys
from scipy import ndimage

from ..errors import InputError
from ..io.volumes import load_volume, same_grid

# The box that skull-stripped heads fill in the SRI24 atlas as BraTS uses it: 240 x 240 x 155 mm, RAS axes,
# millimetres from the left, posterior, inferior corner. Heads of the cohort lie within, at most a few mm outside.
ATLAS_FIELD_OF_VIEW_MM = (240.0, 240.0, 155.0)
ATLAS_BOX_MM = ((45.0, 22.0, 0.0), (195.0, 212.0, 155.0))


def is_atlas_grid(volume: MetaTensor) -> bool:
    """Whether a volume covers the atlas' field of view, whatever its voxel size."""
    extent = np.array(volume.shape[-3:]) * np.asarray(volume.pixdim, float)
    return bool(np.all(np.abs(extent - ATLAS_FIELD_OF_VIEW_MM) < 1.5))


def atlas_canvas(volume: MetaTensor) -> torch.Tensor:
    """The stated atlas box in voxel coordinates of an RAS-oriented volume, shape (2, 3)."""
    return torch.tensor(np.array(ATLAS_BOX_MM) / np.asarray(volume.pixdim, float), dtype=torch.float64)


def content_canvas(foreground: torch.Tensor) -> torch.Tensor:
    """Bounding box of the non-zero voxels of any channel, shape (2, 3); stop is exclusive.

    Raises:
        InputError: there is no non-zero voxel.
    """
    occupied = (foreground != 0).any(dim=0)
    if not occupied.any():
        raise InputError("the image is empty: every voxel is zero")
    indices = occupied.nonzero()
    return torch.stack([indices.amin(0), indices.amax(0) + 1]).double()


class SamplingCanvasd(MapTransform):
    """Choose the canvas where only a mask is known; it never comes from the mask's own box.

    In this order: the non-zero box of the item's `reference` (an image or brain mask of the patient, on any grid), the
    stated atlas box where the grid is the atlas', the whole grid with a warning.

    Args:
        keys: the mask, shape (1, X, Y, Z), RAS axes. Writes `canvas`, shape (2, 3), and `canvas_source`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        mask = item[self.first_key(item)]
        if item.get("reference"):
            reference = load_volume(item["reference"])
            if not same_grid(reference, mask):
                reference = ResampleToMatch(mode="nearest", padding_mode="zeros")(reference, mask)
            try:
                item["canvas"] = content_canvas(reference)
            except InputError as error:
                raise InputError(
                    f"reference {item['reference']}: has no voxel on the mask's grid; is it this patient's?"
                ) from error
            item["canvas_source"] = "reference"
        elif is_atlas_grid(mask):
            item["canvas"], item["canvas_source"] = atlas_canvas(mask), "atlas"
        else:
            item["canvas"] = torch.tensor([[0.0] * 3, list(mask.shape[-3:])], dtype=torch.float64)
            item["canvas_source"] = "whole grid"
            warnings.warn(
                f"{item.get('case', 'the mask')}: the grid is not the atlas' (240 x 240 x 155 mm), so the head is "
                "drawn to fill the whole grid; pass --reference with an image or brain mask of the patient to place it",
                stacklevel=2,
            )
        return item


class FitToGridd(MapTransform, InvertibleTransform):
    """Resample so that the canvas just fits the network's grid: one factor in plane, one along z, centred.

    Images are smoothed before they are shrunk, so that thin structures fade instead of flickering. Outside the volume
    lies `background`.

    Args:
        keys: volumes of shape (C, X, Y, Z) on one grid, RAS axes.
        spatial_size: the network's grid.
        mode: `bilinear` (trilinear) or `nearest`, one for each key.
        background: value outside the volume, one for each key.
        canvas_key: entry that holds the canvas, shape (2, 3).
        inverse_mode: interpolation on the way back; None repeats `mode`. An image that was made from a mask goes back
            by `bilinear` although the mask came by `nearest`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        mode: Sequence[str] = ("bilinear", "nearest"),
        background: Sequence[float] = (0.0, 0.0),
        canvas_key: str = "canvas",
        inverse_mode: str | None = None,
    ) -> None:
        super().__init__(keys)
        self.spatial_size = tuple(int(n) for n in spatial_size)
        self.mode = tuple(mode)
        self.background = tuple(background)
        self.canvas_key = canvas_key
        self.inverse_mode = inverse_mode
        self.resample = SpatialResample(padding_mode="zeros", align_corners=False, dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return self.fit(dict(data), np.asarray(data[self.canvas_key]), shrink=(1.0, 1.0))

    def fit(self, item: dict[Hashable, Any], canvas: np.ndarray, shrink: tuple[float, float]) -> dict[Hashable, Any]:
        """Resample all keys; `shrink` (in plane, z) below 1 draws the canvas smaller than the grid."""
        extent = canvas[1] - canvas[0]
        size = np.array(self.spatial_size)
        plane = max(extent[0] / size[0], extent[1] / size[1]) / shrink[0]
        step = np.array([plane, plane, extent[2] / size[2] / shrink[1]])
        to_source = np.eye(4)
        to_source[:3, :3] = np.diag(step)
        to_source[:3, 3] = (canvas.sum(0) - 1) / 2 - (size - 1) / 2 * step
        for key, mode, background in self.key_iterator(item, self.mode, self.background):
            volume = item[key]
            shifted = (volume if isinstance(volume, MetaTensor) else MetaTensor(volume)).float() - background
            if mode == "bilinear":
                shifted.set_array(_smooth(shifted, step))
            affine = shifted.affine @ torch.as_tensor(to_source)
            item[key] = self.resample(shifted, affine, self.spatial_size, mode=mode) + background
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if self.inverse_mode is not None:
                item[key].applied_operations[-1][TraceKeys.EXTRA_INFO]["mode"] = self.inverse_mode
            item[key] = self.resample.inverse(item[key])
        return item


def _smooth(volume: torch.Tensor, step: np.ndarray) -> torch.Tensor:
    sigma = np.maximum(step - 1, 0) / 2
    if not sigma.any():
        return volume.as_tensor()
    smoothed = ndimage.gaussian_filter(volume.numpy(), (0, *sigma), mode="nearest", truncate=3.0)
    return torch.from_numpy(np.ascontiguousarray(smoothed))


class RandFitToGridd(RandomizableTransform, FitToGridd):
    """Training form of `FitToGridd`: random scale, and the atlas canvas for a share of the items.

    Args:
        scale_range: the canvas fills this share of the grid, drawn for the plane and for z independently.
        atlas_share: probability of the atlas canvas where the item has one (`atlas_canvas`), so that the network knows
            both placements that sampling uses.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        mode: Sequence[str] = ("bilinear", "nearest"),
        background: Sequence[float] = (0.0, 0.0),
        scale_range: Sequence[float] = (0.85, 1.0),
        atlas_share: float = 0.5,
    ) -> None:
        FitToGridd.__init__(self, keys, spatial_size, mode, background)
        RandomizableTransform.__init__(self, 1.0)
        self.scale_range = tuple(scale_range)
        self.atlas_share = atlas_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        shrink = tuple(self.R.uniform(*self.scale_range, size=2))
        use_atlas = self.R.random() < self.atlas_share
        canvas, atlas = item["canvas"], item.get("atlas_canvas")
        if use_atlas and atlas is not None and np.isfinite(np.asarray(atlas)).all():
            # The atlas canvas is what sampling uses as it is, so it is not scaled.
            canvas, shrink = atlas, (1.0, 1.0)
        return self.fit(item, np.asarray(canvas), shrink)
