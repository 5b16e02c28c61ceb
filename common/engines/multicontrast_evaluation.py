"""Evaluate a mask-conditioned multi-contrast diffusion model on held-out cases: what the paper reports, done right.

Reconstruction by contrast and region, distribution distance with its real-against-real floor, adherence to the mask by
a frozen segmenter beside what that segmenter reaches on real images, order of intensities, diversity.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir
from ..metrics.adherence import MIN_VOXELS, NESTED_REGIONS, has_expected_order, region_dice, region_medians
from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from ..metrics.paired import mae, percentile_range, psnr, ssim
from ..metrics.ssim import ms_ssim
from ..metrics.uncertainty import mean_with_interval
from ..phantoms.clean_brats import is_phantom, write_clean_twin
from ..reports.distribution_table import ComparedSets, add_distribution
from ..reports.report import Report
from ..sampling.plan import sample_seed
from ..transforms.multicontrast import brain_mask
from ..transforms.tumor_regions import region_channels
from ..weights import fingerprint
from .case_records import CaseRecords
from .kept_images import REAL, SAMPLE, CopySets, KeptImages, add_copies, add_examples

logger = logging.getLogger(__name__)
Z_SHOWN = (-3.0, 5.0)  # z-scores that example pictures show as black and white


class MultiContrastEvaluation:
    """One evaluation run; records of finished cases are kept, so that a killed run goes on.

    Args:
        items: held-out datalist items.
        floor_items: further real cases, for the real-against-real floor of the distribution distances.
        training_items: what the model was trained on; copies of these are looked for.
        preprocessing: from an item to `image` (C, X, Y, Z) in z-scores and canonical `label` (1, X, Y, Z).
        network: composite network with weights.
        segmenter: image to region logits (B, 4, X, Y, Z), trained on real images only.
        sampler: callable inferer.
        extractors: of the distribution distances, by name.
        output_dir: for the report and the records.
        contrasts: channel names.
        background: value outside the brain, as in training.
        num_samples: per mask, at least 2 for diversity.
        seed: of the samples.
        facts: what the report states of weights and knobs; records of other facts are not reused.
        device: of networks and sampling.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        floor_items: Sequence[dict[str, Any]],
        training_items: Sequence[dict[str, Any]],
        preprocessing: Callable[[dict], dict],
        network: Any,
        segmenter: torch.nn.Module,
        sampler: Any,
        extractors: Mapping[str, FeatureExtractor],
        output_dir: str,
        contrasts: Sequence[str],
        background: float,
        num_samples: int = 2,
        seed: int = 0,
        facts: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        if not items:
            raise InputError("input: the datalist has no case in the sections to evaluate; see --sections")
        if num_samples < 2:
            raise InputError(
                f"num_samples={num_samples}: the evaluation needs at least 2 samples a mask, for diversity"
            )
        self.items, self.floor_items = list(items), list(floor_items)[: len(items)]
        self.training_items = list(training_items)
        self.preprocessing, self.sampler, self.extractors = preprocessing, sampler, dict(extractors)
        self.network, self.segmenter = network.to(device).eval(), segmenter.to(device).eval()
        self.output_dir, self.contrasts, self.background = make_output_dir(output_dir), tuple(contrasts), background
        self.num_samples, self.seed, self.device = num_samples, seed, device
        self.facts = {**(facts or {}), "segmenter_sha256": fingerprint(segmenter), "background": background}
        hashes = {name: extractor.sha256 for name, extractor in self.extractors.items()}
        self.records = CaseRecords(
            self.output_dir, {**self.facts, "num_samples": num_samples, "seed": seed, "extractors": hashes}
        )
        self.kept = KeptImages(self.records)

    def run(self) -> Report:
        """Evaluate every case, write `report.json` and `report.md`, return the report."""
        records = self._each("case", self.items, self.evaluate_case, "evaluating")
        floor = self._each("real", self.floor_items, self.real_features, "real floor")
        training = self._each("real", self.training_items, self.real_features, "training images")
        report = self._report(records, floor, training)
        paths = report.write(self.output_dir)
        logger.info(f"report: {paths[1]}")
        return report

    def _each(self, kind: str, items: Sequence[dict], make: Callable[[dict], dict], title: str) -> list[dict]:
        return [self.records.get_or_make(kind, item, make) for item in tqdm(items, desc=title, unit="case")]

    def load(self, item: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (C, X, Y, Z) in z-scores and canonical mask (X, Y, Z) of an item, on the network\'s grid."""
        data = self.preprocessing(dict(item))
        return torch.as_tensor(data["image"]).float(), torch.as_tensor(data["label"])[0].to(torch.uint8)

    def features(self, image: torch.Tensor) -> dict[str, list[list[float]]]:
        """Features of each channel by extractor."""
        return {
            name: [extractor(channel[None, None])[0].tolist() for channel in image]
            for name, extractor in self.extractors.items()
        }

    def real_features(self, item: dict[str, Any]) -> dict[str, Any]:
        """Features of a real case, one channel of which is kept."""
        image = self.load(item)[0]
        self.kept.keep(REAL, item, self._shown(image))
        return {"real_features": self.features(image)}

    def _shown(self, image: torch.Tensor) -> np.ndarray:
        """The contrast (X, Y, Z) in which copies are looked for: after contrast agent, where there is one."""
        return image[self.contrasts.index("T1C") if "T1C" in self.contrasts else 0].numpy()

    @torch.no_grad()
    def segment(self, image: torch.Tensor) -> torch.Tensor:
        """Canonical regions (X, Y, Z) that the segmenter finds in an image (C, X, Y, Z)."""
        return self.segmenter(image[None].to(self.device)).argmax(1)[0].to(torch.uint8).cpu()

    @torch.no_grad()
    def evaluate_case(self, item: dict[str, Any]) -> dict[str, Any]:
        """All figures of one case as JSON values."""
        image, mask = self.load(item)
        brain = (image != self.background).any(0)
        tumour = mask > 0
        span = percentile_range(image, brain)
        mean, _ = self.network.encode(image[None].to(self.device))
        reconstruction = self.network.autoencoder.decode(mean)[0].float().cpu()
        condition = region_channels(mask[None].float())[None].repeat(self.num_samples, 1, 1, 1, 1)
        seeds = [sample_seed(self.seed, item["case"], k) for k in range(self.num_samples)]
        samples = self.sampler(inputs=condition.to(self.device), network=self.network, seeds=seeds).cpu()
        sample_brains = [brain_mask(sample, self.background) for sample in samples]
        for sample, sample_brain in zip(samples, sample_brains, strict=True):
            sample[:, ~sample_brain] = self.background  # as in the files that users get
        self.kept.keep(SAMPLE, item, self._shown(samples[0]))
        self.kept.keep(REAL, item, self._shown(image))

        def similarity(first: torch.Tensor, second: torch.Tensor) -> float:
            return float(ms_ssim(first[None], second[None], span.float()[None]).mean())

        record: dict[str, Any] = {
            "case": item["case"],
            "psnr": psnr(reconstruction, image, brain, span).tolist(),
            "psnr_tumour": psnr(reconstruction, image, tumour, span).tolist(),
            "ssim": ssim(reconstruction, image, brain, span).tolist(),
            "ssim_tumour": ssim(reconstruction, image, tumour, span).tolist(),
            "mae": mae(reconstruction, image, brain).tolist(),
            "mae_tumour": mae(reconstruction, image, tumour).tolist(),
            "dice_real": region_dice(self.segment(image), mask),
            "dice_reconstruction": region_dice(self.segment(reconstruction), mask),
            "dice_samples": [region_dice(self.segment(sample), mask) for sample in samples],
            "order_real": has_expected_order(region_medians(image, mask, brain), self.contrasts),
            "order_samples": [
                has_expected_order(region_medians(s, mask, b), self.contrasts)
                for s, b in zip(samples, sample_brains, strict=True)
            ],
            "ms_ssim_reconstruction": similarity(image, reconstruction),
            "ms_ssim_samples": similarity(samples[0], samples[1]),
            "real_features": self.features(image),
            "sample_features": self.features(samples[0]),
        }
        if is_phantom(item):
            with tempfile.TemporaryDirectory() as folder:
                clean, _ = self.load(write_clean_twin(item, folder))
            record["psnr_bound"] = psnr(clean, image, brain & (clean != self.background).any(0), span).tolist()
        return record

    def _report(self, records: list[dict], floor: list[dict], training: list[dict]) -> Report:
        report = Report(
            "Evaluation of brain tumour multi-contrast synthesis",
            {
                "synthetic": True,
                **self.facts,
                "held-out cases": len(records),
                "samples per mask": self.num_samples,
                "seed": self.seed,
                "intervals": "95 % percentile bootstrap over cases",
                "intensity scale": "z-scores within the brain; data range of PSNR and SSIM: span from the 0.1 to the "
                "99.9 percentile of the reference inside the brain, per contrast",
            },
        )
        self._add_reconstruction(report, records)
        self._add_adherence(report, records)
        self._add_order(report, records)
        self._add_distribution(report, records, floor, training)
        rows = [
            {"pair": "two samples of one mask", "MS-SSIM": mean_with_interval([r["ms_ssim_samples"] for r in records])},
            {
                "pair": "volume and its reconstruction",
                "MS-SSIM": mean_with_interval([r["ms_ssim_reconstruction"] for r in records]),
            },
        ]
        report.add("Diversity", ("pair", "MS-SSIM"), rows, "Samples differ where the first figure is below the second.")
        features = None
        if training and self.extractors:
            real = (_all_contrasts(part, "real_features") for part in (training, records))
            features = (_all_contrasts(records, "sample_features"), *real)
        sets = CopySets(self.items, self.training_items, self.items)
        add_copies(report, self.output_dir, self.kept, sets, features)
        add_examples(report, self.output_dir, self.kept, self.items, Z_SHOWN)
        return report

    def _add_reconstruction(self, report: Report, records: list[dict[str, Any]]) -> None:
        columns = ["contrast", "PSNR", "SSIM", "MAE", "PSNR tumour", "SSIM tumour", "MAE tumour"]
        keys = ["psnr", "ssim", "mae", "psnr_tumour", "ssim_tumour", "mae_tumour"]
        with_bound = any("psnr_bound" in record for record in records)
        rows = []
        for channel, contrast in enumerate(self.contrasts):
            row: dict[str, Any] = {"contrast": contrast}
            row |= {
                c: mean_with_interval([r[k][channel] for r in records]) for c, k in zip(columns[1:], keys, strict=True)
            }
            if with_bound:
                row["PSNR bound"] = mean_with_interval([r["psnr_bound"][channel] for r in records if "psnr_bound" in r])
            rows.append(row)
        pooled: dict[str, Any] = {"contrast": "mean"}
        for column in columns[1:] + ["PSNR bound"] * with_bound:
            pooled[column] = sum(row[column]["mean"] for row in rows) / len(rows)
        note = "PSNR in dB, MAE in z-scores, inside the brain; 'tumour' inside the mask."
        if with_bound:
            note += " The bound is the PSNR of the phantom without its noise against the phantom with it."
        report.add("Reconstruction", columns + ["PSNR bound"] * with_bound, [*rows, pooled], note)

    def _add_adherence(self, report: Report, records: list[dict[str, Any]]) -> None:
        rows = []
        for name in NESTED_REGIONS:
            samples = [d[name] for r in records for d in r["dice_samples"]]
            per_case = [_mean([d[name] for d in r["dice_samples"]]) for r in records]
            rows.append(
                {
                    "region": name,
                    "samples": mean_with_interval(per_case),
                    "lowest sample": min((v for v in samples if v == v and v is not None), default=float("nan")),
                    "reconstructions": mean_with_interval([r["dice_reconstruction"][name] for r in records]),
                    "real images (ceiling)": mean_with_interval([r["dice_real"][name] for r in records]),
                }
            )
        note = (
            "Dice between the mask and a segmentation by a small network that was trained on the cohort's own images, "
            "never on samples."
        )
        report.add(
            "Adherence to the mask",
            ("region", "samples", "lowest sample", "reconstructions", "real images (ceiling)"),
            rows,
            note,
        )

    def _add_order(self, report: Report, records: list[dict[str, Any]]) -> None:
        rows = []
        for name in (*self.contrasts, "all four"):
            samples = [_order_of(order, name) for r in records for order in r["order_samples"]]
            real = [_order_of(r["order_real"], name) for r in records]
            rows.append(
                {
                    "contrast": name,
                    "samples": _mean(samples),
                    "real images": _mean(real),
                    "n samples": sum(v is not None for v in samples),
                }
            )
        note = (
            "Share of volumes whose medians of necrosis, enhancing rim, oedema and brain are in the expected order "
            f"from dark to bright; regions of fewer than {MIN_VOXELS} voxels are left out."
        )
        report.add("Order of intensities", ("contrast", "samples", "real images", "n samples"), rows, note)

    def _add_distribution(self, report: Report, records: list[dict], floor: list[dict], training: list[dict]) -> None:
        parts = (
            (records, "real_features"),
            (records, "sample_features"),
            (floor, "real_features"),
            (training, "real_features"),
        )
        compared: dict[str, dict[str, ComparedSets]] = {name: {} for name in self.extractors}
        for name in self.extractors:
            for channel, contrast in enumerate(self.contrasts):
                sets = (
                    FeatureSet.of_groups([[record[key][name][channel]] for record in part]) if part else None
                    for part, key in parts
                )
                compared[name][contrast] = ComparedSets(*sets)
        add_distribution(report, compared, self.extractors, "contrast")


def _all_contrasts(records: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(N, F): features of all contrasts of each case in one vector, by the first extractor."""
    return np.array([next(iter(record[key].values())) for record in records]).reshape(len(records), -1)


def _order_of(order: Mapping[str, bool | None], name: str) -> float | None:
    judged = [order[name]] if name in order else list(order.values())
    return None if None in judged else float(all(judged))


def _mean(values: Sequence[float | None]) -> float:
    finite = [value for value in values if value is not None and value == value]
    return sum(finite) / len(finite) if finite else float("nan")
