"""The evaluation of anybody's synthetic images against anybody's real ones: is it good, is it new."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.files import make_output_dir
from ..io.tables import write_csv
from ..metrics.copies import CopyReport, check_gate, find_copies
from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from ..metrics.learned_distance import LearnedDistance
from ..outputs import CASES_CSV, COPIES_CSV, COPY_SHEET, EVALUATION_RECORDS, SAMPLES_SHEET
from ..reports.contact_sheet import save_contact_sheet
from ..reports.copy_sheet import save_copy_sheet
from ..reports.distribution_table import ComparedSets, add_distribution
from ..reports.report import Figure, Report
from .adherence import add_adherence, score_masks
from .bundle_runs import bundle_weights, run_bundle
from .cases import case_of, check_case_pattern, indices_by_case, masks_of
from .class_agreement import FrozenClassifier, add_class_agreement
from .diversity import add_diversity
from .feature_files import PLANES, WHOLE, set_features
from .image_files import ImageFile, find_images
from .image_stream import ImageStream, check_sizes, middle_slice, scale_warning
from .intensity_scale import choose_scale
from .memorisation import add_memorisation, copy_rows
from .paired_scores import add_pairs
from .radiomics_scores import add_radiomics, set_radiomics
from .survey import Survey, shared_images, survey

logger = logging.getLogger(__name__)
# What bundles and cohorts write beside their images.
HELPERS = re.compile(r"(^|/)preview$|[_-](mask|seg|label|samples)$|\.seg$", re.IGNORECASE)
SHEET_IMAGES = 16


@dataclass
class Suite:
    """One evaluation.

    Attributes:
        real, synthetic: folders.
        output_dir: for report, figures, tables of single values, and records that let a killed run go on.
        masks: folder of masks of the synthetic images (their conditions) or of real ones, by case; None for none.
        train, validation: folders of the images that the generator was trained on, and of real ones that it was not.
        extractors: by name, in the order of the report.
        learned: LPIPS; None to leave it out.
        patterns: by `real`, `synthetic`, `masks`, `training`, `validation`: which files of a folder are meant.
        case_pattern: regular expression whose first group is the case; see `case_of`.
        paired: compare images of equal cases; None for where such are there.
        size, scale: see `check_sizes`, `choose_scale`.
        slices: of a volume, across each axis, for two-dimensional extractors.
        segmenter: folder of a frozen MONAI bundle that finds the masks; None to leave adherence out.
        classifier: a frozen classifier with its hash and class names; None to leave class agreement out.
        gate: largest share of copies that is accepted; None for no gate.
        copy_threshold: distance at or below which an image is a copy; None to calibrate it.
        device: of the segmenter.
        seed: of everything that is drawn.
        facts: further facts for the report.
    """

    real: str
    synthetic: str
    output_dir: str
    masks: str | None = None
    train: str | None = None
    validation: str | None = None
    extractors: Mapping[str, FeatureExtractor] = field(default_factory=dict)
    learned: LearnedDistance | None = None
    patterns: Mapping[str, str | None] = field(default_factory=dict)
    case_pattern: str | None = None
    paired: bool | None = None
    size: Sequence[int] | None = None
    scale: str | Sequence[float] = "set"
    slices: int = 8
    segmenter: str | None = None
    classifier: FrozenClassifier | None = None
    gate: float | None = None
    copy_threshold: float | None = None
    device: str = "cpu"
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> Report:
        """Evaluate, write everything, return the report.

        Raises:
            InputError: what cannot be compared; or, after everything is written, the gate.
        """
        check_case_pattern(self.case_pattern)
        if self.gate is not None and self.train is None:
            raise InputError("gate: copies are looked for among the training images; name their folder by --train")
        self._check_output()
        output = make_output_dir(self.output_dir)
        records = output / EVALUATION_RECORDS
        files = {title: self._find(title, folder) for title, folder in self._folders().items() if folder is not None}
        surveys = {title: survey(title, found, records) for title, found in files.items()}
        size = check_sizes(list(surveys.values()), self.size)
        looks = surveys["real"].looks
        scale = choose_scale(self.scale, [(look.low, look.high) for look in looks])
        streams = {title: ImageStream(found, scale, size) for title, found in surveys.items()}
        report = Report("Evaluation of synthetic images", self._facts(streams))
        report.warnings += self._warnings(surveys)
        masks = {title: self._masks(surveys[title]) for title in ("real", "synthetic")}
        if self.masks is not None and not any(masks.values()):
            raise InputError(
                f"masks {self.masks}: no mask has the name of an image (such as {surveys['real'].files[0].stem}); name "
                "them alike, or give --case_pattern with the part that both share in brackets"
            )
        if self.segmenter is not None:
            bundle_weights(self.segmenter)  # whether it is one, before anything takes long
        if self.segmenter is not None and masks["synthetic"] is None:
            raise InputError("segmenter: what synthetic images should show is said by --masks; name their folder")
        if self.classifier is not None and not self.classifier.knows(streams["synthetic"], self.case_pattern):
            raise InputError("classes: no synthetic image is of a case in it; see --case_pattern")
        features = self._distribution(report, streams, records)
        inside = masks["real"] is not None and masks["synthetic"] is not None
        if self.masks is not None:
            counts = [f"{len(found or ())} of {len(streams[title])} {title}" for title, found in masks.items()]
            report.facts["masks"] = f"of {' and '.join(counts)} images"
            if not inside:
                alone = "real" if masks["real"] is None else "synthetic"
                report.warnings.append(f"masks: none is of a {alone} image; radiomics are those of whole images")
        vectors = [set_radiomics(streams[title], masks[title] if inside else None, records) for title in masks]
        add_radiomics(report, *vectors, "masks" if inside else "whole images", self.seed)
        self._adherence(report, surveys, masks, records)
        self._class_agreement(report, streams)
        conditions = indices_by_case(surveys["synthetic"], self.case_pattern)
        self._pairs(report, streams, masks["real"], output)
        first = next(iter(features.values()), {})
        plane = next((name for name in (WHOLE, PLANES[-1]) if name in first), None)
        vectors = (first[plane].real, first[plane].synthetic) if plane else None
        real_cases = indices_by_case(surveys["real"], self.case_pattern)
        add_diversity(report, streams["real"], streams["synthetic"], (real_cases, conditions), vectors, self.seed)
        copies = self._copies(report, streams, first.get(plane) if plane else None, output) if self.train else None
        self._sheet(report, streams, output)
        paths = report.write(output)
        logger.info(f"report: {paths[1]}")
        if copies is not None and self.gate is not None:
            check_gate(copies, self.gate, sheet=str(output / COPY_SHEET))
        return report

    def _check_output(self) -> None:
        place = Path(self.output_dir).resolve()
        for title, folder in (self._folders() | {"masks": self.masks}).items():
            if folder is not None and Path(folder).resolve() in (place, *place.parents):
                raise InputError(
                    f"output_dir {self.output_dir}: lies in {folder}, which is searched for {title} images with all "
                    "folders below it; choose another folder"
                )

    def _folders(self) -> dict[str, str | None]:
        return {
            "real": self.real,
            "synthetic": self.synthetic,
            "training": self.train,
            "validation": self.validation,
        }

    def _find(self, title: str, folder: str) -> list[ImageFile]:
        pattern = self.patterns.get(title)
        try:
            found = find_images(folder, pattern)
        except InputError as error:
            raise InputError(f"{title}: {error}") from error
        if title == "masks" or pattern is not None and not pattern.startswith("*."):
            return found
        kept = [file for file in found if not HELPERS.search(file.name)]
        if kept and len(kept) < len(found):
            logger.warning(f"{title}: {len(found) - len(kept)} masks and previews are left out; a pattern names others")
        return kept or found

    def _facts(self, streams: Mapping[str, ImageStream]) -> dict[str, Any]:
        facts: dict[str, Any] = {"synthetic": True, **self.facts}
        for title, stream in streams.items():
            shape = "x".join(map(str, stream.survey.shapes.most_common(1)[0][0]))
            facts[f"{title} images"] = f"{len(stream)} of {shape}, fingerprint {stream.survey.sha256[:16]}"
        size = streams["real"].size
        facts["resampled to"] = "x".join(map(str, size)) if size else "nothing was resampled"
        facts["intensity scale"] = streams["real"].scale.words
        facts["seed"] = self.seed
        if self.learned is not None:
            facts["LPIPS network"] = f"{self.learned.name}, sha256 {self.learned.sha256}"
        return facts

    def _warnings(self, surveys: Mapping[str, Survey]) -> list[str]:
        real = surveys["real"]
        warnings = [sentence for found in surveys.values() for sentence in found.warnings]
        for title, other in surveys.items():
            if title == "real":
                continue
            shared = shared_images(real, other)
            if shared and title != "synthetic":
                warnings.append(
                    f"{len(shared)} {title} images are in the real set too, such as {shared[0]}: not held out"
                )
            elif shared:
                warnings.append(
                    f"{len(shared)} synthetic images equal real ones to the last value, such as {shared[0]}"
                )
            sentence = scale_warning(real, other) if self.scale != "image" else None
            warnings += [sentence] if sentence else []
        if self.size is not None:
            warnings.append(f"images were resampled to {'x'.join(map(str, self.size))} as asked for")
        return warnings

    def _distribution(
        self, report: Report, streams: Mapping[str, ImageStream], records: Path
    ) -> dict[str, dict[str, ComparedSets]]:
        compared: dict[str, dict[str, ComparedSets]] = {}
        for name, extractor in self.extractors.items():
            sets = {title: set_features(stream, extractor, records, self.slices) for title, stream in streams.items()}
            compared[name] = {
                plane: ComparedSets(
                    sets["real"][plane],
                    sets["synthetic"][plane],
                    _entry(sets, "validation", plane),
                    _entry(sets, "training", plane),
                )
                for plane in sets["real"]
            }
        if compared:
            group = "plane" if streams["real"].survey.spatial_dims == 3 else "images"
            scored = compared
            if self.case_pattern is not None:
                cases = {title: self._case_numbers(stream.survey) for title, stream in streams.items()}
                scored = {
                    name: {plane: sets.by_case(cases) for plane, sets in planes.items()}
                    for name, planes in compared.items()
                }
                report.facts["n of distribution scores"] = "cases, by case_pattern; images of a case are drawn together"
            add_distribution(report, scored, self.extractors, group, self.seed)
        return compared

    def _case_numbers(self, images: Survey) -> list[int]:
        """The case of each image as a number, in the order in which cases first occur."""
        numbers: dict[str, int] = {}
        return [numbers.setdefault(case_of(file, self.case_pattern), len(numbers)) for file in images.files]

    def _masks(self, images: Survey) -> dict[int, ImageFile] | None:
        """The masks of a set by number; None where there are none at all, or none of this set's cases."""
        if self.masks is None:
            return None
        return masks_of(images, self._find("masks", self.masks), self.case_pattern) or None

    def _pairs(
        self,
        report: Report,
        streams: Mapping[str, ImageStream],
        masks: Mapping[int, ImageFile] | None,
        output: Path,
    ) -> None:
        real, synthetic = streams["real"], streams["synthetic"]
        shared = {case_of(f, self.case_pattern) for f in real.survey.files}
        there = any(case_of(file, self.case_pattern) in shared for file in synthetic.survey.files)
        if self.paired is False or (self.paired is None and not there):
            return
        cases = indices_by_case(real.survey, self.case_pattern)
        several = next((case for case, found in cases.items() if len(found) > 1), None)
        if self.paired is None and several is not None:
            report.warnings.append(f"pairs are left out: case {several} has several real images")
            return
        if self.paired is None and self.case_pattern is None:
            report.warnings.append("pairs rest on equal file names alone; --paired False leaves them out")
        rows = add_pairs(report, real, synthetic, self.case_pattern, masks, self.learned, self.seed)
        write_csv(output / CASES_CSV, rows)

    def _adherence(
        self,
        report: Report,
        surveys: Mapping[str, Survey],
        masks: Mapping[str, Mapping[int, ImageFile] | None],
        records: Path,
    ) -> None:
        if self.segmenter is None:
            return
        weights = bundle_weights(self.segmenter)
        scores = {}
        for title in ("synthetic", "real"):
            chosen = masks[title]
            if chosen is not None:
                files = [surveys[title].files[number] for number in chosen]
                found = run_bundle(self.segmenter, files, make_output_dir(records / f"segmenter_{title}"), self.device)
                scores[title] = score_masks(surveys[title], chosen, found)
        name = f"{Path(self.segmenter).resolve().name} (weights sha256 {weights[:16]})"
        add_adherence(report, scores, name, self.seed)

    def _class_agreement(self, report: Report, streams: Mapping[str, ImageStream]) -> None:
        if self.classifier is None:
            return
        readings = {
            title: self.classifier.read(streams[title], self.case_pattern)
            for title in ("synthetic", "real")
            if title == "synthetic" or self.classifier.knows(streams[title], self.case_pattern)
        }
        add_class_agreement(report, readings, self.classifier.names, self.classifier.sha256, self.seed)

    def _copies(
        self, report: Report, streams: Mapping[str, ImageStream], sets: ComparedSets | None, output: Path
    ) -> CopyReport:
        vectors = None
        if sets is not None and sets.training is not None:
            parts = (sets.synthetic, sets.training, sets.floor)
            vectors = tuple(part.means().numpy() if part is not None else None for part in parts)
        found = find_copies(
            streams["synthetic"],
            streams["training"],
            streams.get("validation"),
            vectors,
            threshold=self.copy_threshold,
            training_groups=None
            if self.case_pattern is None
            else [case_of(file, self.case_pattern) for file in streams["training"].survey.files],
        )
        add_memorisation(report, found, self.gate)
        save_copy_sheet(output / COPY_SHEET, found, streams["synthetic"].named, streams["training"].named)
        report.figures.append(
            Figure("Closest pairs, pictures", output / COPY_SHEET, "Synthetic, nearest training, difference.")
        )
        write_csv(output / COPIES_CSV, copy_rows(found))
        return found

    def _sheet(self, report: Report, streams: Mapping[str, ImageStream], output: Path) -> None:
        rng = np.random.default_rng([self.seed, 6])
        shown = []
        for title in ("real", "synthetic"):
            stream = streams[title]
            chosen = sorted(rng.permutation(len(stream))[:SHEET_IMAGES])
            shown.append([middle_slice(stream[k]) for k in chosen])
        save_contact_sheet(output / SAMPLES_SHEET, *shown)
        report.figures.append(Figure("Examples", output / SAMPLES_SHEET, "Drawn at random, on the report's scale."))


def _entry(sets: Mapping[str, Mapping[str, FeatureSet]], title: str, plane: str) -> FeatureSet | None:
    return sets[title][plane] if title in sets else None
