"""A bundle's files under the names that Slicer waits for. Runs in the user's Python, within the bundle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
from scripts.common.errors import InputError
from scripts.common.io.label_images import flat_affine, flat_axis, read_label_image
from scripts.common.io.volumes import GRID_TOLERANCE, load_volume, save_nifti, save_nrrd, volume_suffix

SYNTHETIC = "SYNTHETIC"


def hand_over(folder: str, outputs: Sequence[Mapping], source: str) -> None:
    """Write all outputs under temporary names, then rename them, so that none appears unless all do.

    Args:
        folder: where the bundle has written.
        outputs: `pattern` (glob below the folder, fits one file), `target`, `label` (uint8 instead of float32).
        source: the input. Volumes on its grid, to a thousandth of a millimetre, get exactly its affine: NIfTI keeps
            single precision only, and Slicer's filters compare more closely than that.

    Raises:
        InputError: a file is not there, or a target cannot be written.
    """
    partial = []
    try:
        for output in outputs:
            target = Path(output["target"])
            temporary = target.with_name(f".{os.getpid()}-{len(partial)}{volume_suffix(target)}")
            partial.append((temporary, target))
            try:
                _write(_only_file(Path(folder), output["pattern"]), temporary, bool(output["label"]), Path(source))
            except OSError as error:
                raise InputError(f"{target}: cannot be written ({error.strerror or error}); free some space") from error
        for temporary, target in partial:
            os.replace(temporary, target)
    finally:
        for temporary, _ in partial:
            temporary.unlink(missing_ok=True)


def _only_file(folder: Path, pattern: str) -> Path:
    found = sorted(path for path in folder.glob(f"*/{pattern}") if not path.parent.name.startswith("."))
    if len(found) != 1:
        raise InputError(f"{folder}: the bundle has left {len(found)} files {pattern}; one was expected")
    return found[0]


def _write(path: Path, target: Path, label: bool, source: Path) -> None:
    volume = load_volume(path, single_slice=True)
    affine = np.asarray(volume.affine, float)
    for shape, exact in _input_grids(source):
        if shape == tuple(volume.shape[1:]) and np.allclose(affine, exact, atol=GRID_TOLERANCE):
            affine = exact
    if volume_suffix(path) == volume_suffix(target) == ".nrrd" and not label:
        # Written by the bundle from the input's own affine in double precision: nothing is gained by writing it again.
        shutil.copyfile(path, target)
        return
    array = volume[0].numpy().round().astype(np.uint8) if label else volume[0].numpy().astype(np.float32)
    description = _description(path) or SYNTHETIC
    write = save_nrrd if volume_suffix(target) == ".nrrd" else save_nifti
    write(target, array, affine, "" if label else description)


def _input_grids(source: Path) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Shape and affine of the input, and of the same as a plane where it is one."""
    image = read_label_image(source)
    shape, affine = image.values.shape[:3], image.affine
    grids = [(tuple(shape), affine)]
    axis = flat_axis(shape)
    if axis is not None:
        plane = tuple(side for number, side in enumerate(shape) if number != axis)
        grids.append(((*plane, 1), flat_affine(affine, axis)))
    return grids


def _description(path: Path) -> str:
    if ".nii" not in volume_suffix(path):
        return ""
    return bytes(nibabel.load(path).header["descrip"]).rstrip(b"\0").decode("ascii", "replace")
