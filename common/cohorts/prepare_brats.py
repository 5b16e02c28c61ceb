"""Check a BraTS-style cohort case by case and write its datalist; what was checked once is not read again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json
from ..outputs import CHECKED_CASES, DATALIST
from ..parallel import map_parallel
from .brats import BratsCase, check_case, find_cases
from .datalist import SECTIONS, save_datalist, split_by_patient


def prepare_brats(
    source: str,
    output: str,
    labels: str | dict = "auto",
    fractions: tuple[float, ...] = (0.8, 0.1, 0.1),
    seed: int = 0,
    resample: bool = False,
    workers: int = 2,
) -> Path:
    """Find, check and split the cases under `source`; see `scripts/prepare_data.py brats` for the arguments.

    Returns:
        Path of the datalist.

    Raises:
        InputError: no usable case at all.
    """
    cases = find_cases(source)
    folder = make_output_dir(output)
    record = folder / CHECKED_CASES
    known = _read_record(record)
    keys = {id(case): _case_key(case, labels, resample) for case in cases}
    waiting = [case for case in cases if keys[id(case)] not in known]
    with record.open("a", encoding="utf-8") as stream:

        def note(result: dict[str, Any]) -> None:
            known[result["key"]] = result
            stream.write(json.dumps(result) + "\n")
            stream.flush()

        check = partial(_check, labels=labels, resample_to=folder / "resampled" if resample else None)
        map_parallel(check, [(keys[id(case)], case) for case in waiting], workers, "checking cases", note)
    results = [known[keys[id(case)]] for case in cases]
    items = [result["item"] for result in results if "item" in result]
    skipped = [{"case": result["case"], "reason": result["reason"]} for result in results if "item" not in result]
    _print_skipped(skipped)
    if not items:
        raise InputError(f"source {source}: none of the {len(cases)} cases can be used; the table above says why")
    sections = split_by_patient(items, fractions, seed)
    path = folder / DATALIST
    split_hash = save_datalist(path, sections, cohort="brats", seed=seed, fractions=list(fractions), skipped=skipped)
    counts = ", ".join(f"{len(sections[name])} {name}" for name in SECTIONS)
    print(f"{len(waiting)} cases read, {len(cases) - len(waiting)} known from before")
    print(f"{counts}; split sha256 {split_hash[:16]}; datalist: {path.resolve()}")
    return path


def _check(keyed_case: tuple[str, BratsCase], labels: str | dict, resample_to: Path | None) -> dict[str, Any]:
    key, case = keyed_case
    try:
        return {"key": key, "case": case.name, "item": check_case(case, labels, resample_to)}
    except InputError as error:
        return {"key": key, "case": case.name, "reason": " ".join(str(error).removeprefix(f"{case.name}: ").split())}


def _case_key(case: BratsCase, labels: str | dict, resample: bool) -> str:
    files = {
        part: [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for part, path in case.parts.items()
    }
    return sha256_of_json(
        [case.name, files, labels if isinstance(labels, str) else sorted(map(str, labels.items())), resample]
    )


def _read_record(record: Path) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    if record.is_file():
        for line in record.read_text(encoding="utf-8").splitlines():
            try:
                result = json.loads(line)
            except ValueError:  # the line that a killed run was writing
                continue
            known[result["key"]] = result
    return known


def _print_skipped(skipped: list[dict[str, str]]) -> None:
    if skipped:
        print(f"skipped {len(skipped)} cases:")
        width = max(len(entry["case"]) for entry in skipped)
        for entry in skipped:
            print(f"  {entry['case']:<{width}}  {entry['reason']}")
