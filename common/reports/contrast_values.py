"""The single values behind the tables of an evaluation, as CSV: one row a case and phase, one row a lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.tables import write_csv
from ..metrics.kinetics import order_kept
from .contrast_tables import lesion_kinetics

Records = Sequence[Mapping[str, Any]]


def write_case_values(path: str | Path, records: Records, phases: Sequence[int]) -> None:
    """Every image metric of every case: region, phase, synthetic or identity.

    Args:
        path: the CSV file.
        records: see `ContrastEvaluation.evaluate_case`.
        phases: numbers of the phases.
    """
    rows = []
    for record in records:
        for region in ("images", "subtraction", "boxes"):
            for kind, metrics in (record[region] or {}).items():
                for index, phase in enumerate(phases):
                    values = {name: values[index] for name, values in metrics.items()}
                    rows.append({"case": record["case"], "table": region, "phase": phase, "kind": kind, **values})
    write_csv(path, rows)


def write_lesion_values(path: str | Path, records: Records, phases: Sequence[int]) -> None:
    """Kinetics of every lesion, real and synthetic, and whether the order of its phases is kept.

    Args:
        path, records, phases: as in `write_case_values`.
    """
    rows = []
    for record in records:
        for lesion in record["lesions"]:
            pair = lesion_kinetics({**lesion, "seconds": record["seconds"]}, phases)
            if pair is None:
                continue
            order = order_kept(*pair)
            for kind, found in zip(("real", "synthetic"), pair, strict=True):
                row: dict[str, Any] = {"case": record["case"], "lesion": lesion["instance"], "images": kind}
                row |= {"visible": lesion["visible"], "missed": lesion["missed"], "pre": found.pre}
                row |= {f"phase {phase}": value for phase, value in zip(phases, found.phases, strict=True)}
                row |= {"initial": found.initial, "delayed": found.delayed, "ser": found.ser}
                row |= {"time to peak": found.time_to_peak, "time unit": found.time_unit, "curve": found.curve}
                rows.append(row | {"order kept": order.kept, "order kept strictly": order.strict})
    write_csv(path, rows)
