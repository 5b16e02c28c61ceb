"""The Info file of mini-MIAS: film number, tissue, class, severity, and a circle whose y counts from the bottom.

Films come in pairs of one patient, even numbers left and odd ones right, all of them MLO views of 0.2 mm pixels. Tissue
(fatty, fatty-glandular, dense-glandular) has three classes, which are not the four of BI-RADS: no density is said.
CIRC, SPIC and MISC are masses, CALC calcifications, ARCH and ASYM are of other types, NORM is healthy.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from ..errors import InputError
from ..io.mammogram_pictures import PICTURE_SUFFIXES
from .mammogram_records import CALCIFICATION, MASS, OTHER, LesionMark, MammogramRecord

KINDS_OF_CLASSES = {"CIRC": MASS, "SPIC": MASS, "MISC": MASS, "CALC": CALCIFICATION, "ARCH": OTHER, "ASYM": OTHER}
NORMAL = "NORM"
SEVERITIES = {"B": "benign", "M": "malignant"}
SPACING_MM = (0.2, 0.2)
_LINE = re.compile(r"(mdb(\d{3}))\s+([FGD])\s+([A-Z]{4})\b\s*([BM]?)\b\s*(.*)")


def read_mini_mias(info: Path, folder: Path) -> tuple[list[MammogramRecord], dict[str, int]]:
    """Records of the films in a folder that an Info file describes, and how many were left out, by reason.

    Text around the lines of films, as in the database's README, is passed over.

    Args:
        info: the file.
        folder: searched through for `mdb001.pgm` and on.

    Raises:
        InputError: no such file, or one without lines of films, or with a class that is unknown.
    """
    if not info.is_file():
        raise InputError(f"mias {info}: no such file; give the database's Info file")
    marks: dict[str, list[LesionMark]] = defaultdict(list)
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line.strip())
        if match:
            film, _, _, kind, severity, place = match.groups()
            marks[film] += _marks(info, film, kind, severity, place)
    if not marks:
        raise InputError(f"mias {info}: has no line such as 'mdb001 G CIRC B 535 425 197'; give the Info file")
    files = {path.stem: path for path in sorted(folder.rglob("mdb*")) if path.suffix.lower() in PICTURE_SUFFIXES}
    records = []
    for film in sorted(marks):
        number = int(film[3:])
        if film in files:
            records.append(
                MammogramRecord(
                    name=film,
                    path=files[film],
                    patient=f"mias{(number + 1) // 2:03d}",
                    laterality="R" if number % 2 else "L",
                    view="MLO",
                    lesions=tuple(marks[film]),
                    spacing=SPACING_MM,
                )
            )
    left_out = {
        "films that the Info file names and that are not there": len(marks) - len(records),
        "films that the Info file does not name": len(set(files) - set(marks)),
    }
    return records, left_out


def _marks(info: Path, film: str, kind: str, severity: str, place: str) -> list[LesionMark]:
    if kind == NORMAL:
        return []
    if kind not in KINDS_OF_CLASSES:
        raise InputError(f"mias {info}: {film} has class {kind}; there are {', '.join((*KINDS_OF_CLASSES, NORMAL))}")
    numbers = re.fullmatch(r"(\d+)\s+(\d+)\s+(\d+)", place.strip())
    # Widespread calcifications have no circle, but a note.
    circle = tuple(float(number) for number in numbers.groups()) if numbers else None
    return [LesionMark(KINDS_OF_CLASSES[kind], None, SEVERITIES.get(severity), circle=circle, from_bottom=True)]
