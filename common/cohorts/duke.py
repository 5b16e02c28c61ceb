"""Duke-Breast-Cancer-MRI as downloaded: a patient's series, and which of them are the dynamic phases.

Series are named by hand and by two vendors: `ax dyn pre` and `ax dyn 1st pass`; `ax 3d dyn` before contrast and
`Ph1/ax 3d dyn` after it; `Ax Vibrant MultiPhase`, which may hold all phases at once; and more. The description chooses,
times and series numbers order what it leaves open.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..io.dicom_headers import DICOM_SUFFIXES, DicomSeries, read_header, read_series

HALF_DAY = 43200.0
_PATIENT = re.compile(r"Breast_MRI_\d{3,}")
_DYNAMIC = re.compile(r"dyn|vibrant|3d pre", re.IGNORECASE)
_DERIVED = re.compile(r"(?<![a-z])(sub|mip|mpr|proj|loc|scout|seg)", re.IGNORECASE)
_DERIVED_TYPES = {"SUB", "SUBTRACTION", "MIP", "MPR", "PROJECTION IMAGE"}
_PRE = re.compile(r"(?<![a-z])pre", re.IGNORECASE)
_ORDINAL = re.compile(
    r"([1-9])\s*(?:st|nd|rd|th)(?![a-z])|(?<![a-z])(?:ph|phase|post|pass)[\s_-]*([1-9])(?!\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class DukeCase:
    """One patient as found on disk: the folders that hold DICOM files."""

    name: str
    folders: tuple[Path, ...]

    @property
    def patient(self) -> str:
        """One case a patient."""
        return self.name

    @property
    def files(self) -> list[Path]:
        """All files, sorted, hidden ones left out."""
        return sorted(path for folder in self.folders for path in _visible_files(folder))


def find_patients(source: str | Path) -> list[DukeCase]:
    """All patients below a folder, by a folder `Breast_MRI_<number>` above the files or else by their PatientID.

    Raises:
        InputError: the folder does not exist or holds no such patient.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder")
    folders: dict[str, list[Path]] = {}
    for home, children, _ in os.walk(source, followlinks=True):
        children[:] = [child for child in children if not child.startswith(".")]
        patient = _patient_of(Path(home))
        if patient:
            folders.setdefault(patient, []).append(Path(home))
    if not folders:
        raise InputError(
            f"source {source}: no patient found; expected DICOM files in folders Breast_MRI_<number>, as downloaded "
            "from TCIA, or with such a PatientID"
        )
    return [DukeCase(name, tuple(sorted(folders[name]))) for name in sorted(folders)]


def find_phases(case: DukeCase, num_phases: int) -> list[DicomSeries]:
    """The pre-contrast series and the first `num_phases` after contrast, in their order.

    Raises:
        InputError: unreadable headers, several patients, a phase double, or fewer phases than asked for.
    """
    series = read_series(case.files)
    if any(_PATIENT.fullmatch(entry.patient_id) and entry.patient_id != case.name for entry in series):
        raise InputError(f"{case.name}: holds files of another patient; download the case again")
    dynamic = [entry for entry in series if is_dynamic(entry)]
    phases = order_phases(dynamic)
    if len(phases) < num_phases + 1:
        found = ", ".join(f"'{_name(entry)}'" for entry in dynamic) or "none"
        complete = f"{len(phases) - 1} post-contrast phases follow" if phases else "nothing follows"
        raise InputError(
            f"{case.name}: {complete} a pre-contrast one without a gap, {num_phases} are needed (dynamic series: "
            f"{found}); pass a lower --num_phases, or download what is missing"
        )
    return phases[: num_phases + 1]


def is_dynamic(series: DicomSeries) -> bool:
    """Whether a series is an original dynamic phase, by description, modality and image type."""
    name = _name(series)
    return (
        series.modality == "MR"
        and bool(_DYNAMIC.search(name))
        and not _DERIVED.search(name)
        and not _DERIVED_TYPES & {entry.upper() for entry in series.image_type}
    )


def order_phases(series: Sequence[DicomSeries]) -> list[DicomSeries]:
    """Dynamic series from pre-contrast onwards, up to the first gap where descriptions number them.

    Raises:
        InputError: two series claim the same phase.
    """
    ranks = [phase_number(_name(entry)) if entry.temporal_count == 1 else None for entry in series]
    if 0 not in ranks and ranks.count(None) == 1:
        ranks[ranks.index(None)] = 0
    all_pre = len(ranks) > 2 and set(ranks) == {0}  # one name for all phases, as in patient 120
    if None in ranks or all_pre:
        return sorted(series, key=lambda s: (_time_key(s, series), s.number or 0, s.temporal_index))
    by_rank: dict[int, DicomSeries] = {}
    for rank, entry in zip(ranks, series, strict=True):
        if rank in by_rank:
            raise InputError(
                f"{by_rank[rank].title} and {entry.title} are both named as phase {rank}; remove the one that is not it"
            )
        by_rank[rank] = entry
    missing = sorted(set(range(max(by_rank))) - set(by_rank))
    return [by_rank[rank] for rank in sorted(by_rank) if not missing or rank < missing[0]]


def phase_number(description: str) -> int | None:
    """0 for pre-contrast, 1 and more for the phases after it, None where the description does not say."""
    ordinal = _ORDINAL.search(description)
    if ordinal:
        return int(ordinal.group(1) or ordinal.group(2))
    return 0 if _PRE.search(description) else None


def seconds_after_pre(phases: Sequence[DicomSeries]) -> list[float] | None:
    """Seconds from the start of the pre-contrast phase to that of each other one, also across midnight.

    Returns:
        One number a post-contrast phase, or None where times are missing or the same for several phases.

    Raises:
        InputError: a phase was acquired before the one it should follow.
    """
    times = [entry.seconds for entry in phases]
    if None in times:
        return None
    after = [(time - times[0] + HALF_DAY) % (2 * HALF_DAY) - HALF_DAY for time in times]
    for before, now, entry in zip(after, after[1:], phases[1:], strict=False):
        if now < before:
            raise InputError(f"{entry.title} was acquired before the phase that it should follow; check the series")
    if any(now == before for before, now in zip(after, after[1:], strict=False)):
        return None
    return [round(value, 3) for value in after[1:]]


def _patient_of(folder: Path) -> str | None:
    files = [path for path in _visible_files(folder) if path.suffix.lower() in (*DICOM_SUFFIXES, "")]
    if not files:
        return None
    named = [part for part in folder.parts if _PATIENT.fullmatch(part)]
    if named:
        return named[-1]
    for path in sorted(files):
        try:
            header = read_header(path)
        except InputError:
            continue
        if header is not None:
            patient = str(header.get("PatientID") or "").strip()
            # Other ids may be a patient's true ones, which never go further than this.
            return patient if _PATIENT.fullmatch(patient) else None
    return None


def _visible_files(folder: Path) -> list[Path]:
    return [Path(e.path) for e in os.scandir(folder) if e.is_file() and not e.name.startswith(".")]


def _name(series: DicomSeries) -> str:
    return series.description or series.folder


def _time_key(series: DicomSeries, others: Sequence[DicomSeries]) -> float:
    """Seconds of the day, those after midnight behind those before it; 0 for all where one has none."""
    times = [entry.seconds for entry in others]
    if None in times:
        return 0.0
    wraps = max(times) - min(times) > HALF_DAY and series.seconds < HALF_DAY
    return series.seconds + (2 * HALF_DAY if wraps else 0.0)
