"""Evaluate a mask-conditioned multi-contrast diffusion model on held-out cases: what the paper reports, done right.

Reconstruction by contrast and region, distribution distance with its real-against-real floor, adherence to the mask by
a frozen segmenter beside what that segmenter reaches on real images, order of intensities, diversity.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_json
from ..metrics.adherence import MIN_VOXELS, NESTED_REGIONS, has_expected_order, region_dice, region_medians
from ..metrics.distribution import frechet_distance, kernel_distance, standardize
from ..metrics.features import FeatureExtractor
from ..metrics.paired import mae, percentile_range, psnr, ssim
from ..metrics.ssim import ms_ssim
from ..metrics.uncertainty import mean_with_interval
from ..outputs import EVALUATION_RECORDS
from ..phantoms.clean_brats import is_phantom, write_clean_twin
from ..reports.report import Report
from ..sampling.plan import sample_seed
from ..transforms.multicontrast import brain_mask
from ..transforms.tumor_regions import region_channels
from ..weights import fingerprint

logger = logging.getLogger(__name__)


class MultiContrastEvaluation:
    """One evaluation run; records of finished cases are kept, so that a killed run goes on.

    Args:
        items: held-out datalist items.
        floor_items: further real cases, for the real-against-real floor of the distribution distances.
        preprocessing: from an item to `image` (C, X, Y, Z) in z-scores and canonical `label` (1, X, Y, Z).
        network: composite network with weights.
        segmenter: image to region logits (B, 4, X, Y, Z), trained on real images only.
        sampler: callable inferer.
        extractor: of the distribution distances.
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
        preprocessing: Callable[[dict], dict],
        network: Any,
        segmenter: torch.nn.Module,
        sampler: Any,
        extractor: FeatureExtractor,
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
        self.preprocessing, self.sampler, self.extractor = preprocessing, sampler, extractor
        self.network, self.segmenter = network.to(device).eval(), segmenter.to(device).eval()
        self.output_dir, self.contrasts, self.background = make_output_dir(output_dir), tuple(contrasts), background
        self.num_samples, self.seed, self.device = num_samples, seed, device
        self.facts = {**(facts or {}), "segmenter_sha256": fingerprint(segmenter), "background": background}

    def run(self) -> Report:
        """Evaluate every case, write `report.json` and `report.md`, return the report."""
        records = [self._cached(item, self.evaluate_case) for item in tqdm(self.items, desc="evaluating", unit="case")]
        floor = [
            self._cached(item, self._real_features) for item in tqdm(self.floor_items, desc="real floor", unit="case")
        ]
        report = self._report(records, floor)
        paths = report.write(self.output_dir)
        logger.info(f"report: {paths[1]}")
        return report

    def _cached(self, item: dict[str, Any], compute: Callable[[dict], dict]) -> dict[str, Any]:
        key = sha256_of_json([compute.__name__, item, self.facts, self.num_samples, self.seed, self.extractor.sha256])
        path = make_output_dir(self.output_dir / EVALUATION_RECORDS) / f"{item['case']}_{key[:12]}.json"
        if not path.is_file():
            write_json(path, compute(item))
        return json.loads(path.read_text())

    def load(self, item: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (C, X, Y, Z) in z-scores and canonical mask (X, Y, Z) of an item, on the network\'s grid."""
        data = self.preprocessing(dict(item))
        return torch.as_tensor(data["image"]).float(), torch.as_tensor(data["label"])[0].to(torch.uint8)

    def features(self, image: torch.Tensor) -> list[list[float]]:
        """The extractor\'s features of each channel."""
        return [self.extractor(channel[None, None])[0].tolist() for channel in image]

    def _real_features(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"real_features": self.features(self.load(item)[0])}

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

    def _report(self, records: list[dict[str, Any]], floor: list[dict[str, Any]]) -> Report:
        report = Report(
            "Evaluation of brain tumour multi-contrast synthesis",
            {
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
        self._add_distribution(report, records, floor)
        rows = [
            {"pair": "two samples of one mask", "MS-SSIM": mean_with_interval([r["ms_ssim_samples"] for r in records])},
            {
                "pair": "volume and its reconstruction",
                "MS-SSIM": mean_with_interval([r["ms_ssim_reconstruction"] for r in records]),
            },
        ]
        report.add("Diversity", ("pair", "MS-SSIM"), rows, "Samples differ where the first figure is below the second.")
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

    def _add_distribution(self, report: Report, records: list[dict[str, Any]], floor: list[dict[str, Any]]) -> None:
        rows = []
        for channel, contrast in enumerate(self.contrasts):
            real, fake, other = (
                torch.tensor([r[key][channel] for r in source])
                for source, key in ((records, "real_features"), (records, "sample_features"), (floor, "real_features"))
            )
            row: dict[str, Any] = {"contrast": contrast, "n": len(real)}
            if len(other) == len(real) > 1:
                real, fake, other = standardize(real, fake, other)
                row |= {"KID": kernel_distance(real, fake), "KID floor": kernel_distance(real, other)}
                enough = len(real) > real.shape[1]
                row["FD"] = frechet_distance(real, fake) if enough else f"n at most {real.shape[1]} features"
                row["FD floor"] = frechet_distance(real, other) if enough else ""
            else:
                row["KID"] = "needs as many further real cases"
            rows.append(row)
        note = (
            f"Features: {self.extractor.name}, sha256 {self.extractor.sha256[:16]}, "
            f"{len(records[0]['real_features'][0])} numbers a volume, standardised by the held-out real cases. "
            "KID is unbiased, FD (Fréchet) is biased upward at this n. The floor is held-out real against other real "
            "cases at the same n."
        )
        report.add("Distribution distance", ("contrast", "n", "KID", "KID floor", "FD", "FD floor"), rows, note)


def _order_of(order: Mapping[str, bool | None], name: str) -> float | None:
    judged = [order[name]] if name in order else list(order.values())
    return None if None in judged else float(all(judged))


def _mean(values: Sequence[float | None]) -> float:
    finite = [value for value in values if value is not None and value == value]
    return sum(finite) / len(finite) if finite else float("nan")
