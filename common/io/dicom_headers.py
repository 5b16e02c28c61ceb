"""DICOM series as their headers describe them: found in a folder, told apart, split into phases, slices in order."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ..errors import InputError

_TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "Modality", "PatientID",
    "FrameOfReferenceUID", "ImageType", "AcquisitionTime", "SeriesTime", "ContentTime", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "PixelSpacing", "SamplesPerPixel",
    "NumberOfFrames", "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime",
]  # fmt: skip
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
# What may tell the phases of one series apart, the most telling first.
_PHASE_KEYS = ("temporal_position", "acquisition", "trigger_ms", "acquisition_seconds", "content_seconds")


@dataclass(frozen=True)
class DicomSlice:
    """What the header of one file says; positions in DICOM's own patient coordinates (LPS, mm)."""

    path: Path
    instance: int | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    rows: int
    columns: int
    spacing: tuple[float, ...] | None
    samples: int
    frames: int
    temporal_position: int | None
    acquisition: int | None
    trigger_ms: float | None
    acquisition_seconds: float | None
    series_seconds: float | None
    content_seconds: float | None

    @property
    def along_normal(self) -> float | None:
        """Position along the slice normal (direction along rows x direction along columns) in mm."""
        if self.position is None or self.orientation is None:
            return None
        return float(np.dot(np.cross(self.orientation[:3], self.orientation[3:]), self.position))

    @property
    def place(self) -> tuple[float, ...] | None:
        """Position and orientation, rounded, to find files that show the same place."""
        if self.position is None or self.orientation is None:
            return None
        return (*np.round(self.position, 2).tolist(), *np.round(self.orientation, 3).tolist())


@dataclass(frozen=True)
class DicomSeries:
    """One series, or one phase of a series that holds several; slices ascend along the slice normal."""

    uid: str
    description: str
    number: int | None
    modality: str
    patient_id: str
    frame_of_reference: str
    image_type: tuple[str, ...]
    folder: str
    slices: tuple[DicomSlice, ...]
    seconds: float | None
    temporal_index: int = 0
    temporal_count: int = 1

    @property
    def files(self) -> tuple[Path, ...]:
        """Files in the order of `slices`."""
        return tuple(entry.path for entry in self.slices)

    @property
    def positions_mm(self) -> tuple[float | None, ...]:
        """Positions along the slice normal, ascending."""
        return tuple(entry.along_normal for entry in self.slices)

    @property
    def title(self) -> str:
        """Description, number and phase in words, for messages."""
        phase = f", phase {self.temporal_index + 1} of {self.temporal_count}" if self.temporal_count > 1 else ""
        return f"'{self.description or 'without description'}' (series {self.number}{phase}, {len(self.slices)} files)"


def find_series(folder: str | Path) -> list[DicomSeries]:
    """All DICOM series below a folder, by number; a series of several phases gives one entry a phase, in their order.

    Raises:
        InputError: no such folder, or a file named as DICOM whose header cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder with one DICOM series")
    paths: list[Path] = []
    for home, children, names in os.walk(folder, followlinks=True):
        children[:] = [child for child in children if not child.startswith(".")]
        paths += [Path(home) / name for name in names if not name.startswith(".")]
    return read_series(paths)


def read_series(paths: Sequence[Path]) -> list[DicomSeries]:
    """The series that some files belong to; files that are no DICOM are passed over.

    Raises:
        InputError: a file named as DICOM whose header cannot be read.
    """
    groups: dict[str, list[tuple[DicomSlice, pydicom.Dataset]]] = defaultdict(list)
    for path in sorted(paths):
        header = read_header(path)
        if header is not None:
            groups[str(header.SeriesInstanceUID)].append((_slice(path, header), header))
    series = [phase for uid, group in groups.items() for phase in _phases(uid, group)]
    return sorted(series, key=lambda s: (s.number is None, s.number or 0, s.uid, s.temporal_index))


def read_header(path: Path) -> pydicom.Dataset | None:
    """The tags that this module uses, of one file; None for a file that is no DICOM image.

    Raises:
        InputError: the file is named as DICOM and cannot be read.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        uid = header.get("SeriesInstanceUID")
    except (InvalidDicomError, EOFError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        # RuntimeError covers what pydicom raises for a value representation that does not exist.
        if path.suffix.lower() not in DICOM_SUFFIXES:
            return None
        raise InputError(
            f"{path}: not readable as DICOM, truncated or damaged; copy it again from the source"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); copy it again from the source") from error
    if not uid:
        if path.suffix.lower() not in DICOM_SUFFIXES:
            return None
        raise InputError(f"{path}: its header ends before the series is named; copy it again from the source")
    return header


def _slice(path: Path, header: pydicom.Dataset) -> DicomSlice:
    return DicomSlice(
        path=path,
        instance=_number(header, "InstanceNumber", int),
        position=_numbers(header, "ImagePositionPatient", 3),
        orientation=_numbers(header, "ImageOrientationPatient", 6),
        rows=_number(header, "Rows", int) or 0,
        columns=_number(header, "Columns", int) or 0,
        spacing=_numbers(header, "PixelSpacing", 2),
        samples=_number(header, "SamplesPerPixel", int) or 1,
        frames=_number(header, "NumberOfFrames", int) or 1,
        temporal_position=_number(header, "TemporalPositionIdentifier", int),
        acquisition=_number(header, "AcquisitionNumber", int),
        trigger_ms=_number(header, "TriggerTime", float),
        acquisition_seconds=_time_of_day(header.get("AcquisitionTime")),
        series_seconds=_time_of_day(header.get("SeriesTime")),
        content_seconds=_time_of_day(header.get("ContentTime")),
    )


def _number(header: pydicom.Dataset, key: str, kind: Callable[[Any], Any]) -> Any:
    try:
        return kind(float(header.get(key)))
    except (TypeError, ValueError):
        return None


def _numbers(header: pydicom.Dataset, key: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(value) for value in header.get(key))
    except (TypeError, ValueError):
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _time_of_day(text: Any) -> float | None:
    """Seconds after midnight of a DICOM time (HHMMSS.FFFFFF), or None."""
    text = str(text or "").strip().replace(":", "")
    try:
        return int(text[:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:] or 0)
    except ValueError:
        return None


def _phases(uid: str, group: list[tuple[DicomSlice, pydicom.Dataset]]) -> list[DicomSeries]:
    header = group[0][1]
    slices = [entry for entry, _ in group]
    whole = DicomSeries(
        uid=uid,
        description=str(header.get("SeriesDescription") or "").strip(),
        number=_number(header, "SeriesNumber", int),
        modality=str(header.get("Modality") or "").strip(),
        patient_id=str(header.get("PatientID") or "").strip(),
        frame_of_reference=str(header.get("FrameOfReferenceUID") or "").strip(),
        image_type=_texts(header.get("ImageType")),
        folder=slices[0].path.parent.name,
        slices=_sorted(slices),
        seconds=_seconds(slices),
    )
    parts = _split(slices)
    # Some scanners stamp all phases with the start of the acquisition and count from there in the trigger time.
    stamps = {_earliest(part, "acquisition_seconds") for part in parts}
    delayed = len(parts) > 1 and len(stamps) == 1 and all(_earliest(p, "trigger_ms") is not None for p in parts)
    return [
        replace(
            whole,
            slices=_sorted(part),
            seconds=_seconds(part, _earliest(part, "trigger_ms") if delayed else 0.0),
            temporal_index=index,
            temporal_count=len(parts),
        )
        for index, part in enumerate(parts)
    ]


def _split(slices: list[DicomSlice]) -> list[list[DicomSlice]]:
    """Slices by phase where one key tells apart all files that show the same place, else all together."""
    places = Counter(entry.place for entry in slices if entry.place is not None)
    phases = max(places.values(), default=1)
    if phases > 1:
        for key in _PHASE_KEYS:
            parts: dict[Any, list[DicomSlice]] = defaultdict(list)
            for entry in slices:
                parts[getattr(entry, key)].append(entry)
            clean = all(len({entry.place for entry in part}) == len(part) for part in parts.values())
            if None not in parts and len(parts) == phases and clean:
                return [parts[value] for value in sorted(parts)]
    return [slices]


def _sorted(slices: list[DicomSlice]) -> tuple[DicomSlice, ...]:
    return tuple(sorted(slices, key=lambda s: (s.along_normal or 0.0, s.instance or 0, str(s.path))))


def _earliest(slices: Sequence[DicomSlice], key: str) -> float | None:
    return min((value for entry in slices if (value := getattr(entry, key)) is not None), default=None)


def _seconds(slices: Sequence[DicomSlice], delay_ms: float = 0.0) -> float | None:
    keys = ("acquisition_seconds", "series_seconds", "content_seconds")
    start = next((value for key in keys if (value := _earliest(slices, key)) is not None), None)
    return None if start is None else start + delay_ms / 1000


def _texts(value: Any) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    return tuple(str(entry) for entry in value)
