"""For servers that take one image and return one volume a request, such as MONAI Label.

They hand the request's own entries to the transforms, together with the image; items of `monai.bundle run` have none of
these entries and pass unchanged.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..errors import InputError
from .intensity import restore


class RequestedImaged(MapTransform):
    """Refuse a request for an image that the server does not have: MONAI Label then passes an empty path.

    Args:
        keys: path of the image.

    Raises:
        InputError: it is empty.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if not str(item[key]):
                raise InputError(
                    "the request names no image of the studies folder; list them with GET /datastore/?output=all"
                )
        return item


class RequestedChanneld(MapTransform):
    """Keep the one channel that a request names; without a request, all.

    Args:
        keys: volumes (C, X, Y, Z); become (1, X, Y, Z) in items that have the request's entry.
        request_key: entry that names the channel. A list is a choice that the caller left open: its first name counts.
        names: of the channels, in order; upper and lower case are the same.
        scale_key: entry that `NormalizeDced` wrote; the channel is brought to the units of the volume before contrast,
            as `PhaseWriter` does it for files. None where the volume is in its units already.

    Raises:
        InputError: no channel has that name.
    """

    def __init__(
        self, keys: KeysCollection, request_key: str, names: Sequence[Any], scale_key: str | None = None
    ) -> None:
        super().__init__(keys)
        self.request_key, self.scale_key = request_key, scale_key
        self.names = [str(name) for name in names]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if self.request_key in item:
            channel = self._channel(item[self.request_key])
            for key in self.key_iterator(item):
                item[key] = self._in_units(item[key][channel : channel + 1], item)
        return item

    def _channel(self, wanted: Any) -> int:
        wanted = wanted[0] if isinstance(wanted, (list, tuple)) and wanted else wanted
        lower = [name.lower() for name in self.names]
        if str(wanted).lower() not in lower:
            raise InputError(f"{self.request_key}={wanted}: use {' or '.join(self.names)}")
        return lower.index(str(wanted).lower())

    def _in_units(self, volume: torch.Tensor, item: Mapping[Hashable, Any]) -> torch.Tensor:
        if self.scale_key is None:
            return volume
        scale = item[self.scale_key]
        # Normalised by own ranges, a phase's is not known: it gets that of the pre-contrast volume.
        scale = scale if "factor" in scale else next(iter(scale.values()))
        return restore(volume, **{key: float(value) for key, value in scale.items()})
