"""Guidance against diversity and quality, by which Montoya-del-Angel et al. 2023 looked at their guidance scale.

They compare MS-SSIM of 20 pairs of images of one sentence over guidance scales (lower is more diverse). Beside it stand
here the distance to real images and whether images still show what was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Number
from typing import Any

import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.tables import write_csv
from ..metrics.distribution_intervals import kernel_with_interval
from ..metrics.feature_set import FeatureSet
from ..metrics.mammogram_attributes import EXACT, DensityScale
from ..metrics.uncertainty import mean_with_interval
from ..outputs import GUIDANCE_CSV, GUIDANCE_PLOT
from ..reports.distribution_table import describe_extractor, scaled
from ..reports.guidance_plot import save_guidance_plot
from ..reports.mammogram_tables import agreement_rows
from ..reports.report import Report
from ..sampling.attribute_requests import SEEN
from ..sampling.plan import sample_seed
from .mammogram_evaluation import MammogramEvaluation
from .mammogram_judge import similarity

logger = logging.getLogger(__name__)
PAIRS = "pairs"


class MammogramGuidance:
    """The same sentences from the same noise at several guidance scales.

    Args:
        evaluation: gives images, sentences, networks, instruments and output folder; the sentences of seen
            combinations are drawn once each.
        values: guidance scales, rising.
        prompt: sentence of the pairs.
        num_pairs: of images, for MS-SSIM.

    Raises:
        InputError: no values, values that do not rise, or none above 0.
    """

    def __init__(
        self, evaluation: MammogramEvaluation, values: Sequence[float], prompt: str, num_pairs: int = 20
    ) -> None:
        numbers = isinstance(values, (list, tuple)) and all(isinstance(v, Number) and v > 0 for v in values)
        if not numbers or not values or any(b <= a for a, b in zip(values, values[1:], strict=False)):
            raise InputError(f"guidance_values={values}: give rising numbers above 0, such as [1,2,4]")
        self.evaluation, self.judge = evaluation, evaluation.judge
        self.values, self.prompt, self.num_pairs = [float(v) for v in values], str(prompt), num_pairs

    def run(self) -> Report:
        """Draw and compare; write report, CSV and plot; return the report."""
        evaluation, extractors = self.evaluation, self.judge.extractors
        scale = evaluation.density_scale()
        real = [
            evaluation.records.get_or_make("floor", item, evaluation.real_features)["features"]
            for item in tqdm(evaluation.items, desc="real images", unit="case")
        ]
        floor = [
            evaluation.records.get_or_make("floor", item, evaluation.real_features)["features"]
            for item in tqdm(evaluation.floor_sample(), desc="real floor", unit="case")
        ]
        rows = []
        for value in self.values:
            pairs = self._pairs(value)
            drawn = [self._drawn(value, request, scale) for request in evaluation.requests[SEEN]]
            row: dict[str, Any] = {"guidance": value, "MS-SSIM": mean_with_interval(pairs)}
            row |= self._distances(real, [record["features"] for record in drawn])
            images = [{**record, "case": record["prompt"]} for record in drawn]
            for found in agreement_rows({"drawn": images}, scale):
                if found["agreement"] == EXACT:
                    row[found["attribute"]] = {name: found[name] for name in ("mean", "low", "high", "n")}
            rows.append(row)
        alike = mean_with_interval(evaluation.real_similarities())
        reference = {"guidance": "other real images (floor)", "MS-SSIM": alike, **self._distances(real, floor)}
        facts = {name: fact for name, fact in evaluation.facts.items() if name != "guidance_scale"}
        facts |= {"pairs": self.num_pairs, "their sentence": self.prompt}
        facts |= {"images for KID": len(evaluation.requests[SEEN]), "held-out images": len(evaluation.items)}
        report = Report("Guidance against diversity and quality", facts)
        note = (
            "MS-SSIM: pairs of images of one sentence (window 11, data range 1), for real ones pairs of the same "
            "attributes; lower is more diverse. KID: held-out real images against images of the sentences of some of "
            "them. Shares of images as asked. Features: "
            + "; ".join(describe_extractor(e, len(real[0][name])) for name, e in extractors.items())
        )
        report.add("Guidance", tuple(dict.fromkeys(k for row in rows for k in row)), [*rows, reference], note)
        logger.info(f"report: {report.write(evaluation.output_dir)[1]}")
        write_csv(evaluation.output_dir / GUIDANCE_CSV, [_flat(row) for row in [*rows, reference]])
        save_guidance_plot(evaluation.output_dir / GUIDANCE_PLOT, rows, reference)
        return report

    def _pairs(self, value: float) -> list[float]:
        evaluation = self.evaluation
        found = []
        for k in tqdm(range(self.num_pairs), desc=f"pairs, guidance {value:g}", unit="pair"):
            request = {"case": f"pair{k}", "prompt": self.prompt}
            record = evaluation.records.get_or_make([PAIRS, value], request, lambda r: self._pair(value, r))
            found.append(record["ms_ssim"])
        return found

    def _pair(self, value: float, request: dict[str, Any]) -> dict[str, Any]:
        seeds = [sample_seed(self.evaluation.seed, request["case"], k) for k in range(2)]
        return {"ms_ssim": similarity(*self.judge.draw([request["prompt"]] * 2, seeds, value))}

    def _drawn(self, value: float, request: dict[str, Any], scale: DensityScale | None) -> dict[str, Any]:
        return self.evaluation.records.get_or_make(
            ["guidance", value], request, lambda r: self._measured(value, r, scale)
        )

    def _measured(self, value: float, request: dict[str, Any], scale: DensityScale | None) -> dict[str, Any]:
        seeds = [sample_seed(self.evaluation.seed, request["case"], 0)]
        image = self.judge.draw([request["prompt"]], seeds, value)[0]
        measured = self.judge.measure(image, request["asked"], scale)
        known = {key: request[key] for key in ("case", "prompt", "asked")}
        return {**known, "measured": measured, "features": self.judge.features(image)}

    def _distances(self, real: Sequence[dict], other: Sequence[dict]) -> dict[str, Any]:
        found = {}
        for name, extractor in self.judge.extractors.items():
            sets = [torch.tensor([features[name] for features in part]) for part in (real, other)]
            few = min(map(len, sets)) < 2
            column = f"KID, {name}"
            compared = [FeatureSet.of_images(part) for part in scaled(extractor, *sets)]
            found[column] = "needs two images" if few else kernel_with_interval(*compared)
        return found


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Intervals as columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name} {key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return flat
