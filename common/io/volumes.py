"""Reading volumes with every defect reported in one line, writing NIfTI so that it appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import itk
import nibabel
import numpy as np
import torch
from monai.data import ITKReader, MetaTensor, NibabelReader

from ..errors import InputError
from .files import write_atomically

GRID_TOLERANCE = 1e-3
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def volume_suffix(path: str | Path) -> str | None:
    """The volume suffix of a file name (".nii.gz" is one suffix), or None for anything else."""
    return next((s for s in VOLUME_SUFFIXES if str(path).lower().endswith(s)), None)


def find_volumes(folder: str | Path) -> list[Path]:
    """All volumes below a folder, sorted, hidden files left out; links to folders are followed."""
    paths = (Path(home) / name for home, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in paths if volume_suffix(path) and not path.name.startswith("."))


def case_name(path: str | Path) -> str:
    """File name without its volume suffix, and without a trailing `_seg`, `-seg`, `_mask` or `_label`."""
    name = Path(path).name
    name = name[: -len(volume_suffix(name) or "")] or name
    for ending in ("_seg", "-seg", "_mask", "-mask", "_label", "-label", ".seg"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def load_volume(
    path: str | Path, channels_last: bool = False, single_slice: bool = False, finite: bool = True
) -> MetaTensor:
    """Read one scalar volume.

    Args:
        path: NIfTI, NRRD or MetaImage file.
        channels_last: accept a 4D file whose last axis is the channel.
        single_slice: accept an axis with one voxel, or no third axis.
        finite: refuse NaN and infinite voxels.

    Returns:
        MetaTensor of shape (C, X, Y, Z), float32, with the file's affine (millimetres, RAS).

    Raises:
        InputError: missing, truncated, not three-dimensional, or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if volume_suffix(path) is None:
        raise InputError(f"{path}: not a volume; give one of {', '.join(VOLUME_SUFFIXES)}")
    try:
        # The reader itself instead of LoadImage, which first sets up all readers it knows, DICOM codecs included.
        reader = NibabelReader() if ".nii" in volume_suffix(path) else ITKReader()
        array, meta = reader.get_data(reader.read(str(path)))
        meta["filename_or_obj"] = str(path)
        volume = MetaTensor.ensure_torch_and_prune_meta(np.array(array, np.float32), meta)
    except Exception as error:
        raise unreadable(path, error) from error
    if volume.ndim == 4 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim == 2 and single_slice:
        volume = volume[..., None]
    if volume.ndim == 4 and channels_last:
        volume = volume.movedim(-1, 0)
    elif volume.ndim == 3 and (single_slice or min(volume.shape) > 1):
        volume = volume[None]
    else:
        raise InputError(
            f"{path}: has shape {tuple(volume.shape)}, a three-dimensional volume is needed; "
            "a single slice or a series of volumes cannot be used"
        )
    if finite and not torch.isfinite(volume).all():
        count = int((~torch.isfinite(volume)).sum())
        raise InputError(f"{path}: {count} voxels are NaN or infinite; repair or re-export the file")
    return volume


def unreadable(path: Path, error: Exception) -> InputError:
    """The mistake to raise where a reader fails on a file that is there."""
    return InputError(
        f"{path}: cannot be read as an image, the file is truncated or not what its name says "
        f"({_first_line(error)}); copy it again from the source"
    )


def _first_line(error: Exception) -> str:
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    lines = str(root).strip().splitlines()
    return lines[0][:120] if lines else type(root).__name__


def same_grid(first: MetaTensor, second: MetaTensor) -> bool:
    """Whether two volumes have equal shape, origin, spacing and direction (to a thousandth of a millimetre)."""
    return tuple(first.shape[-3:]) == tuple(second.shape[-3:]) and bool(
        torch.allclose(first.affine.double(), second.affine.double(), atol=GRID_TOLERANCE)
    )


def describe_grid(volume: MetaTensor) -> str:
    """Shape, spacing and origin in words, for messages."""
    spacing = " x ".join(f"{float(s):.3g}" for s in volume.pixdim)
    origin = ", ".join(f"{float(o):.1f}" for o in volume.affine[:3, 3])
    return f"{' x '.join(map(str, volume.shape[-3:]))} voxels of {spacing} mm at ({origin})"


def save_nifti(path: str | Path, array: np.ndarray, affine: np.ndarray, description: str = "") -> None:
    """Write a volume under a temporary name, then rename it; the same voxels give the same bytes.

    Args:
        path: file ending in `.nii` or `.nii.gz`.
        array: (X, Y, Z), any NIfTI data type.
        affine: 4x4, voxel to millimetres (RAS); stored as both sform and qform.
        description: header text, at most 79 characters.
    """
    path = Path(path)
    image = nibabel.Nifti1Image(array, np.asarray(affine, float))
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    write_atomically(path, lambda temporary: nibabel.save(image, temporary))


def save_nrrd(path: str | Path, array: np.ndarray, affine: np.ndarray, description: str = "") -> None:
    """Write a volume (X, Y, Z) on an RAS affine as compressed NRRD, under a temporary name that is then renamed.

    NRRD is written in LPS, as ITK and 3D Slicer do; the same voxels give the same bytes. The description becomes the
    header's entry `description`.
    """
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, float)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(o) for o in lps[:3, 3]])
    image.SetDirection(np.ascontiguousarray(lps[:3, :3] / spacing))
    if description:
        image.GetMetaDataDictionary()["description"] = description
    write_atomically(path, lambda temporary: itk.imwrite(image, temporary, compression=True))
