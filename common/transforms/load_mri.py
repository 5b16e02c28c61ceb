"""Reading the MRI volume that a user names, whatever form it has."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..io.dicom_series import find_series, load_series
from ..io.volumes import load_volume


class LoadMrid(MapTransform):
    """Load a volume file or the folder of one DICOM series.

    Args:
        keys: path; becomes (1, X, Y, Z), float32.
        source_key: entry that keeps the volume as it was read, for its grid and units.

    Raises:
        InputError: missing, defect, four-dimensional, several series, not MR, or empty.
    """

    def __init__(self, keys: KeysCollection = "image", source_key: str = "source") -> None:
        super().__init__(keys)
        self.source_key = source_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            path = Path(item[key])
            volume = _load_folder(path) if path.is_dir() else load_volume(path)
            if not volume.any():
                raise InputError(f"{path}: every voxel is 0; check the file")
            self.check(path, volume)
            item[key] = item[self.source_key] = volume
        return item

    def check(self, path: Path, volume: MetaTensor) -> None:
        """Look at what was loaded; every image is taken."""


def _load_folder(path: Path) -> MetaTensor:
    series = find_series(path)
    for found in series:
        if any("SUB" in entry.upper() for entry in (*found.image_type, found.description)):
            warnings.warn(f"{path}: series '{found.description}' looks like a subtraction", stacklevel=2)
    return load_series(series[0] if len(series) == 1 else path)
