"""Cohorts laid out as MAMA-MIA: one NIfTI file a phase, expert masks beside them.

`images/<CASE>/<case>_0000.nii.gz` is pre-contrast, `_0001` and on are the phases after it; the mask is
`segmentations/expert/<case>.nii.gz` or `segmentations/<case>.nii.gz`. Upper and lower case are taken as the same.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.volumes import case_name, describe_grid, find_volumes, load_volume, same_grid, volume_suffix
from .lesion_masks import load_mask, mask_box, read_sidecar, sidecar_of

_PHASE_FILE = re.compile(r"(?P<case>.+)_(?P<phase>\d{4})")
_DUKE = re.compile(r"DUKE_(\d{3})", re.IGNORECASE)


@dataclass
class MamaMiaCase:
    """One case as found on disk: files by phase number, and its mask."""

    name: str
    phases: dict[int, Path] = field(default_factory=dict)
    mask: Path | None = None

    @property
    def patient(self) -> str:
        """MAMA-MIA's DUKE_<number> are patients of Duke-Breast-Cancer-MRI, and keep that name in every split."""
        match = _DUKE.fullmatch(self.name)
        return f"Breast_MRI_{match.group(1)}" if match else self.name

    @property
    def files(self) -> list[Path]:
        """All files of the case, its sidecar included."""
        files = [self.phases[number] for number in sorted(self.phases)]
        if self.mask:
            files += [path for path in (self.mask, sidecar_of(self.mask)) if path.is_file()]
        return files


def is_phase_file(path: Path) -> bool:
    """Whether a volume is named as a phase."""
    return _PHASE_FILE.fullmatch(path.name[: -len(volume_suffix(path))]) is not None


def find_cases(source: str | Path) -> list[MamaMiaCase]:
    """All cases under a folder, sorted by name.

    Raises:
        InputError: the folder does not exist, holds no phase, or one case in two places.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder")
    cases: dict[tuple[Path, str], MamaMiaCase] = {}
    masks: dict[str, Path] = {}
    for path in find_volumes(source):
        folders = [part.lower() for part in path.relative_to(source.parent).parts[:-1]]
        if any(part.startswith(".") for part in folders[1:]):
            continue  # a case whose writer was killed
        match = _PHASE_FILE.fullmatch(path.name[: -len(volume_suffix(path))])
        if "segmentations" in folders:
            name = case_name(path).lower()
            # The expert's mask before one that lies directly in `segmentations`; an algorithm's is not a truth.
            if folders[-1] == "expert" or (folders[-1] == "segmentations" and name not in masks):
                masks[name] = path
        elif match:
            name = path.parent.name if path.parent.name.lower() == match["case"].lower() else match["case"]
            case = cases.setdefault((path.parent, match["case"].lower()), MamaMiaCase(name))
            case.phases[int(match["phase"])] = path
    if not cases:
        raise InputError(f"source {source}: no case found; expected files such as images/DUKE_001/duke_001_0000.nii.gz")
    counts = Counter(name for _, name in cases)
    for name in (name for name, count in counts.items() if count > 1):
        raise InputError(f"source {source}: case {name} lies in {counts[name]} folders; leave one of them")
    for (_, name), case in cases.items():
        case.mask = masks.get(name)
    return sorted(cases.values(), key=lambda case: case.name)


def check_case(case: MamaMiaCase, num_phases: int) -> dict[str, Any]:
    """Read one case whole and return its datalist item; the files stay where they are.

    Args:
        case: from `find_cases`.
        num_phases: how many post-contrast phases it must have, and how many are used.

    Returns:
        `case`, `patient`, `image`, `phases`, `seconds`, and with a mask `label`, `box` and, if known, `lesions`.

    Raises:
        InputError: a phase or the mask is missing, unreadable or on another grid, or the sidecar is unusable.
    """
    missing = [number for number in range(num_phases + 1) if number not in case.phases]
    if missing:
        raise InputError(
            f"{case.name}: phase {', '.join(f'{number:04d}' for number in missing)} is missing, {num_phases} after "
            "contrast are needed; pass a lower --num_phases, or download what is missing"
        )
    paths = [case.phases[number] for number in range(num_phases + 1)]
    pre = load_volume(paths[0])
    for path in paths[1:]:
        phase = load_volume(path)
        if not same_grid(phase, pre):
            raise InputError(
                f"{case.name}: {path.name} ({describe_grid(phase)}) is not on the grid of {paths[0].name} "
                f"({describe_grid(pre)}); resample it first"
            )
    item: dict[str, Any] = {
        "case": case.name,
        "patient": case.patient,
        "image": str(paths[0].resolve()),
        "phases": [str(path.resolve()) for path in paths[1:]],
        "seconds": None,
    }
    if case.mask:
        if not same_grid(load_volume(case.mask), pre):
            raise InputError(f"{case.name}: the mask {case.mask.name} is not on the grid of the images")
        sidecar = read_sidecar(case.mask)
        item["seconds"] = _seconds(case, sidecar.get("seconds"), num_phases)
        item["box"] = mask_box(load_mask(case.mask, pre))
        item["label"] = str(case.mask.resolve())
        if "lesions" in sidecar:
            item["lesions"] = sidecar["lesions"]
    return item


def _seconds(case: MamaMiaCase, seconds: Any, num_phases: int) -> list[float] | None:
    if seconds is None:
        return None
    if (
        not isinstance(seconds, list)
        or len(seconds) < num_phases
        or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in seconds)
        or any(later <= earlier for earlier, later in zip([0.0, *seconds], seconds, strict=False))
    ):
        raise InputError(
            f"{case.name}: seconds in its sidecar must be one rising number above 0 for each phase after contrast"
        )
    return [float(value) for value in seconds[:num_phases]]
