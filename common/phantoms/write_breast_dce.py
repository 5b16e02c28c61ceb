"""Write breast DCE phantoms as cohorts are downloaded: DICOM as Duke-Breast-Cancer-MRI, or NIfTI as MAMA-MIA.

As in the real collection, patients differ in how their images are stored: which way rows, columns and file numbers run.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl

from ..cohorts.duke_boxes import COLUMNS, SHEET
from ..cohorts.lesion_masks import mask_box
from ..errors import InputError
from ..io.dicom_writer import write_dicom_series
from ..io.files import write_atomically, write_json
from ..io.volumes import save_nifti
from .breast_dce import BreastDcePhantom, make_breast_dce

FORMATS = ("duke", "nifti")
NAMES = {"duke": "Breast_MRI_{seed:03d}", "nifti": "PhantomDCE_{seed:05d}"}
PHASES = ("ax dyn pre", "ax dyn 1st pass", "ax dyn 2nd pass", "ax dyn 3rd pass")
STUDY = "01-01-1990-NA-MRI BREAST BILATERAL W WO"
BOX_TABLE = "Annotation_Boxes"
DESCRIPTION = "SYNTHETIC phantom, no patient"
NUM_STORAGES = 8


def is_written(folder: Path, seed: int, layout: str) -> bool:
    """Whether a case is complete; its folder of images is renamed into place last."""
    return all(path.exists() for path in _places(folder, seed, layout))


def write_case(
    folder: Path,
    seed: int,
    layout: str = "duke",
    shape: Sequence[int] = (128, 128, 32),
    spacing_mm: Sequence[float] = (2.65, 2.65, 4.0),
    findings: str = "kinetics",
    num_phases: int = 3,
) -> None:
    """Draw the phantom of patient `seed` and write it; its folder of images appears whole.

    Args:
        folder: of the cohort.
        seed: patient number.
        layout: `duke` or `nifti`.
        shape: voxels (X, Y, Z).
        spacing_mm: voxel size.
        findings: `kinetics`, or `birads`: classes by lesion, and examinations without any, see `make_breast_dce`.
        num_phases: how many of the three phases after contrast are written.

    Raises:
        InputError: the grid is so coarse that no lesion is on it.
    """
    phantom = make_breast_dce(seed, shape, spacing_mm, findings)
    phantom = replace(phantom, image=phantom.image[: num_phases + 1], seconds=phantom.seconds[:num_phases])
    if findings == "kinetics" and not phantom.label.any():
        raise InputError(f"phantom {seed} has no voxel in a lesion at spacing_mm={tuple(spacing_mm)}; use a finer grid")
    home, mask, sidecar = _places(folder, seed, layout)
    mask.parent.mkdir(parents=True, exist_ok=True)
    partial = home.with_name(f".{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if layout == "duke":
        _write_dicom(partial, phantom, seed)
        save_nifti(mask, phantom.label, _affine(phantom), DESCRIPTION)
        annotation = {"annotation": _annotation(phantom, seed)} if phantom.label.any() else {}
        write_json(sidecar, {"lesions": phantom.lesions, **annotation})
    else:
        stored, affine = _stored(phantom.image, _affine(phantom), (True, False, False))  # LAS, as MAMA-MIA
        for number, phase in enumerate(stored):
            save_nifti(
                partial / f"{home.name.lower()}_{number:04d}.nii.gz", phase.astype(np.int16), affine, DESCRIPTION
            )
        save_nifti(mask, phantom.label[::-1], affine, DESCRIPTION)
        write_json(sidecar, {"seconds": list(phantom.seconds), "lesions": phantom.lesions})
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)


def write_boxes(folder: Path) -> None:
    """The table of boxes of all patients in a `duke` cohort, as xlsx and CSV, in the collection's own columns."""
    rows = []
    for sidecar in sorted((folder / "masks").glob("*.json")):
        annotation = json.loads(sidecar.read_text(encoding="utf-8")).get("annotation")
        if annotation is None:
            continue  # an examination without lesions
        rows.append([sidecar.stem, *(annotation[name] for name in COLUMNS[1:])])

    def write_csv(path: str) -> None:
        with open(path, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])

    def write_xlsx(path: str) -> None:
        book = openpyxl.Workbook()
        book.active.title = SHEET
        for row in (COLUMNS, *rows):
            book.active.append(row)
        book.save(path)

    write_atomically(folder / f"{BOX_TABLE}.csv", write_csv)
    write_atomically(folder / f"{BOX_TABLE}.xlsx", write_xlsx)


def primary_lesion(phantom: BreastDcePhantom) -> int:
    """Instance number of the largest lesion, the one that the collection's box stands around."""
    return int(np.argmax(np.bincount(phantom.label[phantom.label > 0])))


def _places(folder: Path, seed: int, layout: str) -> tuple[Path, Path, Path]:
    """Folder of images, mask, sidecar."""
    name = NAMES[layout].format(seed=seed)
    if layout == "duke":
        return folder / name, folder / "masks" / f"{name}.nii.gz", folder / "masks" / f"{name}.json"
    expert = folder / "segmentations" / "expert"
    return folder / "images" / name, expert / f"{name.lower()}.nii.gz", expert / f"{name.lower()}.json"


def _affine(phantom: BreastDcePhantom) -> np.ndarray:
    """RAS, the centre of the field of view at the origin."""
    affine = np.diag([*phantom.spacing, 1.0])
    affine[:3, 3] = -(np.array(phantom.label.shape) - 1) / 2 * phantom.spacing
    return affine


def _storage(seed: int) -> tuple[bool, bool, bool]:
    """Which of the RAS axes patient `seed` has reversed; the first as Siemens stores a prone patient, feet last."""
    code = seed % NUM_STORAGES
    return code & 1 == 0, code & 2 == 0, code & 4 == 0


def _stored(volumes: np.ndarray, affine: np.ndarray, reverse: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """(..., X, Y, Z) volumes with axes reversed, and the affine that goes with them."""
    size = np.array(volumes.shape[-3:])
    flip = np.diag([*np.where(reverse, -1.0, 1.0), 1.0])
    flip[:3, 3] = np.where(reverse, size - 1, 0)
    return volumes[..., *(slice(None, None, -1 if r else 1) for r in reverse)], affine @ flip


def _annotation(phantom: BreastDcePhantom, seed: int) -> dict[str, int]:
    """Box of the primary lesion: rows, columns and files of the stored images, from 1, inclusive."""
    primary = phantom.label == primary_lesion(phantom)
    stored, _ = _stored(primary, _affine(phantom), _storage(seed))
    (x0, y0, z0), (x1, y1, z1) = mask_box(stored)
    return dict(zip(COLUMNS[1:], (y0 + 1, y1, x0 + 1, x1, z0 + 1, z1), strict=True))


def _write_dicom(home: Path, phantom: BreastDcePhantom, seed: int) -> None:
    name = NAMES["duke"].format(seed=seed)
    stored, affine = _stored(phantom.image, _affine(phantom), _storage(seed))
    start = (32400 + 613 * seed) % 86400  # some examinations run past midnight
    tags: dict[str, Any] = {
        "StudyDate": "19900101",
        "StudyDescription": "MRI BREAST BILATERAL W/WO",
        "BodyPartExamined": "BREAST",
        "PatientPosition": "FFP",
        "PatientSex": "F",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": DESCRIPTION,
    }
    study = home / f"{STUDY}-{seed % 100000:05d}"
    for number, (phase, description) in enumerate(zip(stored, PHASES[: len(stored)], strict=True)):
        series_number = 2 + number
        write_dicom_series(
            study / f"{series_number}.000000-{description}-{(seed * 7 + series_number) % 100000:05d}",
            phase,
            affine,
            description=description,
            series_number=series_number,
            uid_root_text=f"breast DCE phantom {seed} {stored.shape}",
            patient_id=name,
            seconds=start + (0.0, *phantom.seconds)[number],
            software="OncoSynth breast DCE phantom",
            extra_tags=tags,
        )
