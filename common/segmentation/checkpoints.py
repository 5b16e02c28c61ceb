"""nnU-Net's checkpoints, read without executing code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError

# What a number of NumPy is made of when it is loaded: its function, `dtype`, and the kinds of numbers.
NUMPY_NUMBERS = [
    np.float64(0).__reduce__()[0],
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8")},
]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a `checkpoint_*.pth`.

    Raises:
        InputError: truncated, of something else, or with anything but tensors and numbers in it.
    """
    try:
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: cannot be loaded, it is truncated or no checkpoint of nnU-Net") from error
    if not isinstance(state, dict) or not {"network_weights", "init_args"} <= state.keys():
        raise InputError(f"{path}: is no checkpoint of nnU-Net v2")
    return state
