"""Intensities of dynamic contrast-enhanced MRI: one scale for all phases of a case, and the way back to its own units.

Contrast enhancement is a difference of intensities, so whatever is done to one phase has to be done to all of them,
and with numbers that are known before contrast is given: those of the pre-contrast volume.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..knobs import check_choice

LOW_PERCENTILE = 0.5
HIGH_PERCENTILE = 99.0


def common_scale(pre: NdarrayOrTensor) -> tuple[float, float]:
    """Offset and factor of a case, from its pre-contrast volume alone; `(x - offset) / factor` is about 0 to 1 there.

    The offset is the 0.5th percentile of all voxels (air); offset + factor is the 99th percentile of the voxels above
    the volume's mean (bright tissue), which depends little on how much air the volume holds. Percentiles are exact,
    interpolated linearly between neighbours.

    Args:
        pre: any shape and any real data type; copied once, whatever its size, and left as it is.

    Returns:
        `(offset, factor)` in the units of the volume, factor > 0.

    Raises:
        InputError: the volume holds NaN or infinities, or is empty or (nearly) constant.
    """
    voxels = _as_array(pre).flatten()  # always a copy, which the partition below may reorder
    mean = voxels.mean(dtype=np.float64) if voxels.size else 0.0
    if not np.isfinite(mean):
        raise InputError("the pre-contrast volume holds NaN or infinite voxels; repair or re-export the file")
    above = int(np.count_nonzero(voxels > mean))
    if above == 0:
        raise InputError("the pre-contrast volume is empty or constant, it sets no intensity scale; check the file")
    # The voxels above the mean are the `above` largest ones, so that their percentile is a rank of the whole volume
    # and one partial sort serves both percentiles. (torch.quantile refuses more than 2^24 voxels.)
    ranks = (
        LOW_PERCENTILE / 100 * (voxels.size - 1),
        voxels.size - above + HIGH_PERCENTILE / 100 * (above - 1),
    )
    voxels.partition(sorted({r for rank in ranks for r in (math.floor(rank), math.ceil(rank))}))
    low, high = (_at_rank(voxels, rank) for rank in ranks)
    if high <= low:
        raise InputError("the pre-contrast volume is nearly constant, it sets no intensity scale; check the file")
    return low, high - low


def _as_array(volume: NdarrayOrTensor) -> np.ndarray:
    if not isinstance(volume, torch.Tensor):
        return np.asarray(volume)
    tensor = volume.detach().as_subclass(torch.Tensor).cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()  # NumPy has no bfloat16


def _at_rank(voxels: np.ndarray, rank: float) -> float:
    lower, upper = float(voxels[math.floor(rank)]), float(voxels[math.ceil(rank)])
    return lower + (rank - math.floor(rank)) * (upper - lower)


def minmax_scale(volume: NdarrayOrTensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Offset and factor of each channel that take its own minimum to -1 and its own maximum to 1.

    Args:
        volume: (C, ...), any real data type.

    Returns:
        `(offset, factor)`, each (C,), float64, in the units of the volume.

    Raises:
        InputError: a channel holds NaN or infinities, or is constant.
    """
    array = _as_array(volume)
    spatial = tuple(range(1, array.ndim))
    low, high = (torch.from_numpy(edge.astype(np.float64)) for edge in (array.min(spatial), array.max(spatial)))
    for channel, (bottom, top) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if not np.isfinite([bottom, top]).all():
            raise InputError(f"channel {channel}: holds NaN or infinite voxels; repair or re-export the file")
        if bottom == top:
            raise InputError(f"channel {channel}: every voxel is {bottom:g}, it has no range; check the file")
    return (high + low) / 2, (high - low) / 2


def normalize(volume: torch.Tensor, offset: float | torch.Tensor, factor: float | torch.Tensor) -> torch.Tensor:
    """`(x - offset) / factor` of (C, ...), as float32; offset and factor are numbers or one a channel, (C,)."""
    offset, factor = _broadcast(offset, volume), _broadcast(factor, volume)
    return ((volume.to(torch.float32) - offset) / factor).to(torch.float32)


def restore(volume: torch.Tensor, offset: float | torch.Tensor, factor: float | torch.Tensor) -> torch.Tensor:
    """The way back from `normalize`: `x * factor + offset` of (C, ...), as float32."""
    offset, factor = _broadcast(offset, volume), _broadcast(factor, volume)
    return (volume.to(torch.float32) * factor + offset).to(torch.float32)


def _broadcast(value: float | torch.Tensor, volume: torch.Tensor) -> float | torch.Tensor:
    value = torch.as_tensor(value, dtype=torch.float64)
    if value.numel() == 1:
        return float(value)
    return value.to(volume.device, torch.float32).reshape(-1, *[1] * (volume.ndim - 1))


class NormalizeDced(MapTransform):
    """Normalise the phases of one case; `RestoreIntensityd` is the way back.

    `common` applies one offset and factor (see `common_scale`) to every phase, so that post minus pre keeps its meaning
    and a predicted phase can be brought back to the scanner's units with what was known before contrast.

    `minmax` is the paper's: every volume (each channel) by its own minimum and maximum to [-1, 1]. A single bright
    vessel then rescales its whole phase: equal tissue differs from phase to phase, subtraction and kinetics lose their
    meaning (a tumour can fall *below* its pre-contrast value), and a predicted phase cannot be brought back, since its
    range is not known. It is there to train as published.

    Args:
        keys: volumes (C, X, Y, Z), any real data type; become float32, metadata is kept.
        reference_key: the pre-contrast volume that sets the common scale; may be one of `keys`.
        mode: `common` or `minmax`.
        scale_key: entry that is written: `{"offset", "factor"}`, two numbers, under `common`; the same for each key, as
            (C,) tensors, under `minmax`.
        allow_missing_keys: leave out what an item lacks, such as the real phases when sampling.

    Raises:
        InputError: a volume is empty, constant or not finite; names the case and the volume.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str = "pre",
        mode: str = "common",
        scale_key: str = "scale",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_choice("mode", mode, ("common", "minmax"))
        self.reference_key, self.mode, self.scale_key = reference_key, mode, scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        keys = list(self.key_iterator(item))
        try:
            if self.mode == "common":
                where = self.reference_key
                offset, factor = common_scale(item[where])
                scale = {"offset": offset, "factor": factor}
                scales = dict.fromkeys(keys, scale)
            else:
                scale = scales = {}
                for where in keys:
                    offset, factor = minmax_scale(item[where])
                    scales[where] = {"offset": offset, "factor": factor}
        except InputError as error:
            raise InputError(f"{item.get('case', 'case')}, {where}: {error}") from error
        for key in keys:
            item[key] = normalize(torch.as_tensor(item[key]), **scales[key])
        item[self.scale_key] = scale
        return item


class RestoreIntensityd(MapTransform):
    """Bring normalised volumes, predicted ones included, back to the units of the pre-contrast volume.

    Args:
        keys: volumes (C, X, Y, Z) on the scale of `NormalizeDced`; become float32 in the case's own units.
        scale_key: entry that `NormalizeDced` wrote.

    Raises:
        InputError: the item has no scale, or the volume was not among those that were normalised by their own range.
    """

    def __init__(self, keys: KeysCollection, scale_key: str = "scale", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale_key = scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        scale = item.get(self.scale_key)
        for key in self.key_iterator(item):
            own = scale if scale is None or "factor" in scale else scale.get(key)
            if own is None:
                raise InputError(
                    f"{item.get('case', 'case')}, {key}: the intensity range of this volume is unknown; normalise with "
                    "mode=common, whose scale holds for predicted phases too"
                )
            item[key] = restore(torch.as_tensor(item[key]), **own)
        return item
