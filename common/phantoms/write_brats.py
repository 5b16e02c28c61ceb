"""Write brain tumour phantoms as BraTS distributes cases: LPS-oriented NIfTI, one file a contrast, one mask."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ..io.volumes import save_nifti
from .brain_tumor import ENHANCING, make_brain_tumor

FILE_NAMES = {
    "brats2021": ("PhantomBraTS_{seed:05d}", "_{part}.nii.gz", ("t1", "t1ce", "t2", "flair", "seg"), 4),
    "brats2023": ("BraTS-GLI-{seed:05d}-000", "-{part}.nii.gz", ("t1n", "t1c", "t2w", "t2f", "seg"), 3),
}
DESCRIPTION = "SYNTHETIC phantom, no patient"


def case_files(folder: Path, seed: int, naming: str) -> list[Path]:
    """Paths of one case: T1, T1C, T2, FLAIR, mask."""
    name, pattern, parts, _ = FILE_NAMES[naming]
    name = name.format(seed=seed)
    return [folder / name / (name + pattern.format(part=part)) for part in parts]


def is_written(folder: Path, seed: int, naming: str) -> bool:
    """Whether a case is complete."""
    return all(path.is_file() for path in case_files(folder, seed, naming))


def write_case(folder: Path, seed: int, naming: str = "brats2021", spacing_mm: float = 2.5) -> None:
    """Draw the phantom of patient `seed` and write its five files; the case's folder appears whole."""
    phantom = make_brain_tumor(seed, spacing_mm)
    paths = case_files(folder, seed, naming)
    enhancing = FILE_NAMES[naming][3]
    label = np.where(phantom.label == ENHANCING, enhancing, phantom.label).astype(np.uint8)
    # BraTS stores voxels from left to right reversed in x and y (LPS), with this origin in RAS millimetres.
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[1, 3] = 240.0 - spacing_mm
    partial = folder / f".{paths[0].parent.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for path, volume in zip(paths, [*phantom.image.astype(np.int16), label], strict=True):
        save_nifti(partial / path.name, volume[::-1, ::-1], affine, DESCRIPTION)
    shutil.rmtree(paths[0].parent, ignore_errors=True)
    partial.rename(paths[0].parent)
