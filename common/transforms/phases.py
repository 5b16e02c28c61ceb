"""The phases of a dynamic contrast-enhanced series as one item: loading, checks, tumour mask, slices of the network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..io.volumes import describe_grid, load_volume, same_grid
from ..knobs import check_choice
from .registration import METHODS, register_phase
from .slice_grid import SliceGrid


class LoadPhasesd(MapTransform):
    """Load the pre-contrast volume, the post-contrast phases on its grid, and the tumour mask.

    Args:
        keys: the pre-contrast file; becomes (1, X, Y, Z).
        num_phases: how many post-contrast phases are needed; the item's `phases` become (num_phases, X, Y, Z).
        registration: `rigid` or `demons` moves each phase onto the pre-contrast volume and its grid, see
            `register_phase`; with `none`, phases have to lie on that grid.
        label_key: becomes (1, X, Y, Z): the mask file where the item names one, else the item's `box` (half-open voxel
            indices) filled with 1, else zeros.

    Raises:
        InputError: a missing or defect file, too few phases, or phases on another grid; names the phase.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        num_phases: int = 3,
        registration: str = "none",
        label_key: str = "label",
    ) -> None:
        super().__init__(keys)
        check_choice("registration", registration, METHODS)
        self.num_phases, self.registration, self.label_key = int(num_phases), registration, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        key = self.first_key(item)
        case = item.get("case", item[key])
        paths = list(item.get("phases", []))
        if len(paths) < self.num_phases:
            raise InputError(
                f"{case}: has {len(paths)} post-contrast phases, {self.num_phases} are needed; leave the case out or "
                "train fewer phases"
            )
        pre = load_volume(item[key])
        phases = []
        for number, path in enumerate(paths[: self.num_phases], start=1):
            phase = load_volume(path)
            if self.registration != "none":
                phase = self._register(phase, pre, path)
            if not same_grid(phase, pre):
                raise InputError(
                    f"{path}: phase {number} ({describe_grid(phase)}) is not on the grid of the pre-contrast volume "
                    f"({describe_grid(pre)}); pass --registration rigid"
                )
            phases.append(phase.as_tensor())
        item[key] = pre
        item["phases"] = MetaTensor(torch.cat(phases), meta=pre.meta)
        item[self.label_key] = self._mask(item, pre)
        return item

    def _register(self, phase: MetaTensor, pre: MetaTensor, path: str) -> MetaTensor:
        try:
            return register_phase(phase, pre, self.registration)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _mask(self, item: Mapping[Hashable, Any], pre: MetaTensor) -> MetaTensor:
        if item.get(self.label_key):
            mask = load_volume(item[self.label_key])
            if not same_grid(mask, pre):
                raise InputError(
                    f"{item[self.label_key]}: the mask ({describe_grid(mask)}) is not on the grid of the pre-contrast "
                    f"volume ({describe_grid(pre)})"
                )
            return mask
        mask = torch.zeros_like(pre)
        if item.get("box"):
            mask[(0, *(slice(int(a), int(b)) for a, b in zip(*item["box"], strict=True)))] = 1
        return mask


class ToSlicesd(MapTransform):
    """Volumes (C, X, Y, Z) in RAS axes to stacks of axial slices on the network's grid, (Z, C, *size).

    Args:
        keys: volumes on one grid.
        size: of the network's grid.
        mode: `area` or `mask`, one for each key, see `SliceGrid.to_network`.
        background: value of the padding around slices that are not square, one for each key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        mode: Sequence[str] = ("area", "area", "mask"),
        background: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> None:
        super().__init__(keys)
        self.size, self.mode, self.background = tuple(int(n) for n in size), tuple(mode), tuple(background)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, mode, background in self.key_iterator(item, self.mode, self.background):
            volume = item[key]
            grid = slice_grid(volume, self.size)
            slices = volume.as_tensor().float().permute(3, 0, 1, 2)
            item[key] = grid.to_network(slices, background, mode).contiguous()
        return item


def slice_grid(volume: MetaTensor, size: Sequence[int]) -> SliceGrid:
    """The `SliceGrid` of a volume (..., X, Y, Z)."""
    spacing = tuple(float(s) for s in volume.pixdim[:2])
    return SliceGrid(tuple(volume.shape[-3:-1]), spacing, tuple(size))
