"""Reading the pre-contrast volume that a user names, with a warning where it cannot be one."""

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

# Magnitude images have no negative voxels; resampling leaves a few.
NEGATIVE_SHARE = 0.01


class LoadPrecontrastd(MapTransform):
    """Load a volume file or the folder of one DICOM series.

    Args:
        keys: path; becomes (1, X, Y, Z), float32.
        source_key: entry that keeps the volume as it was read, for subtraction in its own units.

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
            _warn_of_subtraction(path, volume)
            item[key] = item[self.source_key] = volume
        return item


def _load_folder(path: Path) -> MetaTensor:
    series = find_series(path)
    for found in series:
        if any("SUB" in entry.upper() for entry in (*found.image_type, found.description)):
            warnings.warn(f"{path}: series '{found.description}' looks like a subtraction", stacklevel=2)
    return load_series(series[0] if len(series) == 1 else path)


def _warn_of_subtraction(path: Path, volume: MetaTensor) -> None:
    text = str(volume.meta.get("descrip", "")).lower()
    if "subtraction" in text or "synthetic breast" in text:
        warnings.warn(f"{path}: its header says '{text.strip()}'; is it from before contrast?", stacklevel=2)
    share = float((volume < 0).float().mean())
    if share > NEGATIVE_SHARE:
        warnings.warn(
            f"{path}: {share:.0%} of the voxels are negative, as in a subtraction or a normalised image; a magnitude "
            "image from before contrast is needed, results will mislead",
            stacklevel=2,
        )
