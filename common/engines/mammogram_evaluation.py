"""Evaluate mammogram synthesis on held-out images: is there what was asked for, and is a painted lesion seen as one.

Montoya-del-Angel et al. 2023 (arXiv 2311.09822) report a reader test, MS-SSIM over guidance, and heat maps of a
diagnosis system on one image. Here stand measured attributes beside those of real images, also for combinations that
training never saw, contrast and heat maps of many painted lesions beside those of real ones, and distances between
distributions beside their floor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json
from ..metrics.mammogram_attributes import DensityScale
from ..outputs import CAD_FIGURE, CASES_CSV, LESIONS_CSV, SAMPLES_SHEET
from ..reports.heat_map_pictures import save_heat_map_figure
from ..reports.mammogram_pictures import picture
from ..reports.mammogram_tables import Records, add_all_tables
from ..reports.mammogram_values import write_image_values, write_painting_values
from ..reports.pictures import mosaic, save_png
from ..reports.report import Figure, Report
from ..sampling.attribute_requests import (
    SEEN,
    UNSEEN,
    asked_of,
    combination_of,
    seen_requests,
    unseen_combinations,
    unseen_requests,
)
from ..sampling.plan import sample_seed
from ..weights import fingerprint
from .case_records import CaseRecords
from .kept_images import REAL, SAMPLE, CopySets, KeptImages, add_copies
from .mammogram_judge import MammogramJudge, similarity
from .mammogram_painting_check import CORE, PaintingCheck

logger = logging.getLogger(__name__)
SYNTHETIC = "SYNTHETIC images of a generative model"
SHEET_COLUMNS, SHEET_HEIGHT = 6, 256


class MammogramEvaluation:
    """One evaluation run; records of finished cases are kept, so that a killed run goes on.

    Args:
        judge: networks, sampler and instruments.
        items: held-out datalist items.
        floor_items: further real images, for the density scale and the floor of the distribution distances.
        training_items: those that the model was trained on, which tell what combinations it has seen, and among which
            copies are looked for.
        unseen_items: real images of combinations that it has not seen; may be empty.
        output_dir: for report, figures, tables and records.
        unseen: see `unseen_combinations`.
        facts: what the report states of weights and knobs; records of other facts are not reused.
        num_prompts: how many sentences of seen, and about how many of unseen combinations.
        num_seeds: images of each sentence, at least 2.
        num_scale_images: real images on which density is calibrated, at most.
        num_paintings: healthy images that are painted into, at most.
        num_heat_maps: of these with a malignant lesion, those whose heat maps are drawn, at most.
        lesion_types: of lesions whose malignancy the classifier was taught; None for all.
        seed: of the samples and of what is chosen.

    Raises:
        InputError: no case, or fewer than 2 seeds.
    """

    def __init__(
        self,
        judge: MammogramJudge,
        items: Sequence[dict[str, Any]],
        floor_items: Sequence[dict[str, Any]],
        training_items: Sequence[dict[str, Any]],
        unseen_items: Sequence[dict[str, Any]],
        output_dir: str,
        unseen: Any = None,
        facts: Mapping[str, Any] | None = None,
        num_prompts: int = 48,
        num_seeds: int = 2,
        num_scale_images: int = 400,
        num_paintings: int = 96,
        num_heat_maps: int = 24,
        lesion_types: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        if not items:
            raise InputError("input: the datalist has no case in the sections to evaluate; see --sections")
        if num_seeds < 2:
            raise InputError(f"num_seeds={num_seeds}: the evaluation needs at least 2 images a sentence, for diversity")
        self.judge, self.items, self.unseen_items = judge, list(items), list(unseen_items)
        self.floor_items, self.num_seeds, self.seed = list(floor_items), num_seeds, seed
        self.training_items = list(training_items)
        self.num_scale_images, self.num_heat_maps = num_scale_images, num_heat_maps
        self.output_dir = make_output_dir(output_dir)
        combinations = unseen_combinations(training_items, unseen)
        self.requests = {
            SEEN: [
                request
                for request in seen_requests(items, num_prompts, seed)
                if combination_of(request["asked"]) not in combinations
            ],
            UNSEEN: unseen_requests(combinations, judge.classes.get("view", ()), num_prompts),
        }
        self.paintings = PaintingCheck(judge, items, num_paintings, seed, lesion_types)
        readers = {"reader_sha256": fingerprint(judge.reader), "cad_sha256": fingerprint(judge.cad)}
        self.facts = {**(facts or {}), **readers, "soft_edge": judge.soft_edge, "seed": seed}
        self.facts |= {"painting_guidance": judge.painting_guidance}
        self.facts |= {"lesion types of the classifier": lesion_types or "all", "core of a lesion's mask": CORE}
        hashes = {name: extractor.sha256 for name, extractor in judge.extractors.items()}
        self.records = CaseRecords(self.output_dir, {**self.facts, "extractors": hashes})
        self.kept = KeptImages(self.records)

    def run(self) -> Report:
        """Evaluate; write the report, tables of single values and figures; return the report."""
        found = self.collect()
        report = Report("Evaluation of mammogram synthesis", {"synthetic": True, **self.facts, **self._counts(found)})
        add_all_tables(report, found, self.judge.extractors, self.real_similarities())
        self._add_copies(report, found)
        write_image_values(self.output_dir / CASES_CSV, found)
        write_painting_values(self.output_dir / LESIONS_CSV, found.paintings)
        self._draw_sheet()
        rows = self.paintings.figure_rows()
        if rows:
            save_heat_map_figure(self.output_dir / CAD_FIGURE, rows, f"{SYNTHETIC}, and where a classifier looks")
        for title, name in (("Samples", SAMPLES_SHEET), ("Where a classifier looks", CAD_FIGURE)):
            if (self.output_dir / name).is_file():
                report.figures.append(Figure(title, self.output_dir / name))
        paths = report.write(self.output_dir)
        logger.info(f"report: {paths[1]}")
        return report

    def collect(self) -> Records:
        """Every record of the evaluation, made now where it is not there yet."""
        scale = self.density_scale()
        measured_by = None if scale is None else sha256_of_json({name: list(cuts) for name, cuts in scale.cuts.items()})
        real = self._each(["real", measured_by], self.items, lambda item: self.judge_real(item, scale), "real images")
        real_unseen = self._each(
            ["real", measured_by], self.unseen_items, lambda item: self.judge_real(item, scale), "unseen, real"
        )
        floor, training = (
            self._each("floor", part, self.real_features, title)
            for part, title in ((self.floor_sample(), "real floor"), (self.training_items, "training images"))
        )
        drawn = {
            group: self._each(
                ["drawn", measured_by], requests, lambda request: self.judge_drawn(request, scale), f"drawing, {group}"
            )
            for group, requests in self.requests.items()
        }
        return Records(real, real_unseen, floor, training, drawn[SEEN], drawn[UNSEEN], self._painted(), scale)

    def _add_copies(self, report: Report, found: Records) -> None:
        """Copies of training images among the first images of all sentences."""
        requests, drawn = [*self.requests[SEEN], *self.requests[UNSEEN]], [*found.drawn_seen, *found.drawn_unseen]
        name = next(iter(self.judge.extractors), None)
        features = None
        if name is not None and found.training:
            real = ([record["features"][name] for record in part] for part in (found.training, found.real))
            features = tuple(map(np.array, ([record["features"][0][name] for record in drawn], *real)))
        sets = CopySets(requests, self.training_items, self.items)
        add_copies(report, self.output_dir, self.kept, sets, features)

    def density_scale(self) -> DensityScale | None:
        """The density scale of real images that are not judged; None, with a warning, where they cannot carry one."""
        known = [item for item in self.floor_items if item.get("density") and "view" in item]
        order = np.random.default_rng([self.seed, 3]).permutation(len(known))[: self.num_scale_images]
        chosen = [known[k] for k in sorted(order)]
        names = {"case": "density_scale", "images": [item["image"] for item in chosen]}
        content = self.records.get_or_make(
            "scale", names, lambda _: {"indices": [self.judge.index(i) for i in tqdm(chosen, desc="density scale")]}
        )
        try:
            return DensityScale.fit([entry for entry in content["indices"] if entry["index"] is not None])
        except InputError as error:
            logger.warning(f"{error}; density is only read, not measured")
            return None

    def judge_real(self, item: Mapping[str, Any], scale: DensityScale | None) -> dict[str, Any]:
        """Attributes and features of a real image, and the classifier's score."""
        image, asked = self.judge.load(item)["image"], asked_of(item)
        self.kept.keep(REAL, item, image)
        return {
            "case": item["case"],
            "patient": item.get("patient", item["case"]),
            "asked": asked,
            "measured": self.judge.measure(image, asked, scale),
            "lesions": [[lesion.get("type"), lesion.get("pathology")] for lesion in item.get("lesions", [])],
            "score": self.judge.malignancy(image),
            "features": self.judge.features(image),
        }

    def real_features(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Features of a real image, which is kept."""
        image = self.judge.load(item)["image"]
        self.kept.keep(REAL, item, image)
        return {"features": self.judge.features(image)}

    def judge_drawn(self, request: Mapping[str, Any], scale: DensityScale | None) -> dict[str, Any]:
        """Attributes and features of each image of a sentence, and the similarity of neighbours."""
        images = self.draw(request)
        self.kept.keep(SAMPLE, request, images[0])
        return {
            "case": request["case"],
            "prompt": request["prompt"],
            "asked": request["asked"],
            "measured": [self.judge.measure(image, request["asked"], scale) for image in images],
            "ms_ssim": [similarity(a, b) for a, b in zip(images, images[1:], strict=False)],
            "features": [self.judge.features(image) for image in images],
        }

    def draw(self, request: Mapping[str, Any], count: int | None = None) -> np.ndarray:
        """The images (N, H, W) of a sentence: as many as there are seeds, or the first `count`."""
        count = self.num_seeds if count is None else count
        seeds = [sample_seed(self.seed, request["case"], k) for k in range(count)]
        return self.judge.draw([request["prompt"]] * count, seeds)

    def floor_sample(self) -> list[dict[str, Any]]:
        """As many further real images as there are sentences of seen combinations, at random."""
        order = np.random.default_rng([self.seed, 4]).permutation(len(self.floor_items))
        return [self.floor_items[k] for k in sorted(order[: len(self.requests[SEEN])])]

    def _painted(self) -> list[dict[str, Any]]:
        found, explained = [], 0
        for pair in tqdm(self.paintings.pairs, desc="painting", unit="case"):
            explain = self.paintings.is_known(pair) and explained < self.num_heat_maps
            kind = ["painted", explain, pair[1]["case"], pair[2]["number"]]
            found.append(
                self.records.get_or_make(
                    kind, pair[0], lambda _, pair=pair, explain=explain: self.paintings.evaluate(pair, explain)
                )
            )
            explained += "heat_maps" in found[-1]
        return found

    def _each(self, kind: Any, items: Sequence[Mapping[str, Any]], make: Any, title: str) -> list[dict[str, Any]]:
        return [self.records.get_or_make(kind, item, make) for item in tqdm(items, desc=title, unit="case")]

    def real_similarities(self) -> list[float]:
        """MS-SSIM of two real images of different patients with the same attributes; a pair for each sentence."""
        pool, found = [*self.items, *self.floor_items], []
        for request in self.requests[SEEN]:
            own = request["like"]
            others = (i for i in pool if asked_of(i) == request["asked"] and i.get("patient") != own.get("patient"))
            other = next(others, None)
            if other is not None:
                found.append(similarity(*(self.judge.load(item)["image"] for item in (own, other))))
        return found

    def _draw_sheet(self) -> None:
        """Real images above images drawn from their attributes."""
        different = list({request["prompt"]: request for request in self.requests[SEEN]}.values())[:SHEET_COLUMNS]
        if not different:
            return
        real = [picture(self.judge.load(request["like"])["image"], SHEET_HEIGHT) for request in different]
        drawn = [picture(self.draw(request, 1)[0], SHEET_HEIGHT) for request in different]
        captions = [", ".join(str(word) for word in request["asked"].values() if word) for request in different]
        save_png(
            self.output_dir / SAMPLES_SHEET,
            mosaic([real, drawn], captions, "above real images, below SYNTHETIC ones of the same attributes"),
            SYNTHETIC,
        )

    def _counts(self, found: Records) -> dict[str, Any]:
        return {
            "held-out images": len(found.real),
            "their patients": len({record["patient"] for record in found.real}),
            "sentences, seen and unseen": [len(found.drawn_seen), len(found.drawn_unseen)],
            "images a sentence": self.num_seeds,
            "paintings": len(found.paintings),
            "intervals": "95 % percentile bootstrap over patients (real images), sentences (drawn ones) or source "
            "lesions (painted ones); of shares of 0 and 1 Wilson's, with that number for n",
            "intensity scale": "display values in [0, 1]",
            "readers": "two independent networks, trained on real images alone, never on samples",
        }
