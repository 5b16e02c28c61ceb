"""Projections of volumes along an anatomical direction, whatever the orientation in which a volume is stored."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..knobs import check_choice

# World axis (RAS) by direction of view and by the plane that results.
DIRECTIONS = {
    "left-right": 0,
    "anterior-posterior": 1,
    "superior-inferior": 2,
    "sagittal": 0,
    "coronal": 1,
    "axial": 2,
}
MODES = ("max", "mean", "min")


def project(
    volume: MetaTensor,
    direction: str = "superior-inferior",
    mode: str = "max",
    slab: Sequence[float] | None = None,
    slab_unit: str = "mm",
) -> MetaTensor:
    """Project a volume along the voxel axis that is nearest to an anatomical direction.

    Args:
        volume: (C, X, Y, Z) with its affine (millimetres, RAS); oblique volumes are projected along their own axis.
        direction: `left-right`, `anterior-posterior` or `superior-inferior`; or the plane that results, `sagittal`,
            `coronal` or `axial`.
        mode: `max`, `mean` or `min`.
        slab: two ends of what is projected; None takes all.
        slab_unit: `mm`: world coordinates along the direction, growing to the right, front and top (RAS), of voxel
            centres on the volume's middle line, both ends included. `voxel`: start and stop (exclusive), counted from
            the left, back or bottom whatever the storage order.

    Returns:
        The volume with length 1 along the projected axis: other axes are unchanged, the one voxel left is as thick as
        the slab and lies at its centre. float32 for `mean`, the volume's own type otherwise. MONAI's `SaveImage` needs
        `squeeze_end_dims=False` where the last axis is the projected one.

    Raises:
        InputError: an unknown word, or a slab that holds no voxel of the volume.
    """
    check_choice("direction", direction, tuple(DIRECTIONS))
    check_choice("mode", mode, MODES)
    check_choice("slab_unit", slab_unit, ("mm", "voxel"))
    affine = volume.affine.double().cpu().numpy().copy()
    orientation = nibabel.orientations.io_orientation(affine)
    world = DIRECTIONS[direction]
    axis = int(np.flatnonzero(orientation[:, 0] == world)[0])
    sides = np.array(volume.shape[1:])
    chosen = np.arange(sides[axis])
    if slab is not None:
        if slab_unit == "mm":
            centre = affine @ np.array([*(sides - 1) / 2, 1])
            position = centre[world] + (chosen - (sides[axis] - 1) / 2) * affine[world, axis]
        else:
            position = chosen if orientation[axis, 1] > 0 else chosen[::-1]
        last = max(slab) if slab_unit == "mm" else max(slab) - 1
        chosen = chosen[(position >= min(slab)) & (position <= last)]
        if chosen.size == 0:
            raise InputError(
                f"slab={tuple(slab)} {slab_unit}: holds no voxel, the volume spans {position.min():.4g} to "
                f"{position.max():.4g} along {direction}"
            )
    start, count = int(chosen[0]), len(chosen)
    part = volume.as_tensor().narrow(axis + 1, start, count)
    if mode == "mean":
        flat = part.float().mean(dim=axis + 1, keepdim=True)
    else:
        flat = part.amax(dim=axis + 1, keepdim=True) if mode == "max" else part.amin(dim=axis + 1, keepdim=True)
    affine[:3, 3] += affine[:3, axis] * (start + (count - 1) / 2)
    affine[:3, axis] *= count
    # The file's grid is replaced too: a writer would otherwise resample the projection back to it.
    grid = {"affine": torch.from_numpy(affine), "original_affine": affine, "spatial_shape": np.array(flat.shape[1:])}
    return MetaTensor(flat, meta=dict(volume.meta) | grid)


class MaximumIntensityProjectiond(MapTransform):
    """Dictionary form of `project`, by default the axial maximum intensity projection.

    Args:
        keys: volumes (C, X, Y, Z); are replaced by their projections.
        direction, mode, slab, slab_unit: as in `project`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        direction: str = "superior-inferior",
        mode: str = "max",
        slab: Sequence[float] | None = None,
        slab_unit: str = "mm",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.direction, self.mode, self.slab, self.slab_unit = direction, mode, slab, slab_unit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = project(item[key], self.direction, self.mode, self.slab, self.slab_unit)
        return item
