"""Dice and HD95 of the masks that a run has written, against those of a datalist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..cohorts.datalist import load_datalist
from ..errors import InputError
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
            "phase": self.phase,
            "intervals": f"95 % percentile bootstrap over cases, seed {self.seed}",
            **{key: value for key, value in self._shared().items() if key != "algorithm"},
        }
        report = Report("Breast tumour segmentation", facts)
        summary = {
            "Dice": mean_with_interval([row["dice"] for row in rows], self.seed),
            "HD95 (mm)": mean_with_interval([row["hd95"] for row in rows], self.seed),
            "nothing found": sum(row["hd95"] != row["hd95"] for row in rows),
        }
        report.add("All cases", list(summary), [summary], "HD95 over cases with a predicted tumour.")
        report.add("Each case", ["case", "dice", "hd95"], rows)
        report.write(self.plan.output_dir)
        return report

    def _score(self, item: dict[str, Any]) -> dict[str, Any]:
        case = item["case"]
        predicted = load_volume(self.plan.output_dir / case / tumour_mask_file(case))
        truth = load_volume(item["label"])
        if not same_grid(predicted, truth):
            raise InputError(f"case {case}: the label {item['label']} is on another grid than the image; resample it")
        spacing = [float(s) for s in truth.pixdim]
        return {"case": case, **mask_scores(predicted[0].as_tensor() > 0, truth[0].as_tensor() > 0, spacing)}

    def _shared(self) -> dict[str, Any]:
        first = self.plan.provenance[self.items[0]["case"]]
        return {key: value for key, value in first.items() if key not in ("case", "input", "input_sha256")}
