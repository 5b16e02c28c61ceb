"""Evaluate lesion-conditioned MIP synthesis on held-out exams: what the paper reports, done right, and adherence.

Kapsner et al. 2024 report MS-SSIM between real and sampled MIPs of one mask and a Fréchet distance. Here stand beside
them: diversity among samples, floors from real images, and what an independent reader, trained on real images alone,
makes of each requested lesion and its BI-RADS class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.utils import convert_to_tensor
from PIL import Image
from tqdm import tqdm

from ..cohorts.lesion_classes import HEALTHY
from ..errors import InputError
from ..io.files import make_output_dir
from ..metrics.features import FeatureExtractor
from ..metrics.lesion_reading import DILATION_PX, false_lesions, read_lesions
from ..metrics.paired import mae, psnr, ssim
from ..metrics.ssim import ms_ssim
from ..outputs import CASES_CSV, CONFUSION_CHART, LESIONS_CSV, SAMPLES_SHEET
from ..reports.confusion_chart import save_confusion_chart
from ..reports.mip_pictures import class_picture, display, legend, mip_picture, outlined
from ..reports.mip_tables import add_all_tables, pooled_confusion
from ..reports.mip_values import write_case_values, write_lesion_values
from ..reports.pictures import mosaic, save_png
from ..reports.report import Figure, Report
from ..sampling.plan import sample_seed
from ..transforms.lesions import MIP_RANGE, class_map
from ..weights import fingerprint
from .case_records import CaseRecords
from .kept_images import REAL, SAMPLE, CopySets, KeptImages, add_copies

logger = logging.getLogger(__name__)
WINDOW = 11  # pixels; of SSIM and MS-SSIM, torchmetrics' default, which the paper used
SHEET_CASES, SHEET_SAMPLES = 4, 5
SYNTHETIC = "SYNTHETIC samples of a generative model"


class MipEvaluation:
    """One evaluation run; records of finished cases are kept, so that a killed run goes on.

    Args:
        items: held-out datalist items with `image` and `label`.
        floor_items: further real cases with `image`, for the real-against-real floor of the distribution distances.
        training_items: what the model was trained on, with `image`; copies of these are looked for.
        preprocessing: from an item to `image` (1, X, Y) in [-1, 1] and, where the item has a `label`, `label` (6, X, Y)
            condition channels, `instances` (X, Y) and `classes`, see `LoadLesionInstancesd`.
        network: composite network with weights.
        reader: image (B, 1, X, Y) to logits (B, 6, X, Y), background and classes 2 to 6; trained on real images only.
        sampler: callable inferer.
        extractors: of the distribution distances, by name; they get images in [0, 1].
        output_dir: for report, figures, tables and records.
        num_samples: per mask, at least 2 for diversity.
        seed: of the samples.
        facts: what the report states of weights and knobs; records of other facts are not reused.
        device: of networks and sampling.
        batch_size: samples at once.
        dilation_px: how far from a requested lesion the reader may find it, see `read_lesions`.

    Raises:
        InputError: no case, a case without lesion mask, too few samples, or a dilation that is not 0 or more.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        floor_items: Sequence[dict[str, Any]],
        training_items: Sequence[dict[str, Any]],
        preprocessing: Callable[[dict], dict],
        network: Any,
        reader: torch.nn.Module,
        sampler: Any,
        extractors: Mapping[str, FeatureExtractor],
        output_dir: str,
        num_samples: int = 10,
        seed: int = 0,
        facts: Mapping[str, Any] | None = None,
        device: str = "cpu",
        batch_size: int = 10,
        dilation_px: float = DILATION_PX,
    ) -> None:
        if not items:
            raise InputError("input: the datalist has no case in the sections to evaluate; see --sections")
        for item in items:
            if "label" not in item:
                raise InputError(f"input: case {item['case']} has no lesion mask; evaluate annotated cases only")
        if num_samples < 2:
            raise InputError(
                f"num_samples={num_samples}: the evaluation needs at least 2 samples a mask, for diversity"
            )
        if isinstance(dilation_px, bool) or not isinstance(dilation_px, (int, float)) or dilation_px < 0:
            raise InputError(f"dilation_px={dilation_px}: give a distance of 0 pixels or more")
        self.items, self.floor_items = list(items), list(floor_items)[: len(items)]
        self.training_items = list(training_items)
        self.preprocessing, self.sampler, self.extractors = preprocessing, sampler, dict(extractors)
        self.network, self.reader = network.to(device).eval(), reader.to(device).eval()
        self.output_dir, self.num_samples, self.seed = make_output_dir(output_dir), num_samples, seed
        self.device, self.batch_size, self.dilation_px = device, batch_size, dilation_px
        self.facts = {**(facts or {}), "reader_sha256": fingerprint(reader), "dilation_px": dilation_px}
        hashes = {name: extractor.sha256 for name, extractor in self.extractors.items()}
        self.records = CaseRecords(
            self.output_dir, {**self.facts, "extractors": hashes, "num_samples": num_samples, "seed": seed}
        )
        self.kept = KeptImages(self.records)

    def run(self) -> Report:
        """Evaluate every case; write the report, tables of single values and figures; return the report."""
        records = [
            self.records.get_or_make("case", item, self.evaluate_case)
            for item in tqdm(self.items, desc="evaluating", unit="case")
        ]
        floor, training = (
            [self.records.get_or_make("real", item, self.real_features) for item in tqdm(part, desc=title, unit="case")]
            for part, title in ((self.floor_items, "real floor"), (self.training_items, "training images"))
        )
        report = Report(
            "Evaluation of lesion-conditioned breast MIP synthesis",
            {
                "synthetic": True,
                **self.facts,
                "held-out cases": len(records),
                "samples per mask": self.num_samples,
                "seed": self.seed,
                "intervals": "95 % percentile bootstrap over cases; of shares of 0 and 1 Wilson's, n the cases",
                "intensity scale": "[-1, 1], data range 2; MS-SSIM and features on (x + 1) / 2, data range 1",
                "reader": "an independent network, trained on real images of the cohort alone, never on samples",
            },
        )
        add_all_tables(report, records, floor, training, self._between_cases(), self.extractors)
        sets = CopySets(self.items, self.training_items, self.items)
        add_copies(report, self.output_dir, self.kept, sets, copy_features(records, training))
        write_case_values(self.output_dir / CASES_CSV, records)
        write_lesion_values(self.output_dir / LESIONS_CSV, records)
        matrices = {"real": pooled_confusion(records, "real"), "SYNTHETIC": pooled_confusion(records, "samples")}
        save_confusion_chart(self.output_dir / CONFUSION_CHART, matrices)
        rows = [np.asarray(Image.open(self._picture(item)).convert("RGB")) for item in self.items[:SHEET_CASES]]
        save_png(self.output_dir / SAMPLES_SHEET, mosaic([[row] for row in rows], [SYNTHETIC]), SYNTHETIC)
        report.figures += [
            Figure("Samples", self.output_dir / SAMPLES_SHEET, "Mask, real image, samples."),
            Figure("Classes asked for and read", self.output_dir / CONFUSION_CHART),
        ]
        paths = report.write(self.output_dir)
        logger.info(f"report: {paths[1]}")
        return report

    def load(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """`image` (1, X, Y) and, of annotated cases, `label` (6, X, Y), `instances` (X, Y) and `classes`."""
        data = self.preprocessing(dict(item))
        loaded = {key: data[key] for key in ("instances", "classes") if key in data}
        return loaded | {key: convert_to_tensor(data[key]).float() for key in ("image", "label")}

    @torch.no_grad()
    def sample(self, conditions: torch.Tensor, seeds: Sequence[int], sampler: Any = None) -> torch.Tensor:
        """MIPs (B, 1, X, Y) for conditions (B, 6, X, Y), on the CPU, clipped to [-1, 1] as users get them."""
        sampler = self.sampler if sampler is None else sampler
        parts = [
            sampler(inputs=condition.to(self.device), network=self.network, seeds=seeds[start : start + len(condition)])
            for start, condition in zip(
                range(0, len(conditions), self.batch_size), conditions.split(self.batch_size), strict=True
            )
        ]
        return torch.cat([part.float().cpu() for part in parts]).clamp(*MIP_RANGE)

    @torch.no_grad()
    def read(self, image: torch.Tensor, loaded: Mapping[str, Any]) -> dict[str, Any]:
        """What the reader makes of an image (1, X, Y): `lesions` as `read_lesions`, number of `false` ones."""
        logits = self.reader(image[None].to(self.device))[0].float().cpu()
        return {
            "lesions": read_lesions(logits, loaded["instances"], loaded["classes"], self.dilation_px),
            "false": false_lesions(logits, loaded["instances"], self.dilation_px),
        }

    def features(self, images: torch.Tensor) -> dict[str, list[list[float]]]:
        """Features of images (B, 1, X, Y) by extractor."""
        return {name: extractor(unit_scale(images)).tolist() for name, extractor in self.extractors.items()}

    def real_features(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Features of a case's real image, which is kept."""
        image = self.load(item)["image"]
        self.kept.keep(REAL, item, display(unit_scale(image)[0].numpy()))
        return {"real_features": self.features(image[None])}

    @torch.no_grad()
    def evaluate_case(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """All figures of one case as JSON values; its row of the contact sheet is drawn beside the record."""
        loaded = self.load(item)
        image, lesions = loaded["image"], torch.from_numpy(loaded["instances"] > 0)
        mean, _ = self.network.encode(image[None].to(self.device))
        reconstruction = self.network.autoencoder.decode(mean)[0].float().cpu().clamp(*MIP_RANGE)
        seeds = [sample_seed(self.seed, item["case"], k) for k in range(self.num_samples)]
        samples = self.sample(loaded["label"][None].expand(self.num_samples, -1, -1, -1), seeds)
        self._draw(item, loaded, samples)
        self.kept.keep(SAMPLE, item, display(unit_scale(samples[0])[0].numpy()))
        self.kept.keep(REAL, item, display(unit_scale(image)[0].numpy()))
        span, everywhere = torch.tensor([MIP_RANGE[1] - MIP_RANGE[0]]), torch.ones_like(lesions)
        regions = {"image": everywhere, "lesions": lesions}
        return {
            "case": item["case"],
            "birads": max(loaded["classes"].values(), default=HEALTHY),
            "real": self.read(image, loaded),
            "reconstruction": self.read(reconstruction, loaded),
            "samples": [self.read(sample, loaded) for sample in samples],
            "ms_ssim_real": [similarity(image, sample) for sample in samples],
            "ms_ssim_samples": [similarity(a, b) for a, b in zip(samples, samples[1:], strict=False)],
            "ms_ssim_reconstruction": similarity(image, reconstruction),
            "psnr": {k: float(psnr(reconstruction, image, r, span)) for k, r in regions.items()},
            "ssim": {k: float(ssim(reconstruction, image, r, span, WINDOW)) for k, r in regions.items()},
            "mae": {k: float(mae(reconstruction, image, r)) for k, r in regions.items()},
            "real_features": self.features(image[None]),
            "sample_features": self.features(samples),
        }

    def _between_cases(self) -> list[float]:
        """MS-SSIM of each real image with the next case's, which images that share no mask have."""
        images = [self.load(item)["image"] for item in self.items]
        return [similarity(first, second) for first, second in zip(images, images[1:], strict=False)]

    def _picture(self, item: Mapping[str, Any]) -> Any:
        return self.records.path("case", item).with_suffix(".png")

    def _draw(self, item: Mapping[str, Any], loaded: Mapping[str, Any], samples: torch.Tensor) -> None:
        classes = class_map(loaded["label"]).numpy()
        shown = samples[:SHEET_SAMPLES, 0].numpy()
        row = [class_picture(classes), outlined(loaded["image"][0].numpy(), classes), *(mip_picture(s) for s in shown)]
        captions = ["mask", "real", *(f"sample {k}, SYNTHETIC" for k in range(len(shown)))]
        title = f"{item['case']}: {legend(list(loaded['classes'].values()))}"
        save_png(self._picture(item), mosaic([row], captions, title), SYNTHETIC)


def copy_features(
    records: Sequence[Mapping[str, Any]], training: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Features of first samples, training images and held-out images by the first extractor; None without them."""
    name = next(iter(records[0]["real_features"]), None)
    if name is None or not training:
        return None
    samples = np.array([record["sample_features"][name][0] for record in records])
    return samples, *(np.array([r["real_features"][name][0] for r in part]) for part in (training, records))


def unit_scale(images: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] to [0, 1]."""
    return (images - MIP_RANGE[0]) / (MIP_RANGE[1] - MIP_RANGE[0])


def similarity(first: torch.Tensor, second: torch.Tensor) -> float:
    """MS-SSIM of two images (1, X, Y) in [-1, 1] with torchmetrics' defaults, data range 1 on (x + 1) / 2."""
    pair = unit_scale(first[None]), unit_scale(second[None])
    return float(ms_ssim(*pair, data_range=1.0, window_size=WINDOW))
