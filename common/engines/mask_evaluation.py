"""Overlap, distance and volume of the masks that a run has written, against those of a datalist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..cohorts.datalist import load_datalist
from ..errors import InputError
from ..evaluation.adherence import mask_adherence
from ..io.volumes import load_volume, same_grid
from ..metrics.segmentation import mask_scores
from ..metrics.uncertainty import mean_with_interval
from ..outputs import tumour_mask_file
from ..reports.report import Report
from ..sampling.case_plan import CasePlan


class MaskEvaluation:
    """Last item of an evaluating `run`; callable.

    Args:
        datalist: with a `label` for each case.
        sections: which sections were segmented.
        plan: of the run.
        phase: of the images, for the report.
        seed: of the bootstrap.

    Raises:
        InputError: a case has no label, or one on another grid.
    """

    def __init__(self, datalist: str, sections: Sequence[str], plan: CasePlan, phase: int = 1, seed: int = 0) -> None:
        self.items = load_datalist(datalist, sections)
        self.plan, self.phase, self.seed = plan, phase, seed
        unlabelled = next((item["case"] for item in self.items if "label" not in item), None)
        if unlabelled is not None:
            raise InputError(f"{datalist}: case {unlabelled} has no label to be scored against")

    def __call__(self) -> Report:
        rows = [self._score(item) for item in self.items]
        facts = {
            "cases": len(rows),
            "memorisation": "does not apply: no images are made",
            "phase": self.phase,
            "intervals": f"95 % percentile bootstrap over patients, seed {self.seed}",
            **{key: value for key, value in self._shared().items() if key != "algorithm"},
        }
        report = Report("Breast tumour segmentation", facts)
        summary = {
            "Dice": self._mean(rows, "dice"),
            "HD95 (mm)": self._mean(rows, "hd95"),
            "centre distance (mm)": self._mean(rows, "centre distance"),
            "volume ratio": self._mean(rows, "volume ratio"),
            "nothing found": sum(row["hd95"] != row["hd95"] for row in rows),
        }
        report.add("All cases", list(summary), [summary], "HD95 and centres over cases with a predicted tumour.")
        report.add("Each case", list(rows[0]), rows)
        report.write(self.plan.output_dir)
        return report

    def _mean(self, rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
        """Over patients: exams of one patient are no independent cases."""
        values: dict[str, list[float]] = {}
        for item, row in zip(self.items, rows, strict=True):
            values.setdefault(str(item.get("patient", item["case"])), []).append(row[key])
        finite = [[value for value in found if value == value] for found in values.values()]
        return mean_with_interval([sum(found) / len(found) if found else float("nan") for found in finite], self.seed)

    def _score(self, item: dict[str, Any]) -> dict[str, Any]:
        case = item["case"]
        predicted = load_volume(self.plan.output_dir / case / tumour_mask_file(case))
        truth = load_volume(item["label"])
        if not same_grid(predicted, truth):
            raise InputError(f"case {case}: the label {item['label']} is on another grid than the image; resample it")
        spacing = [float(s) for s in truth.pixdim]
        masks = predicted[0].as_tensor() > 0, truth[0].as_tensor() > 0
        lying = mask_adherence(*masks, spacing)
        return {
            "case": case,
            **mask_scores(*masks, spacing),
            "centre distance": lying["distance"],
            "volume ratio": lying["ratio"],
        }

    def _shared(self) -> dict[str, Any]:
        first = self.plan.provenance[self.items[0]["case"]]
        return {key: value for key, value in first.items() if key not in ("case", "input", "input_sha256")}
