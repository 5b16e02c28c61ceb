"""Check a cohort case by case and write what is usable as a datalist; what was checked once is not read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError
from ..outputs import CHECKED_CASES, DATALIST
from ..parallel import map_parallel
from .datalist import PATH_KEYS, SECTIONS, save_datalist


class Case(Protocol):
    """What is found on disk of one case, before its files are read."""

    name: str


@dataclass(frozen=True)
class CheckedCases:
    """Datalist items of the usable cases, the reasons of the others, and how many of all were read just now."""

    items: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    num_read: int


def check_cases(
    folder: Path, cases: Sequence[tuple[str, Case]], check: Callable[[Case], dict[str, Any]], workers: int
) -> CheckedCases:
    """Check every case that is not yet on record in a folder, and keep the results there.

    Args:
        folder: where the record lies; a killed run goes on from it.
        cases: with a key each that changes whenever the case's files or the options do.
        check: returns a case's datalist item, or raises InputError; picklable.
        workers: processes.
    """
    record = folder / CHECKED_CASES
    known = {key: result for key, result in _read_record(record).items() if _files_exist(result)}
    waiting = [keyed for keyed in cases if keyed[0] not in known]
    with record.open("a", encoding="utf-8") as stream:

        def note(result: dict[str, Any]) -> None:
            known[result["key"]] = result
            if not result.get("final", True):
                return
            stream.write(json.dumps(result) + "\n")
            stream.flush()

        map_parallel(partial(_checked, check=check), waiting, workers, "checking cases", note)
    results = [known[key] for key, _ in cases]
    return CheckedCases(
        items=[result["item"] for result in results if "item" in result],
        skipped=[{"case": result["case"], "reason": result["reason"]} for result in results if "item" not in result],
        num_read=len(waiting),
    )


def write_checked(
    folder: Path,
    source: str | Path,
    checked: CheckedCases,
    divide: Callable[[list[dict[str, Any]]], dict[str, list[dict[str, Any]]]],
    **facts: Any,
) -> Path:
    """Say what was skipped and why, divide the rest, write the datalist; returns its path.

    Args:
        folder: of the datalist.
        source: of the cohort, for messages.
        checked: from `check_cases`.
        divide: items to sections.
        facts: further top-level entries of the datalist.

    Raises:
        InputError: no usable case at all.
    """
    _print_skipped(checked.skipped)
    total = len(checked.items) + len(checked.skipped)
    if not checked.items:
        raise InputError(f"source {source}: none of the {total} cases can be used; the table above says why")
    sections = divide(checked.items)
    path = folder / DATALIST
    split_hash = save_datalist(path, sections, **facts, skipped=checked.skipped)
    counts = ", ".join(f"{len(sections[name])} {name}" for name in SECTIONS)
    print(f"{checked.num_read} cases read, {total - checked.num_read} known from before")
    empty = [name for name in SECTIONS if not sections[name]]
    if empty:
        print(f"no case in {' and '.join(empty)}: the cohort is small, or --fractions leave nothing there")
    print(f"{counts}; split sha256 {split_hash[:16]}; datalist: {path.resolve()}")
    return path


def file_stamp(path: Path) -> list[Any]:
    """Path, size and time of a file, for keys."""
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _checked(keyed_case: tuple[str, Case], check: Callable[[Case], dict[str, Any]]) -> dict[str, Any]:
    key, case = keyed_case
    try:
        return {"key": key, "case": case.name, "item": check(case)}
    except InputError as error:
        return {"key": key, "case": case.name, "reason": " ".join(str(error).removeprefix(f"{case.name}: ").split())}
    except Exception as error:  # one odd file must not end a cohort of hundreds; tried again by the next run
        reason = " ".join(f"unexpected {type(error).__name__}: {error}".split())[:200]
        return {"key": key, "case": case.name, "reason": reason, "final": False}


def _read_record(record: Path) -> dict[str, dict[str, Any]]:
    latest: dict[str, dict[str, Any]] = {}
    if record.is_file():
        for line in record.read_text(encoding="utf-8").splitlines():
            try:
                result = json.loads(line)
            except ValueError:  # the line that a killed run was writing
                continue
            # Other options write a case's files anew: only what was recorded last is on disk.
            latest[result["case"]] = result
    return {result["key"]: result for result in latest.values()}


def _files_exist(result: dict[str, Any]) -> bool:
    """Whether the files that a check wrote or named are still there."""
    values = [result.get("item", {}).get(key, []) for key in PATH_KEYS]
    return all(Path(file).is_file() for value in values for file in ([value] if isinstance(value, str) else value))


def _print_skipped(skipped: list[dict[str, str]]) -> None:
    if skipped:
        print(f"skipped {len(skipped)} cases:")
        width = max(len(entry["case"]) for entry in skipped)
        for entry in skipped:
            print(f"  {entry['case']:<{width}}  {entry['reason']}")
