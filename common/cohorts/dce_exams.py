"""Examinations of dynamic breast MRI, in whichever form a cohort has them: pre-contrast volume and first phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ..errors import InputError
from ..io.dicom_series import load_series
from ..io.volumes import describe_grid, find_volumes, load_volume, same_grid
from ..transforms.registration import register_phase
from .datalist import load_datalist
from .duke import DukeCase, find_patients, find_phases
from .duke_boxes import AnnotationBox, box_on_grid
from .mama_mia import MamaMiaCase, find_cases, is_phase_file


@dataclass(frozen=True)
class ListedCase:
    """A case of a datalist that `prepare_data.py duke` or `mama_mia` wrote."""

    name: str
    patient: str
    paths: tuple[Path, Path]
    mask: Path | None
    lesions: tuple[Mapping[str, Any], ...] | None
    box: Sequence[Sequence[int]] | None

    @property
    def files(self) -> list[Path]:
        """All files of the case."""
        return [*self.paths, *([self.mask] if self.mask else [])]


Exam = DukeCase | MamaMiaCase | ListedCase


def find_exams(source: str | Path) -> list[Exam]:
    """Cases of a `datalist.json`, of Duke-Breast-Cancer-MRI in DICOM, or of a folder laid out as MAMA-MIA.

    Raises:
        InputError: nothing of the kind.
    """
    source = Path(source)
    if is_datalist(source):
        return [_listed(item, source) for item in load_datalist(source)]
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder or datalist")
    # The masks of a cohort in DICOM are volumes, too.
    return find_cases(source) if any(is_phase_file(path) for path in find_volumes(source)) else find_patients(source)


def is_datalist(source: str | Path) -> bool:
    """Whether a source is a datalist, by its name."""
    return Path(source).suffix == ".json"


def load_exam(
    case: Exam, registration: str, boxes: Mapping[str, AnnotationBox], listed_box: bool
) -> tuple[MetaTensor, MetaTensor, MetaTensor | None]:
    """Pre-contrast volume, first phase after contrast and filled annotation box, (1, X, Y, Z) in RAS orientation.

    Args:
        case: from `find_exams`.
        registration: `none`, `rigid` or `demons`, of the phase onto the pre-contrast volume.
        boxes: annotation boxes of cases in DICOM, by patient.
        listed_box: whether to take the box of a case that a datalist names.

    Raises:
        InputError: a phase is missing, unreadable or, without registration, on another grid.
    """
    box = None
    same_frame = True
    if isinstance(case, DukeCase):
        series = find_phases(case, 1)
        pre, post = (load_series(entry) for entry in series[:2])
        names = [entry.title for entry in series[:2]]
        same_frame = series[0].frame_of_reference == series[1].frame_of_reference
        if case.name in boxes:
            box = box_on_grid(boxes[case.name], series[0], pre.affine.numpy())
    else:
        paths = case.paths if isinstance(case, ListedCase) else _phase_files(case)
        pre, post = (load_volume(path) for path in paths)
        names = [path.name for path in paths]
        box = case.box if isinstance(case, ListedCase) and listed_box else None
    if registration != "none":
        post = register_phase(post, pre, registration)
    elif not same_frame or not same_grid(pre, post):
        raise InputError(
            f"{case.name}: {names[1]} ({describe_grid(post)}) is not on the grid of {names[0]} ({describe_grid(pre)}); "
            "pass --registration rigid"
        )
    filled = None
    if box is not None:
        filled = torch.zeros_like(pre)
        filled[(0, *(slice(int(a), int(b)) for a, b in zip(*box, strict=True)))] = 1
    to_ras = Orientation(axcodes="RAS", labels=None)
    return to_ras(pre), to_ras(post), None if filled is None else to_ras(filled)


def _listed(item: Mapping[str, Any], source: Path) -> ListedCase:
    if not isinstance(item.get("image"), str) or not item.get("phases"):
        raise InputError(
            f"{source}: case {item.get('case', '?')} has no pre-contrast image and phases; give a datalist of "
            "scripts/prepare_data.py duke or mama_mia"
        )
    mask = Path(item["label"]) if "label" in item else None
    lesions = tuple(item["lesions"]) if "lesions" in item else None
    paths = (Path(item["image"]), Path(item["phases"][0]))
    return ListedCase(item["case"], item.get("patient", item["case"]), paths, mask, lesions, item.get("box"))


def _phase_files(case: MamaMiaCase) -> tuple[Path, Path]:
    missing = [number for number in (0, 1) if number not in case.phases]
    if missing:
        raise InputError(f"{case.name}: phase {missing[0]:04d} is missing; download it")
    return case.phases[0], case.phases[1]
