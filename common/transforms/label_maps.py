"""Telling an image from a label map, where an image is needed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from ..errors import InputError

# An image of 12 bits holds hundreds of values; label maps of organs reach about a hundred, those of lesions a few.
MOST_LABELS = 16
_STRIDE = 101  # prime, so that the sample does not follow the volume's rows


def is_label_map(volume: torch.Tensor) -> bool:
    """Whether a volume holds a few whole numbers only; at most 16 of them, background included."""
    values = np.asarray(torch.as_tensor(volume)).reshape(-1)
    if len(np.unique(values[::_STRIDE])) > MOST_LABELS:
        return False
    found = np.unique(values)
    return len(found) <= MOST_LABELS and bool(np.array_equal(found, np.rint(found)))


class RefuseLabelMapd(MapTransform):
    """Let images through.

    Args:
        keys: volumes (C, X, Y, Z), as loaded.

    Raises:
        InputError: a volume is a label map.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if is_label_map(item[key]):
                count = len(torch.unique(torch.as_tensor(item[key])))
                name = getattr(item[key], "meta", {}).get("filename_or_obj", key)
                raise InputError(f"{name}: holds {count} whole numbers only, as a label map does; an image is needed")
        return item
