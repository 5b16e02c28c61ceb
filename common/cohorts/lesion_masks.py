"""Lesion masks beside dynamic series: their place on the grid, their box, and what a sidecar says of the lesions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.data import MetaTensor

from ..errors import InputError
from ..io.volumes import VOLUME_SUFFIXES, describe_grid, load_volume, same_grid, volume_suffix


def find_mask(folder: Path, name: str) -> Path | None:
    """The volume of that name in a folder, whatever its suffix, or None."""
    return next((path for suffix in VOLUME_SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def load_mask(path: Path, image: MetaTensor) -> np.ndarray:
    """Read a mask on the grid of an image.

    Args:
        path: a volume with whole numbers, 0 outside lesions.
        image: (1, X, Y, Z); the mask may have its axes in another order or direction, nothing is interpolated.

    Returns:
        (X, Y, Z), uint8, or uint16 where values are above 255.

    Raises:
        InputError: unreadable, on another grid, empty, or not of whole numbers.
    """
    mask = _on_axes_of(load_volume(path), image)
    if not same_grid(mask, image):
        raise InputError(
            f"{path}: the mask ({describe_grid(mask)}) is not on the grid of the images ({describe_grid(image)}); "
            "resample it with nearest neighbours first"
        )
    values = mask[0].numpy()
    if values.min() < 0 or not np.array_equal(values, np.rint(values)) or values.max() > 65535:
        raise InputError(f"{path}: a mask holds whole numbers from 0 on; export it again as a label map")
    if not values.any():
        raise InputError(f"{path}: the mask is empty; remove it or draw the lesion")
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)


def mask_box(mask: np.ndarray) -> list[list[int]]:
    """Half-open bounding box `[[x0, y0, z0], [x1, y1, z1]]` of all that is not 0."""
    places = np.argwhere(mask)
    return [places.min(0).tolist(), (places.max(0) + 1).tolist()]


def sidecar_of(mask: Path) -> Path:
    """Where the JSON file of the same name beside a mask lies, if there is one."""
    return mask.with_name(mask.name[: -len(volume_suffix(mask))] + ".json")


def read_sidecar(mask: Path) -> dict[str, Any]:
    """The JSON file of the same name beside a mask; empty where there is none.

    Raises:
        InputError: not a JSON object, or its `lesions` are no list of objects.
    """
    path = sidecar_of(mask)
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); correct or remove it") from error
    lesions = content.get("lesions", []) if isinstance(content, dict) else None
    if not isinstance(lesions, list) or not all(isinstance(lesion, dict) for lesion in lesions):
        raise InputError(f'{path}: expected {{"lesions": [{{"instance": 1, ...}}]}}; correct or remove it')
    return content


def _on_axes_of(mask: MetaTensor, image: MetaTensor) -> MetaTensor:
    start = nibabel.io_orientation(mask.affine.numpy())
    turn = nibabel.orientations.ornt_transform(start, nibabel.io_orientation(image.affine.numpy()))
    values = nibabel.apply_orientation(mask[0].numpy(), turn)
    affine = mask.affine.numpy() @ nibabel.orientations.inv_ornt_aff(turn, mask.shape[1:])
    return MetaTensor(np.ascontiguousarray(values)[None], affine=affine)
