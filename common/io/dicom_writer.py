"""Volumes as DICOM MR series, one file a slice, the same input giving the same bytes.

UIDs are derived from the texts that the caller gives, and no clock is read. Synthetic images say so in every place
where a viewer or an archive looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import MRImageStorage

from ..errors import InputError
from .dicom_elements import SYNTHETIC, decimal, file_meta, mark_synthetic, name_software, series_description, uid_of


def write_dicom_series(
    folder: str | Path,
    array: np.ndarray,
    affine: np.ndarray,
    *,
    description: str,
    series_number: int,
    uid_root_text: str,
    patient_id: str = SYNTHETIC,
    patient_name: str | None = None,
    synthetic: bool = True,
    seconds: float | None = None,
    study_text: str | None = None,
    frame_of_reference_text: str | None = None,
    software: str | None = None,
    software_version: str | None = None,
    file_pattern: str = "1-{instance:03d}.dcm",
    extra_tags: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write one volume as an MR Image Storage series; the folder appears whole.

    Args:
        folder: to be made; it may not exist yet.
        array: (X, Y, Z), integers or floats; a slice is `array[:, :, k]`, X along its rows, instance k + 1.
        affine: 4x4, voxel to millimetres (RAS), with orthogonal axes.
        description: SeriesDescription; begins with SYNTHETIC if `synthetic`.
        series_number: SeriesNumber.
        uid_root_text: what the series' UIDs are derived from, together with its number and description.
        patient_id: PatientID.
        patient_name: PatientName; the id if None.
        synthetic: mark every file as made by software.
        seconds: AcquisitionTime as seconds after midnight; none is written if None.
        study_text: what the StudyInstanceUID is derived from; `uid_root_text` if None. Series with equal text are one
            study.
        frame_of_reference_text: the same for the FrameOfReferenceUID; the study's text if None.
        software: name of what made the image, for ContributingEquipmentSequence.
        software_version: its version.
        file_pattern: names of the files, with `{instance}`.
        extra_tags: further elements by keyword; they replace those that are written here.

    Returns:
        The files, by instance number.

    Raises:
        InputError: the folder exists, or the array or affine cannot be stored.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder")
    array = np.asarray(array)
    _check(folder, array, np.asarray(affine, float))
    stored, slope, intercept = _stored_values(array)
    study = study_text or uid_root_text
    series = _series_tags(
        description=series_description(description, synthetic),
        series_number=series_number,
        patient_id=patient_id,
        patient_name=patient_id if patient_name is None else patient_name,
        seconds=seconds,
        study_uid=uid_of("study", study),
        series_uid=uid_of("series", uid_root_text, str(series_number), description),
        frame_uid=uid_of("frame of reference", frame_of_reference_text or study),
    )
    _add_grid(series, stored, np.asarray(affine, float))
    _add_values(series, stored, slope, intercept)
    if synthetic:
        mark_synthetic(series)
    if software:
        name_software(series, software, software_version, synthetic)
    for keyword, value in (extra_tags or {}).items():
        setattr(series, keyword, value)

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    names = [file_pattern.format(instance=index + 1) for index in range(stored.shape[2])]
    for index, name in enumerate(names):
        position = _to_lps(np.asarray(affine, float)) @ (0.0, 0.0, index, 1.0)
        _write_slice(partial / name, series, stored[:, :, index], index + 1, position[:3])
    partial.rename(folder)
    return [folder / name for name in names]


def _check(folder: Path, array: np.ndarray, affine: np.ndarray) -> None:
    if array.ndim != 3 or array.dtype.kind not in "iufb" or min(array.shape) < 1:
        raise InputError(f"{folder}: array has shape {array.shape} and type {array.dtype}; give a numeric (X, Y, Z)")
    if not np.isfinite(array).all():
        raise InputError(f"{folder}: array holds NaN or infinite values, which DICOM cannot store; replace them")
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if affine.shape != (4, 4) or not np.allclose(axes.T @ axes, np.eye(3), atol=1e-4):
        raise InputError(f"{folder}: the axes of the grid are not orthogonal; resample to an orthogonal grid first")


def _stored_values(array: np.ndarray) -> tuple[np.ndarray, float, float]:
    """16 bit values with the slope and intercept that bring the given ones back; (1, 0) where they fit as they are."""
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind != "f" or np.array_equal(array, np.rint(array)):
        if low >= 0 and high <= 65535:
            return array.astype(np.uint16), 1.0, 0.0
        if low >= -32768 and high <= 32767:
            return array.astype(np.int16), 1.0, 0.0
    slope = float(decimal((high - low) / 65535 or 1.0))
    intercept = float(decimal(low))
    return np.clip(np.rint((array.astype(float) - intercept) / slope), 0, 65535).astype(np.uint16), slope, intercept


def _series_tags(
    *,
    description: str,
    series_number: int,
    patient_id: str,
    patient_name: str,
    seconds: float | None,
    study_uid: str,
    series_uid: str,
    frame_uid: str,
) -> Dataset:
    tags = Dataset()
    tags.SpecificCharacterSet = "ISO_IR 192"
    tags.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    tags.SOPClassUID = MRImageStorage
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "Manufacturer", "ReferringPhysicianName"):
        setattr(tags, keyword, "")
    if seconds is not None:
        tags.AcquisitionTime = _time(seconds)
    tags.Modality = "MR"
    tags.SeriesDescription = description
    tags.PatientName = patient_name
    tags.PatientID = patient_id
    tags.PatientBirthDate = tags.PatientSex = ""
    tags.ScanningSequence = "RM"
    tags.SequenceVariant = "NONE"
    tags.ScanOptions = ""
    tags.MRAcquisitionType = "3D"
    tags.EchoTime = tags.RepetitionTime = tags.EchoTrainLength = None
    tags.StudyInstanceUID = study_uid
    tags.SeriesInstanceUID = series_uid
    tags.StudyID = ""
    tags.SeriesNumber = series_number
    tags.AcquisitionNumber = 1
    tags.FrameOfReferenceUID = frame_uid
    tags.PositionReferenceIndicator = ""
    return tags


def _add_grid(tags: Dataset, stored: np.ndarray, affine: np.ndarray) -> None:
    lps = _to_lps(affine)[:3, :3]
    spacing = np.linalg.norm(lps, axis=0)
    directions = lps / spacing
    tags.Rows, tags.Columns = stored.shape[1], stored.shape[0]
    tags.PixelSpacing = [decimal(spacing[1]), decimal(spacing[0])]
    tags.SliceThickness = tags.SpacingBetweenSlices = decimal(spacing[2])
    tags.ImageOrientationPatient = [decimal(value) for value in (*directions[:, 0], *directions[:, 1])]


def _add_values(tags: Dataset, stored: np.ndarray, slope: float, intercept: float) -> None:
    tags.SamplesPerPixel = 1
    tags.PhotometricInterpretation = "MONOCHROME2"
    tags.BitsAllocated = tags.BitsStored = 16
    tags.HighBit = 15
    tags.PixelRepresentation = int(stored.dtype.kind == "i")
    if (slope, intercept) != (1.0, 0.0):
        tags.RescaleSlope, tags.RescaleIntercept = decimal(slope), decimal(intercept)
        tags.RescaleType = "US"
    low, high = np.percentile(stored, (1, 99.5)) * slope + intercept
    tags.WindowCenter, tags.WindowWidth = decimal((low + high) / 2), decimal(max(high - low, 1.0))


def _write_slice(path: Path, series: Dataset, pixels: np.ndarray, instance: int, position: np.ndarray) -> None:
    uid = uid_of("instance", str(series.SeriesInstanceUID), str(instance))
    entry = FileDataset(
        str(path),
        series,
        file_meta=file_meta(MRImageStorage, uid),
        preamble=b"\0" * 128,
        is_implicit_VR=False,
        is_little_endian=True,
    )
    entry.SOPInstanceUID = uid
    entry.InstanceNumber = instance
    entry.ImagePositionPatient = [decimal(value) for value in position]
    entry.SliceLocation = decimal(_normal(series) @ position)
    entry.PixelData = np.ascontiguousarray(pixels.T).astype(f"<{pixels.dtype.kind}2").tobytes()
    entry["PixelData"].VR = "OW"
    entry.save_as(path)


def _normal(tags: Dataset) -> np.ndarray:
    orientation = [float(value) for value in tags.ImageOrientationPatient]
    return np.cross(orientation[:3], orientation[3:])


def _to_lps(affine: np.ndarray) -> np.ndarray:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _time(seconds: float) -> str:
    """HHMMSS.FFFFFF of seconds after midnight; times after the next midnight wrap."""
    micros = round(seconds % 86400 * 1_000_000) % 86_400_000_000
    hours, rest = divmod(micros, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    return f"{hours:02d}{minutes:02d}{rest // 1_000_000:02d}.{rest % 1_000_000:06d}"
