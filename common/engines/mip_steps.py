"""Sampling steps against quality of MIP synthesis, beside the spread between seeds of a slow reference sampler."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..metrics.distribution import frechet_distance, kernel_distance
from ..metrics.lesion_reading import agreement
from ..reports.distribution_table import describe_extractor, scaled
from ..reports.mip_tables import pooled_confusion
from ..reports.report import Report
from ..sampling.plan import sample_seed
from .mip_evaluation import MipEvaluation

logger = logging.getLogger(__name__)
SETTINGS = (("ddim", 200), ("dpm", 5), ("dpm", 10), ("dpm", 20), ("dpm", 50))


class MipSteps:
    """Sample the same masks from the same noise with several samplers and step counts, for several seeds.

    Distances to the same real images differ between seeds of one sampler; a fast setting whose distance lies within
    that spread of the reference costs nothing that can be measured here.

    Args:
        evaluation: gives cases, networks, reader, sampler, extractors and output folder.
        schedulers: diffusers schedulers by name.
        settings: (name, steps) of each setting; the first is the reference.
        num_seeds: the evaluation's seed and those that follow; at least 2, for the spread.
        max_cases: how many held-out cases.

    Raises:
        InputError: a setting that is not a known name and a number of steps, or fewer than 2 seeds or cases.
    """

    def __init__(
        self,
        evaluation: MipEvaluation,
        schedulers: Mapping[str, Any],
        settings: Sequence[tuple[str, int]] = SETTINGS,
        num_seeds: int = 3,
        max_cases: int = 100,
    ) -> None:
        for setting in settings:
            good = isinstance(setting, (list, tuple)) and len(setting) == 2 and setting[0] in schedulers
            if not good or not isinstance(setting[1], int) or setting[1] < 1:
                raise InputError(f"step_settings: {setting}: give a sampler and its steps, such as ['dpm', 20]")
        if not settings or num_seeds < 2:
            raise InputError(f"num_seeds={num_seeds}: give a setting and at least 2 seeds, for the spread between them")
        self.items = evaluation.items[:max_cases]
        if len(self.items) < 2:
            raise InputError("input: a distance between distributions needs at least 2 held-out cases")
        self.evaluation, self.schedulers = evaluation, schedulers
        self.settings = [(name, int(steps)) for name, steps in settings]
        self.seeds = [evaluation.seed + k for k in range(num_seeds)]

    def run(self) -> Report:
        """Fill the tables, write `report.json` and `report.md`, return the report."""
        evaluation = self.evaluation
        loaded = [evaluation.load(item) for item in self.items]
        real = evaluation.features(torch.stack([data["image"] for data in loaded]))
        records = {
            (*setting, seed): self._records(setting, seed, loaded) for setting in self.settings for seed in self.seeds
        }
        facts = {name: fact for name, fact in evaluation.facts.items() if name not in ("sampler", "num_steps")}
        facts |= {"held-out cases": len(self.items), "samples per mask": 1, "seeds": self.seeds}
        report = Report("Sampling steps against quality", facts)
        for name in evaluation.extractors:
            self._add_distances(report, name, torch.tensor(real[name]), records)
        self._add_readings(report, records)
        logger.info(f"report: {report.write(evaluation.output_dir)[1]}")
        return report

    def _records(
        self, setting: tuple[str, int], seed: int, loaded: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """One record a case: `samples` as in an evaluation's records (one of them) and its `features`."""
        evaluation, kind = self.evaluation, ["steps", *setting, seed]
        sampler = copy.copy(evaluation.sampler)
        sampler.scheduler, sampler.num_steps, sampler.progress = self.schedulers[setting[0]], setting[1], False
        missing = [k for k, item in enumerate(self.items) if evaluation.records.get(kind, item) is None]
        size = evaluation.batch_size
        batches = [missing[start : start + size] for start in range(0, len(missing), size)]
        for batch in tqdm(batches, desc=f"{setting[0]} {setting[1]} steps, seed {seed}", unit="batch"):
            conditions = torch.stack([loaded[k]["label"] for k in batch])
            seeds = [sample_seed(seed, self.items[k]["case"], 0) for k in batch]
            for k, sample in zip(batch, evaluation.sample(conditions, seeds, sampler), strict=True):
                features = {name: rows[0] for name, rows in evaluation.features(sample[None]).items()}
                reading = evaluation.read(sample, loaded[k])
                evaluation.records.put(kind, self.items[k], {"samples": [reading], "features": features})
        return [evaluation.records.get(kind, item) for item in self.items]

    def _add_distances(
        self, report: Report, name: str, real: torch.Tensor, records: Mapping[tuple, list[dict[str, Any]]]
    ) -> None:
        extractor = self.evaluation.extractors[name]
        measures = {"KID": kernel_distance, "FD": frechet_or_reason}
        made = {key: torch.tensor([r["features"][name] for r in part]) for key, part in records.items()}
        for measure, distance in measures.items():
            found = {key: distance(*scaled(extractor, real, features)) for key, features in made.items()}
            if any(isinstance(value, str) for value in found.values()):
                report.add(f"{measure}, {name}", (measure,), [{measure: next(iter(found.values()))}])
                continue
            rows = []
            reference = [found[(*self.settings[0], seed)] for seed in self.seeds]
            for number, setting in enumerate(self.settings):
                values = [found[(*setting, seed)] for seed in self.seeds]
                row = {"sampler": setting[0], "steps": setting[1], "mean": float(np.mean(values))}
                row |= {"SD": float(np.std(values, ddof=1)), "min": min(values), "max": max(values)}
                row["against the reference"] = place(row["mean"], reference) if number else "the reference"
                rows.append(row)
            note = (
                f"Distance to the same cases' real images over {len(self.seeds)} seeds; {len(real)} images each. "
                f"Features: {describe_extractor(extractor, real.shape[1])}. Against the reference: where the mean lies "
                "in the range of the reference's seeds; within it or below it, the setting costs nothing."
            )
            columns = ("sampler", "steps", "mean", "SD", "min", "max", "against the reference")
            report.add(f"{measure}, {name}", columns, rows, note)

    def _add_readings(self, report: Report, records: Mapping[tuple, list[dict[str, Any]]]) -> None:
        rows = []
        for setting in self.settings:
            matrices = [pooled_confusion(records[(*setting, seed)], "samples") for seed in self.seeds]
            found = [float(m[:, :-1].sum() / m.sum()) if m.sum() else float("nan") for m in matrices]
            agreed = [agreement(m) for m in matrices]
            row: dict[str, Any] = {"sampler": setting[0], "steps": setting[1]}
            for column, values in (("found", found), ("agreement of found", agreed)):
                row |= {column: float(np.mean(values)), f"{column}, min": min(values), f"{column}, max": max(values)}
            rows.append(row)
        columns = tuple(rows[0])
        note = "Share of requested lesions that the reader finds, and of these, that it reads as the class asked for."
        report.add("Lesions", columns, rows, f"{note} Mean, least and greatest over seeds.")


def frechet_or_reason(real: torch.Tensor, other: torch.Tensor) -> float | str:
    """Fréchet distance, or why there is none: covariances need more images than features."""
    width = real.shape[1]
    return frechet_distance(real, other) if min(len(real), len(other)) > width else f"n at most {width} features"


def place(value: float, reference: Sequence[float]) -> str:
    """Where a distance lies in the range of the reference's: `below`, `within` or `above`."""
    if value < min(reference):
        return "below"
    return "within" if value <= max(reference) else "above"
