"""Check a BraTS-style cohort case by case and write its datalist; what was checked once is not read again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..io.files import make_output_dir, sha256_of_json
from .brats import BratsCase, check_case, find_cases
from .checked_cases import check_cases, file_stamp, write_checked
from .datalist import split_by_patient


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
    check = partial(check_case, labels=labels, resample_to=folder / "resampled" if resample else None)
    checked = check_cases(folder, [(_case_key(case, labels, resample), case) for case in cases], check, workers)
    divide = partial(split_by_patient, fractions=fractions, seed=seed)
    return write_checked(folder, source, checked, divide, cohort="brats", seed=seed, fractions=list(fractions))


def _case_key(case: BratsCase, labels: str | dict, resample: bool) -> str:
    files = {part: file_stamp(path) for part, path in case.parts.items()}
    return sha256_of_json(
        [case.name, files, labels if isinstance(labels, str) else sorted(map(str, labels.items())), resample]
    )
