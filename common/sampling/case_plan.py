"""Which pre-contrast volumes to translate: inputs as users give them, and what is done already."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohorts.datalist import SECTIONS, load_datalist
from ..errors import InputError
from ..io.files import sha256_of_source
from ..io.volumes import case_name, find_volumes, volume_suffix
from ..knobs import as_path
from ..outputs import DATALIST
from .output_plan import OutputPlan, as_case
from .plan import tell_apart

logger = logging.getLogger(__name__)
_NUMBER = re.compile(r"_(\d{4})\.[^_]+$")


def find_precontrast(path: str | Path, sections: Sequence[str] = SECTIONS) -> list[dict[str, Any]]:
    """Pre-contrast volumes, as a user names them; see `find_phase`."""
    return find_phase(path, 0, sections)


def find_phase(path: str | Path, phase: int = 0, sections: Sequence[str] = SECTIONS) -> list[dict[str, Any]]:
    """Volumes of one phase, as a user names them.

    Args:
        path: a volume file (NIfTI, NRRD, MetaImage); a folder with one DICOM series; a `datalist.json`, or a folder
            that holds one; a folder of volume files, where masks are left out, and other phases if any file is numbered
            `_0000`.
        phase: 0 before contrast, from 1 after it; of a datalist's cases and of numbered files.
        sections: of a datalist.

    Returns:
        Items with `case` and `image` (a file, or a folder of DICOM files).

    Raises:
        InputError: nothing there, or nothing that can be a volume.
    """
    path = as_path(path)
    if path.suffix == ".json" or (path / DATALIST).is_file():
        path = path if path.suffix == ".json" else path / DATALIST
        items = load_datalist(path, sections)
        for item in items:
            if "case" not in item or not isinstance(item.get("image"), str):
                raise InputError(f"{path}: a case has no pre-contrast `image`; make it with scripts/prepare_data.py")
            if len(item.get("phases", [])) < phase:
                raise InputError(f"{path}: case {item['case']} has no phase {phase}; choose another --phase")
        return [{"case": item["case"], "image": [item["image"], *item.get("phases", [])][phase]} for item in items]
    if path.is_dir():
        volumes = _of_phase(find_volumes(path), phase)
        items = [{"case": case_name(p), "image": str(p)} for p in volumes]
        items = items or [{"case": path.resolve().name, "image": str(path)}]
    elif path.exists():
        items = [{"case": case_name(path), "image": str(path)}]
    else:
        raise InputError(
            f"input {path}: no such file or folder; give a volume, a folder with one DICOM series or a datalist.json"
        )
    tell_apart(items, path)
    return items


def _of_phase(volumes: Sequence[Path], phase: int) -> list[Path]:
    numbers = {found.group(1) for path in volumes if (found := _NUMBER.search(path.name))}
    # `_0000` alone is how nnU-Net names a first channel.
    numbered = "0000" in numbers and len(numbers) > 1
    kept = [
        path
        for path in volumes
        if case_name(path) == path.name[: -len(volume_suffix(path))]
        and "segmentations" not in path.parts
        and not (numbered and _NUMBER.search(path.name) and _NUMBER.search(path.name).group(1) != f"{phase:04d}")
    ]
    if len(kept) < len(volumes):
        logger.info(f"{len(volumes) - len(kept)} of {len(volumes)} volumes are masks or other phases and are left out")
    return kept


class CasePlan(OutputPlan):
    """The items of one translation run.

    Args:
        cases: from `find_precontrast`, or plain paths as other tools set them.
        output_dir: where the cases' folders are.
        facts: provenance that all cases share (bundle, weights, knobs).
        overwrite: replace cases of another provenance instead of refusing.

    Attributes:
        items: what is to be done: `image` and `case`.
        provenance: record of each case, by its name.
        sources: file or folder of each case's image, by its name.
        done: names of cases that exist with the same provenance.

    Raises:
        InputError: a case of another provenance exists.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any] | str],
        output_dir: str,
        facts: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        super().__init__(output_dir, overwrite)
        self.sources: dict[str, Path] = {}
        for case in map(as_case, cases):
            self.sources[case["case"]] = Path(case["image"])
            record = {
                **facts,
                "case": case["case"],
                "input": Path(case["image"]).name,
                "input_sha256": sha256_of_source(case["image"]),
            }
            self.add(case["case"], record, case)
        self.log_done("cases")
