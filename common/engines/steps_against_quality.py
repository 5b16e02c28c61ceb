"""How quality depends on the number of sampling steps, as a table over samplers and step counts."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from ..metrics.adherence import NESTED_REGIONS, has_expected_order, region_dice, region_medians
from ..metrics.distribution import kernel_distance, standardize
from ..metrics.uncertainty import mean_with_interval
from ..reports.report import Report
from ..sampling.plan import sample_seed
from ..transforms.multicontrast import brain_mask
from ..transforms.tumor_regions import region_channels
from .multicontrast_evaluation import MultiContrastEvaluation

logger = logging.getLogger(__name__)


class StepsAgainstQuality:
    """Sample the same masks from the same noise with several samplers and step counts.

    Args:
        evaluation: gives cases, networks, sampler, extractor and output folder.
        schedulers: diffusers schedulers by name.
        names: which of them.
        counts: step counts.
        max_cases: how many held-out cases.
        batch_size: samples at once.
    """

    def __init__(
        self,
        evaluation: MultiContrastEvaluation,
        schedulers: Mapping[str, Any],
        names: Sequence[str] = ("dpm", "ddim"),
        counts: Sequence[int] = (5, 10, 20, 50, 200),
        max_cases: int = 16,
        batch_size: int = 8,
    ) -> None:
        self.evaluation, self.schedulers = evaluation, schedulers
        self.names, self.counts, self.max_cases, self.batch_size = names, counts, max_cases, batch_size

    def run(self) -> Report:
        """Fill the table, write `report.json` and `report.md`, return the report."""
        evaluation = self.evaluation
        items = evaluation.items[: self.max_cases]
        cases = [evaluation.load(item) for item in items]
        seeds = [sample_seed(evaluation.seed, item["case"], 0) for item in items]
        chosen = next(iter(evaluation.extractors))
        real = torch.tensor([evaluation.features(image)[chosen] for image, _ in cases])
        rows = []
        for name in self.names:
            for count in tqdm(self.counts, desc=f"{name} steps"):
                sampler = copy.copy(evaluation.sampler)
                sampler.scheduler, sampler.num_steps, sampler.progress = self.schedulers[name], int(count), False
                rows.append({"sampler": name, "steps": int(count), **self._measure(sampler, cases, seeds, real)})
        facts = {**evaluation.facts, "held-out cases": len(items), "samples per mask": 1, "seed": evaluation.seed}
        report = Report("Sampling steps against quality", facts)
        columns = ("sampler", "steps", *NESTED_REGIONS, "order right", "KID")
        extractor = evaluation.extractors[chosen].name
        report.add(
            "Steps",
            columns,
            rows,
            "Adherence as Dice by the small segmenter, share of samples with all intensities in order, KID against the "
            f"same cases' real volumes, mean over contrasts ({extractor}). Same masks and start noise.",
        )
        logger.info(f"report: {report.write(evaluation.output_dir)[1]}")
        return report

    def _measure(
        self, sampler: Any, cases: list[tuple[torch.Tensor, torch.Tensor]], seeds: list[int], real: torch.Tensor
    ) -> dict[str, Any]:
        evaluation = self.evaluation
        scores: dict[str, list[float]] = {region: [] for region in NESTED_REGIONS}
        orders, features = [], []
        for start in range(0, len(cases), self.batch_size):
            masks = [mask for _, mask in cases[start : start + self.batch_size]]
            condition = region_channels(torch.stack(masks)[:, None].float()).to(evaluation.device)
            samples = sampler(
                inputs=condition, network=evaluation.network, seeds=seeds[start : start + self.batch_size]
            ).cpu()
            for sample, mask in zip(samples, masks, strict=True):
                brain = brain_mask(sample, evaluation.background)
                sample[:, ~brain] = evaluation.background  # as in the files that users get
                for region, value in region_dice(evaluation.segment(sample), mask).items():
                    scores[region].append(value)
                medians = region_medians(sample, mask, brain)
                orders.append(list(has_expected_order(medians, evaluation.contrasts).values()))
                features.append(next(iter(evaluation.features(sample).values())))
        judged = [order for order in orders if None not in order]
        fake = torch.tensor(features)
        kid = [kernel_distance(*standardize(real[:, c], fake[:, c])) for c in range(real.shape[1])]
        return {
            **{region: mean_with_interval(values) for region, values in scores.items()},
            "order right": sum(map(all, judged)) / len(judged) if judged else float("nan"),
            "KID": sum(kid) / len(kid),
        }
