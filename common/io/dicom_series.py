"""One DICOM MR series read as a volume.

Headers are read by pydicom, pixels by ITK (GDCM), which decodes compressed files and applies the rescale values. A
volume's grid comes from the slices' own positions, so that neither file names nor file order matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itk
import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import SpaceKeys

from ..errors import InputError
from .dicom_headers import DicomSeries, find_series

POSITION_TOLERANCE_MM = 0.01
# Scanners round positions; a slice may lie this share of the spacing beside its place.
SPACING_TOLERANCE = 0.05


def load_series(source: DicomSeries | str | Path) -> MetaTensor:
    """Read one single-phase MR series as a volume.

    Args:
        source: from `find_series`, or a folder that holds exactly one series.

    Returns:
        MetaTensor of shape (1, X, Y, Z), float32, rescale values applied; X runs along the rows of a slice, Y along its
        columns, Z along the slice normal; affine in millimetres, RAS. The same contract as `volumes.load_volume`.

    Raises:
        InputError: no or several series, another modality, unreadable files, or slices that do not form a volume.
    """
    series = source if isinstance(source, DicomSeries) else _only_series(Path(source))
    affine = series_affine(series)
    pixels = _read_pixels(series)
    meta: dict[str, Any] = {
        "filename_or_obj": str(series.files[0].parent),
        "affine": torch.from_numpy(affine),
        "original_affine": torch.from_numpy(affine),
        "space": SpaceKeys.RAS,
        "spatial_shape": np.array(pixels.shape),
        "original_channel_dim": "no_channel",
    }
    volume = MetaTensor.ensure_torch_and_prune_meta(pixels, meta)
    return volume[None]


def series_affine(series: DicomSeries) -> np.ndarray:
    """Voxel indices to RAS millimetres (4x4, float64), from the headers of a series alone.

    Raises:
        InputError: not a stack of MR slices on one regular grid; says which slices are missing, double or different.
    """
    where = f"{series.files[0].parent}: series {series.title}"
    _check_kind(series, where)
    _check_alike(series, where)
    _check_spacing(series, where)
    first, last = series.slices[0], series.slices[-1]
    step = (np.array(last.position) - np.array(first.position)) / (len(series.slices) - 1)
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.orientation[:3]) * first.spacing[1]
    affine[:3, 1] = np.array(first.orientation[3:]) * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _only_series(folder: Path) -> DicomSeries:
    found = find_series(folder)
    if not found:
        raise InputError(f"{folder}: holds no DICOM file; give the folder of one MR series")
    if len({series.uid for series in found}) > 1:
        raise InputError(
            f"{folder}: holds {len({series.uid for series in found})} series mixed, "
            f"{'; '.join(series.title for series in found[:6])}; give a folder with one series alone"
        )
    if len(found) > 1:
        raise InputError(
            f"{folder}: series {found[0].title} holds {len(found)} phases; give a folder with the files of one phase"
        )
    return found[0]


def _check_kind(series: DicomSeries, where: str) -> None:
    if series.modality != "MR":
        raise InputError(f"{where} has modality {series.modality or '(none)'}; give an MR series")
    if any(entry.samples > 1 for entry in series.slices):
        raise InputError(f"{where} holds colour images; give the grey original series")
    if any(entry.frames > 1 for entry in series.slices):
        raise InputError(f"{where} holds multi-frame files; export it with one file a slice")
    placeless = [s for s in series.slices if s.position is None or s.orientation is None or s.spacing is None]
    if placeless:
        advice = (
            "give an original MR series" if len(placeless) == len(series.slices) else "copy it again from the source"
        )
        raise InputError(f"{where}: {placeless[0].path.name} has no position, orientation or pixel spacing; {advice}")
    if len(series.slices) < 2:
        raise InputError(f"{where} is a single slice; a volume of at least two slices is needed")


def _check_alike(series: DicomSeries, where: str) -> None:
    first = series.slices[0]
    for entry in series.slices[1:]:
        if (entry.rows, entry.columns) != (first.rows, first.columns):
            raise InputError(
                f"{where}: {entry.path.name} has {entry.rows} x {entry.columns} pixels, {first.path.name} "
                f"{first.rows} x {first.columns}; give a series with slices of one size"
            )
        if not np.allclose(entry.orientation, first.orientation, atol=1e-3):
            raise InputError(
                f"{where}: {entry.path.name} and {first.path.name} are oriented differently, as in a localiser; "
                "give a series of parallel slices"
            )
        if not np.allclose(entry.spacing, first.spacing, atol=1e-3):
            raise InputError(
                f"{where}: {entry.path.name} has a pixel spacing of {entry.spacing[0]:g} mm, {first.path.name} "
                f"{first.spacing[0]:g} mm; give a series with one spacing"
            )


def _check_spacing(series: DicomSeries, where: str) -> None:
    gaps = np.diff(series.positions_mm)
    for below, above, gap in zip(series.slices, series.slices[1:], gaps, strict=False):
        if gap < POSITION_TOLERANCE_MM:
            raise InputError(
                f"{where}: {below.path.name} and {above.path.name} lie at the same position "
                f"({below.along_normal:.2f} mm); remove the double file, or give the phases of the series apart"
            )
    step = float(np.median(gaps))
    tolerance = max(POSITION_TOLERANCE_MM, SPACING_TOLERANCE * step)
    for below, above, gap in zip(series.slices, series.slices[1:], gaps, strict=False):
        if gap > 1.5 * step:
            count = max(1, round(gap / step) - 1)
            raise InputError(
                f"{where}: {count} slice{'s are' if count > 1 else ' is'} missing between instance {below.instance} at "
                f"{below.along_normal:.2f} mm and instance {above.instance} at {above.along_normal:.2f} mm, slices are "
                f"{step:.2f} mm apart; copy the series again from the source"
            )
        if abs(gap - step) > tolerance:
            raise InputError(
                f"{where}: the distance of instances {below.instance} and {above.instance} is {gap:.2f} mm, elsewhere "
                f"{step:.2f} mm; give a series with even spacing"
            )
    positions = np.array([entry.position for entry in series.slices])
    line = np.linspace(positions[0], positions[-1], len(positions))
    worst = int(np.argmax(np.abs(positions - line).max(1)))
    if np.abs(positions[worst] - line[worst]).max() > max(0.1, tolerance):
        raise InputError(
            f"{where}: {series.slices[worst].path.name} lies beside the others in its plane; "
            "give a series of slices on one grid"
        )


def _read_pixels(series: DicomSeries) -> np.ndarray:
    """(X, Y, Z) float32."""
    try:
        stack = itk.array_from_image(_itk_image(series.files))
    except RuntimeError as error:
        for path in series.files:
            _read_alone(path)
        raise InputError(f"{series.files[0].parent}: series {series.title} cannot be read; copy it again") from error
    return np.ascontiguousarray(stack.transpose(2, 1, 0), np.float32)


def _itk_image(files: Sequence[Path]) -> itk.Image:
    # Not `itk.imread`, which asks all formats about the first file and stumbles over one that is damaged.
    reader = itk.ImageSeriesReader[itk.Image[itk.F, 3]].New(ImageIO=itk.GDCMImageIO.New())
    reader.SetFileNames([str(path) for path in files])
    reader.Update()
    return reader.GetOutput()


def _read_alone(path: Path) -> None:
    try:
        _itk_image([path])
    except RuntimeError as error:
        raise InputError(
            f"{path}: its pixels cannot be read, the file is truncated or damaged; copy it again from the source"
        ) from error
