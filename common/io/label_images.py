"""Label images as files hold them, two- or three-dimensional, with or without channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import itk
import nibabel
import nrrd
import numpy as np
from PIL import Image

from ..errors import InputError
from .volumes import VOLUME_SUFFIXES, unreadable, volume_suffix

# How NRRD names its world axes, as factors to RAS; what says nothing is LPS, as ITK and 3D Slicer read it.
NRRD_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
LPS = (-1, -1, 1)
PICTURE_SUFFIX = ".png"
PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class LabelImage:
    """A label image in one form, whatever the file.

    Attributes:
        values: (X, Y, Z, C), of the file's own type; axes that the file lacks have length 1.
        affine: 4x4, voxel to millimetres (RAS).
        fields: the entries of an NRRD header, empty for other files.
        colours: for a colour picture, (X, Y, 1, 4) RGBA uint8; `values` then are all 0.
    """

    values: np.ndarray
    affine: np.ndarray
    fields: Mapping[str, Any] = field(default_factory=dict)
    colours: np.ndarray | None = None


def is_label_image(path: str | Path) -> bool:
    """Whether a file's name is one that `read_label_image` takes."""
    return volume_suffix(path) is not None or str(path).lower().endswith(PICTURE_SUFFIX)


def read_label_image(path: Path) -> LabelImage:
    """Read a NIfTI, NRRD or MetaImage file of two to four dimensions, or a PNG.

    A PNG has 1 mm pixels, X along its columns from the left and Y down its rows; it is taken as radiological pictures
    are viewed, the patient's right on the left: affine diag(-1, -1, 1). Colours that are all grey are grey values.

    Raises:
        InputError: missing, of another kind, truncated, or not finite.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if not is_label_image(path):
        raise InputError(f"{path}: not a mask; give one of {', '.join((*VOLUME_SUFFIXES, PICTURE_SUFFIX))}")
    suffix = volume_suffix(path) or PICTURE_SUFFIX
    read = {".nii.gz": _read_nifti, ".nii": _read_nifti, ".nrrd": _read_nrrd, PICTURE_SUFFIX: _read_png}
    try:
        image = read.get(suffix, _read_itk)(path)
    except Exception as error:
        raise unreadable(path, error) from error
    count = int((~np.isfinite(image.values)).sum())
    if count:
        raise InputError(f"{path}: {count} pixels are NaN or infinite; repair or re-export the file")
    return image


def flat_axis(shape: Sequence[int]) -> int | None:
    """The axis of length 1 of (X, Y, Z), the last where there are several; None for a volume."""
    return max((axis for axis in range(3) if shape[axis] == 1), default=None)


def flat_affine(affine: np.ndarray, axis: int) -> np.ndarray:
    """Affine of the plane seen as a volume (X, Y, 1), when `axis` is dropped and comes last."""
    return affine[:, [*(k for k in range(3) if k != axis), axis, 3]]


def _read_nifti(path: Path) -> LabelImage:
    image = nibabel.load(path)
    return LabelImage(_four_axes(np.asanyarray(image.dataobj)), np.asarray(image.affine, float))


def _read_nrrd(path: Path) -> LabelImage:
    array, header = nrrd.read(str(path), index_order="F")
    kinds = header.get("kinds", ["domain"] * array.ndim)
    directions = np.asarray(header.get("space directions", np.full((array.ndim, 0), 0.0)), float)
    listed = [k for k in range(array.ndim) if np.isnan(directions[k]).any() or kinds[k] not in ("domain", "space")]
    spatial = [k for k in range(array.ndim) if k not in listed]
    if len(listed) > 1 or len(spatial) not in (2, 3):
        raise ValueError(f"axes of kinds {', '.join(map(str, kinds))}")
    spacings = np.asarray(header.get("spacings", np.ones(array.ndim)), float)[spatial]
    vectors = directions[spatial] if directions.size else np.diag(np.where(np.isfinite(spacings), spacings, 1.0))
    factors = NRRD_SPACES.get(str(header.get("space", "")).lower(), LPS)
    affine = _affine(vectors.T, np.asarray(header.get("space origin", np.zeros(vectors.shape[1])), float), factors)
    values = np.transpose(array, (*spatial, *listed))
    values = np.expand_dims(values, 2) if len(spatial) == 2 else values
    return LabelImage(_four_axes(values), affine, header)


def _read_itk(path: Path) -> LabelImage:
    image = itk.imread(str(path))
    size = image.GetImageDimension()
    array = np.asarray(itk.array_from_image(image))
    values = np.transpose(array, (*range(size - 1, -1, -1), *range(size, array.ndim)))
    values = np.expand_dims(values, 2) if size == 2 else values
    vectors = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    return LabelImage(_four_axes(values), _affine(vectors, np.array(image.GetOrigin()), LPS))


def _read_png(path: Path) -> LabelImage:
    with Image.open(path) as picture:
        if picture.mode in ("RGB", "RGBA", "P", "PA", "LA"):
            colours = np.asarray(picture.convert("RGBA")).swapaxes(0, 1)
            opaque = colours[colours[..., 3] > 0]
            if (opaque[:, :3] != opaque[:, :1]).any():
                return LabelImage(
                    np.zeros((*colours.shape[:2], 1, 1), np.uint8), PICTURE_AFFINE, {}, colours[:, :, None]
                )
            return LabelImage(_four_axes(np.where(colours[..., 3] > 0, colours[..., 0], 0)), PICTURE_AFFINE)
        return LabelImage(_four_axes(np.asarray(picture).swapaxes(0, 1)), PICTURE_AFFINE)


def _four_axes(values: np.ndarray) -> np.ndarray:
    if values.ndim not in (2, 3, 4):
        raise ValueError(f"{values.ndim} dimensions")
    return values.reshape(values.shape + (1,) * (4 - values.ndim))


def _affine(vectors: np.ndarray, origin: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Affine in RAS of axes given as columns in a world of two or three dimensions.

    A plane in space gets its unit normal as third axis, a plane without a world the third world axis.
    """
    affine = np.eye(4)
    rows, columns = vectors.shape
    affine[:rows, :columns] = vectors
    if (rows, columns) == (3, 2):
        normal = np.cross(vectors[:, 0], vectors[:, 1])
        affine[:3, 2] = normal / np.linalg.norm(normal)
    affine[: len(origin), 3] = origin
    return np.diag([*factors, 1.0]) @ affine
