"""Sections of a mammogram cohort's patients: by fractions, or as the cohort itself divides them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from numbers import Number

from ..errors import InputError
from .datalist import SECTIONS, split_by_patient
from .mammogram_records import MammogramRecord

LEAK_FREE, OWN = "leak_free", "own"
SPLITS = (LEAK_FREE, OWN)


def sections_of_records(
    records: Sequence[MammogramRecord], split: str, fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """Section of each patient.

    `own` takes the cohort's column; a patient with images in several sections goes to the one that is used last, so
    that none leaks. Where the column knows no validation, it is taken from the training patients, in the proportion of
    the fractions.

    Args:
        records: all that were found, usable or not, so that what becomes usable later moves nobody.
        split: `leak_free` or `own`.
        fractions: training, validation, test.
        seed: of the shuffle.

    Raises:
        InputError: unusable fractions, or a cohort without a division of its own.
    """
    whole = isinstance(fractions, (list, tuple)) and all(isinstance(share, Number) for share in fractions)
    if not whole or len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"fractions={fractions}: give three shares that sum to 1, such as (0.8, 0.1, 0.1)")
    if split == LEAK_FREE:
        return _by_fractions([record.patient for record in records], fractions, seed)
    unknown = next((record for record in records if record.section is None), None)
    if unknown is not None:
        raise InputError(f"split=own: the cohort's tables give no section for {unknown.name}; use --split {LEAK_FREE}")
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        found[record.patient].add(record.section)
    sections = {patient: max(names, key=SECTIONS.index) for patient, names in found.items()}
    if "validation" not in sections.values():
        training = [patient for patient, section in sections.items() if section == "training"]
        both = fractions[0] + fractions[1]
        share = fractions[1] / both if both > 0 else 0.0
        sections |= _by_fractions(training, (1 - share, share, 0.0), seed)
    return sections


def _by_fractions(patients: Sequence[str], fractions: Sequence[float], seed: int) -> dict[str, str]:
    unique = sorted(set(patients))
    divided = split_by_patient([{"case": p, "patient": p} for p in unique], fractions, seed)
    return {item["patient"]: section for section in SECTIONS for item in divided[section]}
