"""OMI-DB (OPTIMAM): DICOM files by client and study, marks from its JSON files or from one CSV table.

As the database is shared: images/<client>/<study>/<image>.dcm, and data/<client>/imagedb_<client>.json, in which study,
series and image UIDs lead to the marks of each image (`X1`, `Y1`, `X2`, `Y2`, `Mass`, `SuspiciousCalcifications`, …).
The table in its place has the columns `image` (UID or file name), `client`, `laterality`, `view`, `density`, `x1`,
`y1`, `x2`, `y2`, `type`, `birads`, `pathology`, `split`, a row a mark.

The filters are MAM-E's for OMI-H as far as headers carry them: images for presentation, without an implant, in one of
four views. All marks of an image are kept. An image without a mark is healthy, as it was there.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom

from ..errors import InputError
from ..io.dicom_headers import DICOM_SUFFIXES
from ..io.mammogram_tags import VIEWS, view_of
from ..parallel import map_parallel
from .mammogram_records import CALCIFICATION, MASS, OTHER, UNSPECIFIED, LesionMark, MammogramRecord, is_nothing
from .mammogram_tables import IMAGE_COLUMNS, LESION_COLUMNS, image_facts, lesion_of_row, read_rows
from .prepare_mammograms import DEFAULT_FINDINGS, check_options, prepare_mammograms

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("image", "client", *IMAGE_COLUMNS, *CORNERS, *LESION_COLUMNS)
_UID = re.compile(r"\d+(\.\d+)+")
_TAGS = ["PresentationIntentType", "BreastImplantPresent", "ViewPosition", "ViewCodeSequence", "SOPInstanceUID"]
_OTHER_FEATURES = ("ArchitecturalDistortion", "FocalAsymmetry")
_CALCIFICATION_FEATURES = ("SuspiciousCalcifications", "WithCalcification")
UNREADABLE, RAW, IMPLANT, OTHER_VIEW = (
    "files that are not readable as DICOM",
    "not for presentation",
    "with an implant",
    f"views other than {', '.join(VIEWS)}",
)


def prepare_optimam(
    source: str | Path,
    output: str | Path,
    table: str | None = None,
    size: int = 512,
    fit: str = "letterbox",
    findings: Any = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    split: str = "leak_free",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> Path:
    """Prepare OMI-DB; see `scripts/prepare_data.py optimam` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument, a table or a JSON file is unusable, or no mammogram is.
    """
    options = check_options(size, fit, box_shape, findings, any_modality=False)
    records, left_out = find_optimam(source, None if table is None else Path(table), workers)
    division = (split, fractions, seed, workers)
    return prepare_mammograms("optimam", source, output, records, options, *division, left_out=left_out)


def find_optimam(
    source: str | Path, table: Path | None = None, workers: int = 2
) -> tuple[list[MammogramRecord], dict[str, int]]:
    """Records of the images that pass the filters, and how many each filter left out.

    Args:
        source: the database's folder, with `images` and `data`.
        table: CSV with marks, in place of JSON files.
        workers: processes that read headers.

    Raises:
        InputError: no folder, no DICOM file, neither JSON nor table, or a table or JSON file that cannot be read.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder; give the one that holds images and data")
    paths = sorted(_files(source, DICOM_SUFFIXES))
    if not paths:
        raise InputError(f"source {source}: holds no DICOM file; check the path")
    known = _from_json(source) if table is None else _from_table(table, paths)
    reasons = map_parallel(_why_left_out, paths, workers, "reading headers")
    left_out = Counter(reason for reason in reasons if reason)
    records = []
    for path, reason in zip(paths, reasons, strict=True):
        if reason is None:
            name = path.stem
            fallback = {"patient": _client_of(path, source), "lesions": None}
            records.append(MammogramRecord(name=name, path=path, **{**fallback, **known.get(name, {})}))
    return records, {reason: left_out[reason] for reason in (UNREADABLE, RAW, IMPLANT, OTHER_VIEW)}


def _why_left_out(path: Path) -> str | None:
    """The first filter that an image does not pass, or None."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        intent = str(header.get("PresentationIntentType") or "").strip().upper()
        implant = str(header.get("BreastImplantPresent") or "").strip().upper()
        view = view_of(header)
        if "SOPInstanceUID" not in header:  # it ends before
            return UNREADABLE
    except Exception:  # pydicom passes on whatever a damaged header makes Python raise
        return UNREADABLE
    if intent != "FOR PRESENTATION":
        return RAW
    if implant == "YES":
        return IMPLANT
    return None if view in VIEWS else OTHER_VIEW


def _from_json(source: Path) -> dict[str, dict[str, Any]]:
    """Patient and lesions of each image that the clients' JSON files name."""
    files = [path for path in _files(source, (".json",)) if path.name.lower().startswith("imagedb_")]
    if not files:
        raise InputError(f"source {source}: holds no imagedb_<client>.json; give the marks as a CSV with --table")
    known = {}
    for path in sorted(files):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not valid JSON ({error}); copy it again from the source") from error
        marks: dict[str, list[LesionMark]] = defaultdict(list)
        for image, mark in _walk(content, ()):
            marks[image] += [] if mark is None else [_mark(mark, f"{path}: image {image}")]
        client = path.stem.split("_", 1)[1]
        known |= {image: {"patient": client, "lesions": tuple(found)} for image, found in marks.items()}
    return known


def _walk(node: Any, uids: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Every image of a client's JSON, once without a mark, then with each of its marks.

    UIDs are keys that lead to each other, study, series, image: the third is the image's, whatever lies between.
    """
    if not isinstance(node, dict):
        return
    if len(uids) == 3 and all(f"{axis}{end}" in node for axis in "XY" for end in "12"):
        yield uids[-1], node
        return
    for key, value in node.items():
        if len(uids) < 3 and _UID.fullmatch(str(key).removesuffix(".dcm")):
            chain = (*uids, str(key).removesuffix(".dcm"))
            if len(chain) == 3:
                yield chain[-1], None
            yield from _walk(value, chain)
        elif isinstance(value, dict):
            yield from _walk(value, uids)


def _mark(mark: dict[str, Any], where: str) -> LesionMark:
    try:
        box = tuple(float(mark[name.upper()]) for name in CORNERS)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: has a mark whose corners are no numbers; correct the file") from error

    def has(*names: str) -> bool:
        return any(not is_nothing(mark.get(name)) and str(mark[name]).strip() != "0" for name in names)

    if has("Mass", "MassClassification"):
        kind = MASS
    elif has(*_CALCIFICATION_FEATURES):
        kind = CALCIFICATION
    else:
        kind = OTHER if has(*_OTHER_FEATURES) else UNSPECIFIED
    return LesionMark(kind, box=box)


def _from_table(table: Path, paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    rows_of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(table, COLUMNS, ("image",)):
        rows_of[Path(row["image"]).name.removesuffix(".dcm")].append(row)
    known: dict[str, dict[str, Any]] = {path.stem: {"lesions": ()} for path in paths}
    for image, rows in rows_of.items():
        where = f"{table}: {image}"
        facts = image_facts([{**row, "patient": row.get("client") or row.get("patient", "")} for row in rows], where)
        marks = [lesion_of_row(row, CORNERS, where, table.parent) for row in rows]
        facts = {name: value for name, value in facts.items() if value is not None}
        known[image] = {**facts, "lesions": tuple(mark for mark in marks if mark is not None)}
    return known


def _client_of(path: Path, source: Path) -> str:
    """The client's folder: the first below `images`, else the first below the source."""
    parts = path.relative_to(source).parts[:-1]
    parts = parts[parts.index("images") + 1 :] if "images" in parts else parts
    return parts[0] if parts else path.stem


def _files(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    for home, _, names in os.walk(folder, followlinks=True):
        yield from (Path(home) / n for n in names if n.lower().endswith(tuple(suffixes)) and not n.startswith("."))
