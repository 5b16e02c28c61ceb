"""Evaluate contrast synthesis on held-out cases: what the paper reports, in float, beside the identity baseline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir
from ..metrics.features import FeatureExtractor
from ..metrics.learned_distance import LearnedDistance
from ..outputs import CASES_CSV, KINETICS_COHORT, KINETICS_CSV, KINETICS_LESIONS
from ..reports.contrast_tables import FeatureRecords, add_all_tables
from ..reports.contrast_values import write_case_values, write_lesion_values
from ..reports.kinetics_plots import cohort_chart, lesion_chart, save_chart
from ..reports.mip_pictures import display
from ..reports.report import Figure, Report
from ..transforms.breast_mask import breast_mask
from .case_records import CaseRecords
from .contrast_measures import compat_metrics, false_blobs, image_metrics, lesion_measures, lesion_regions
from .kept_images import REAL, SAMPLE, CopySets, KeptImages, add_copies, add_examples

logger = logging.getLogger(__name__)
LESIONS_IN_CHART = 33
SUBTRACTION_SHOWN = (0.0, 1.0)  # values of a subtraction MIP that example pictures show as black and white


class ContrastEvaluation:
    """One evaluation run; records of finished cases are kept, so that a killed run goes on.

    Args:
        items: held-out datalist items with `image`, `phases` and, where known, `label` or `box`, `lesions`, `seconds`.
        floor_items: further real cases, for the real-against-real floor of the distribution distances.
        training_items: what the model was trained on; copies of these are looked for.
        preprocessing: from an item to `image` (1, X, Y, Z), `phases` (P, X, Y, Z), `label` (1, X, Y, Z): RAS axes,
            intensities normalised.
        network: generator with weights.
        inferer: callable, volume to phases.
        phases: numbers of the phases that the network makes, in channel order.
        extractors: of the distribution distances, by name.
        lpips: the learned distance, or None: reported as not computed.
        output_dir: for report, figures and records.
        normalization: `common` or `minmax`, for the report's statement of the scale.
        registration: how `preprocessing` moved the real phases, for the report.
        slices_per_case: slices of each case that enter the distribution distances, evenly over the breasts.
        paper_compat: add the published, wrapped errors.
        facts: what the report states of weights and knobs; records of other facts are not reused.
        device: of the network.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        floor_items: Sequence[dict[str, Any]],
        training_items: Sequence[dict[str, Any]],
        preprocessing: Callable[[dict], dict],
        network: torch.nn.Module,
        inferer: Any,
        phases: Sequence[int],
        extractors: Mapping[str, FeatureExtractor],
        lpips: LearnedDistance | None,
        output_dir: str,
        normalization: str = "common",
        registration: str = "none",
        slices_per_case: int = 8,
        paper_compat: bool = False,
        facts: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        if not items:
            raise InputError("input: the datalist has no case in the sections to evaluate; see --sections")
        self.items, self.floor_items = list(items), list(floor_items)[: len(items)]
        self.training_items = list(training_items)
        self.preprocessing, self.inferer, self.network = preprocessing, inferer, network.to(device).eval()
        self.phases, self.extractors, self.lpips = tuple(phases), dict(extractors), lpips
        self.output_dir, self.normalization = make_output_dir(output_dir), normalization
        self.slices_per_case, self.paper_compat, self.device = slices_per_case, paper_compat, device
        hashes = {name: extractor.sha256 for name, extractor in self.extractors.items()}
        self.facts = {
            **(facts or {}),
            "registration": registration,
            "extractors": hashes,
            "lpips_sha256": lpips.sha256 if lpips else None,
        }
        self.records = CaseRecords(
            self.output_dir, {**self.facts, "paper_compat": paper_compat, "slices_per_case": slices_per_case}
        )
        self.kept = KeptImages(self.records)

    def run(self) -> Report:
        """Evaluate every case; write `report.json`, `report.md` and the figures; return the report."""
        records = self._each("case", self.items, self.evaluate_case, "evaluating")
        floor = self._each("real", self.floor_items, self.real_features, "real floor")
        training = self._each("real", self.training_items, self.real_features, "training images")
        scale = (
            "(x - offset) / factor of each case's pre-contrast volume: air about 0, bright tissue about 1"
            if self.normalization == "common"
            else "each volume by its own minimum and maximum to [-1, 1], as published; subtraction and kinetics are "
            "not on one scale"
        )
        report = Report(
            "Evaluation of contrast synthesis",
            {
                "synthetic": True,
                **{name: value for name, value in self.facts.items() if name != "extractors"},
                "held-out cases": len(records),
                "intensity scale": scale,
                "data range": "span from the 0.1 to the 99.9 percentile of the real phase inside the region",
                "intervals": "95 % percentile bootstrap over cases",
            },
        )
        found = FeatureRecords(records, floor, training)
        add_all_tables(report, found, self.phases, self.extractors, self.lpips is not None)
        sets = CopySets(self.items, self.training_items, self.items)
        add_copies(report, self.output_dir, self.kept, sets, found.first_phase(next(iter(self.extractors), None)))
        write_case_values(self.output_dir / CASES_CSV, records, self.phases)
        write_lesion_values(self.output_dir / KINETICS_CSV, records, self.phases)
        self._draw(records)
        add_examples(report, self.output_dir, self.kept, self.items, SUBTRACTION_SHOWN)
        for title, name in (("Kinetics of the cohort", KINETICS_COHORT), ("Kinetics of lesions", KINETICS_LESIONS)):
            if (self.output_dir / name).is_file():
                report.figures.append(Figure(title, self.output_dir / name))
        paths = report.write(self.output_dir)
        logger.info(f"report: {paths[1]}")
        return report

    def _draw(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Charts of the lesions, visible ones first: all in one, and the first 33 one by one as in the paper."""
        named = [(f"{record['case']} {le['instance']}", le) for record in records for le in record["lesions"]]
        named.sort(key=lambda pair: pair[1]["visible"] is False)
        if not named:
            return
        real, made, real_std, made_std = (
            np.array([le[part][kind] for _, le in named])
            for part, kind in (("means", "real"), ("means", "made"), ("std", "real"), ("std", "made"))
        )
        pre = np.array([le["means"]["pre"] for _, le in named])
        unit = "common scale" if self.normalization == "common" else "own range of each volume"
        save_chart(self.output_dir / KINETICS_COHORT, cohort_chart(real, made, pre, unit, self.phases))
        few = slice(0, LESIONS_IN_CHART)
        names = [name for name, _ in named[few]]
        chart = lesion_chart(real[few], made[few], real_std[few], made_std[few], names, unit, self.phases)
        save_chart(self.output_dir / KINETICS_LESIONS, chart)

    def _each(self, kind: str, items: Sequence[dict], make: Callable[[dict], dict], title: str) -> list[dict]:
        return [self.records.get_or_make(kind, item, make) for item in tqdm(items, desc=title, unit="case")]

    def load(self, item: dict[str, Any]) -> tuple[Any, ...]:
        """Pre-contrast (1, X, Y, Z), real phases (P, X, Y, Z), mask (X, Y, Z), spacing, the inferer's volume, scale."""
        data = self.preprocessing(dict(item))
        image = data["image"]
        chosen = [phase - 1 for phase in self.phases]
        pre, phases, label = (torch.as_tensor(data[key].as_tensor()).float() for key in ("image", "phases", "label"))
        return pre, phases[chosen], label[0], tuple(float(s) for s in image.pixdim), image, data["scale"]

    def features(self, phases: torch.Tensor, region: torch.Tensor) -> dict[str, list[list[list[float]]]]:
        """By extractor and phase: features of evenly spaced slices of a region."""
        reached = torch.nonzero(region.any(0).any(0))[:, 0]
        chosen = reached[torch.linspace(0, len(reached) - 1, min(self.slices_per_case, len(reached))).long()].tolist()
        slices = phases[..., chosen].permute(0, 3, 1, 2)
        return {
            name: [extractor(phase[:, None]).tolist() for phase in slices]
            for name, extractor in self.extractors.items()
        }

    def real_features(self, item: dict[str, Any]) -> dict[str, Any]:
        """Features of the real phases of a case, whose first subtraction is kept as a MIP."""
        pre, real, _, spacing, _, _ = self.load(item)
        self.kept.keep(REAL, item, subtraction_mip(real, pre))
        return {"real_features": self.features(real, self._breast(item, pre, spacing))}

    @staticmethod
    def _breast(item: Mapping[str, Any], pre: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
        try:
            return torch.from_numpy(breast_mask(pre[0].numpy(), spacing, margin_mm=0.0))
        except InputError as error:
            raise InputError(f"{item['case']}: {error}") from error

    @torch.no_grad()
    def evaluate_case(self, item: dict[str, Any]) -> dict[str, Any]:
        """All figures of one case as JSON values."""
        pre, real, label, spacing, image, scale = self.load(item)
        made = self.inferer(inputs=image[None].to(self.device), network=self.network)[0]
        made = torch.as_tensor(made.as_tensor() if hasattr(made, "as_tensor") else made).float().cpu()
        self.kept.keep(SAMPLE, item, subtraction_mip(made, pre))
        self.kept.keep(REAL, item, subtraction_mip(real, pre))
        breast = self._breast(item, pre, spacing)
        identity = pre.expand_as(real)
        common = self.normalization == "common"  # on other scales, kinetics and the blobs' threshold mean nothing
        lesions = [
            lesion_measures(found, pre, real, made, scale if common else None) for found in lesion_regions(item, label)
        ]
        boxes = torch.zeros_like(breast)
        for lesion in lesion_regions(item, label):
            boxes[lesion["box"]] = True
        blobs, slices = false_blobs(pre, real, made, breast, spacing) if common else (None, None)
        record: dict[str, Any] = {
            "case": item["case"],
            "seconds": item.get("seconds"),
            "images": {
                "synthetic": image_metrics(made, real, breast, self.lpips),
                "identity": image_metrics(identity, real, breast, self.lpips),
            },
            "subtraction": {
                "synthetic": image_metrics(made - identity, real - identity, breast, self.lpips),
                "identity": image_metrics(torch.zeros_like(real), real - identity, breast, self.lpips),
            },
            "boxes": {
                "synthetic": image_metrics(made, real, boxes, multiscale=False),
                "identity": image_metrics(identity, real, boxes, multiscale=False),
            }
            if boxes.any()
            else None,
            "lesions": lesions,
            "false_blobs": blobs,
            "slices": slices,
            "real_features": self.features(real, breast),
            "made_features": self.features(made, breast),
            "identity_features": self.features(identity, breast),
        }
        if self.paper_compat:
            record["paper_compat"] = compat_metrics(pre, real, made, label > 0)
        return record


def subtraction_mip(phases: torch.Tensor, pre: torch.Tensor) -> np.ndarray:
    """Axial MIP of the first phase minus pre-contrast as a picture (H, W), from (P, X, Y, Z) and (1, X, Y, Z)."""
    return display((phases[0] - pre[0]).amax(-1).numpy())
