"""Is it useful, for classification: one classifier trained on real, synthetic and all images, tested on real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file
from ..io.tables import write_csv
from ..knobs import as_path
from ..metrics.features import FeatureExtractor
from ..metrics.not_defined import value_or_reason
from ..outputs import EVALUATION_RECORDS
from ..reports.report import Report
from .cases import case_of, check_case_pattern
from .class_agreement import read_classes
from .feature_files import set_features
from .image_files import ImageFile, find_images
from .image_stream import ImageStream, check_sizes, scale_warning
from .intensity_scale import OWN, choose_scale
from .linear_probe import CaseScores, LabelledFeatures, classify, comparison_rows, score_rows
from .survey import Survey, shared_images, survey

REAL, SYNTHETIC, MIXED, TEST = "real", "synthetic", "real + synthetic", "test"
KNOBS = {REAL: "train_real", SYNTHETIC: "train_synthetic", TEST: "test"}
PREDICTIONS_CSV = "predictions.csv"
SCORES_NOTE = (
    "Tested on the same real cases; the score of a case is the mean over its images. AUC of more than two classes: "
    "mean over one against the rest. Intervals say how the result depends on the test cases, not on the training "
    "images; where every case is read right, or none, the bootstrap knows no uncertainty."
)
COMPARISON_NOTE = (
    "Baseline: trained on real images. Both are scored on the same cases within each resample. A difference whose "
    "interval holds 0, or a ratio whose interval holds 1, is no evidence of a difference, nor of equality: look how "
    "wide it is. Mixed training has more images than real training alone."
)


@dataclass
class DownstreamClassification:
    """One comparison.

    Attributes:
        train_real, train_synthetic, test: folders of images.
        classes: CSV file with the columns case and class, for the cases of all three; images of other cases are left
            out.
        output_dir: for report, `predictions.csv`, and records that let a killed run go on.
        extractors: by name, in the order of the report.
        patterns: by `train_real`, `train_synthetic` and `test`: which files of a folder are meant.
        case_pattern: see `case_of`.
        size, scale: see `check_sizes`, `choose_scale`; the scale is that of the real training images.
        slices: of a volume, across each axis, for two-dimensional extractors.
        seed: of the bootstrap.
    """

    train_real: str
    train_synthetic: str
    test: str
    classes: str
    output_dir: str
    extractors: Mapping[str, FeatureExtractor]
    patterns: Mapping[str, str | None] = field(default_factory=dict)
    case_pattern: str | None = None
    size: Sequence[int] | None = None
    scale: str | Sequence[float] = "set"
    slices: int = 8
    seed: int = 0

    def run(self) -> Report:
        """Train, test, write everything, return the report.

        Raises:
            InputError: what cannot be compared, and test cases among the training cases.
        """
        check_case_pattern(self.case_pattern)
        output = make_output_dir(self.output_dir)
        records = output / EVALUATION_RECORDS
        classes = read_classes(self.classes)
        report = Report("Downstream classification: real, synthetic and mixed training data")
        files = {title: self._find(title, classes, report) for title in (REAL, SYNTHETIC, TEST)}
        self._check_leak(files)
        surveys = {title: survey(title, found, records) for title, found in files.items()}
        size = check_sizes(list(surveys.values()), self.size)
        scale = choose_scale(self.scale, [(look.low, look.high) for look in surveys[REAL].looks])
        streams = {title: ImageStream(found, scale, size) for title, found in surveys.items()}
        report.warnings += self._warnings(surveys)
        self._add_facts(report, streams, classes)
        rows = []
        for name, extractor in self.extractors.items():
            report.facts[f"extractor {name}"] = f"{extractor.name}, sha256 {extractor.sha256[:16]}"
            parts = {title: self._features(stream, extractor, records, classes) for title, stream in streams.items()}
            rows += self._compare(report, name, parts)
        write_csv(output / PREDICTIONS_CSV, rows)
        report.write(output)
        return report

    def _find(self, title: str, classes: Mapping[str, str], report: Report) -> list[ImageFile]:
        knob = KNOBS[title]
        try:
            files = find_images(getattr(self, knob), self.patterns.get(knob))
        except InputError as error:
            raise InputError(f"{knob}: {error}") from error
        known = [file for file in files if case_of(file, self.case_pattern) in classes]
        if not known:
            case = case_of(files[0], self.case_pattern)
            raise InputError(
                f"{knob}: no image is of a case in {self.classes} ({files[0].name} would be of case {case}); see "
                "--case_pattern"
            )
        if len(known) < len(files):
            report.warnings.append(f"{len(files) - len(known)} {title} images have no class and are left out")
        return known

    def _check_leak(self, files: Mapping[str, Sequence[ImageFile]]) -> None:
        cases = {title: {case_of(file, self.case_pattern) for file in found} for title, found in files.items()}
        for title in (REAL, SYNTHETIC):
            shared = sorted(cases[title] & cases[TEST])
            if shared:
                raise InputError(
                    f"{KNOBS[title]}: {len(shared)} of the {len(cases[TEST])} test cases are among its cases, such as "
                    f"{shared[0]}: take them out of one set, or, if only names agree, rename them"
                )

    def _warnings(self, surveys: Mapping[str, Survey]) -> list[str]:
        warnings = [sentence for found in surveys.values() for sentence in found.warnings]
        for title in (REAL, SYNTHETIC):
            shared = shared_images(surveys[TEST], surveys[title])
            if shared:
                warnings.append(
                    f"{len(shared)} {title} training images equal test images to the last value, such as {shared[0]}: "
                    "the test is not held out"
                )
        for title in (SYNTHETIC, TEST):
            sentence = scale_warning(surveys[REAL], surveys[title]) if self.scale != OWN else None
            warnings += [sentence] if sentence else []
        return warnings

    def _add_facts(self, report: Report, streams: Mapping[str, ImageStream], classes: Mapping[str, str]) -> None:
        counts: dict[str, dict[str, int]] = {}
        for title, stream in streams.items():
            cases = [case_of(file, self.case_pattern) for file in stream.survey.files]
            named = TEST if title == TEST else f"{title} training"
            report.facts[f"{named} images"] = (
                f"{len(cases)} of {len(set(cases))} cases, fingerprint {stream.survey.sha256[:16]}"
            )
            counts[title] = Counter(classes[case] for case in cases)
            report.facts[f"{named} images by class"] = dict(sorted(counts[title].items()))
        present = sorted({name for found in counts.values() for name in found})
        for title, found in counts.items():
            absent = [name for name in present if not found.get(name)]
            if absent:
                report.warnings.append(f"no {title} image is of class {', '.join(absent)}: some scores are not defined")
        size = streams[REAL].size
        report.facts |= {
            "synthetic": True,
            "classes sha256": sha256_of_file(as_path(self.classes)),
            "resampled to": "x".join(map(str, size)) if size else "nothing was resampled",
            "intensity scale": streams[REAL].scale.words,
            "classifier": "logistic regression on standardised features, C = 1/F for F features, classes balanced",
            "intervals": f"95 % percentile bootstrap over test cases, the same for all, seed {self.seed}",
        }

    def _features(
        self, stream: ImageStream, extractor: FeatureExtractor, records: Path, classes: Mapping[str, str]
    ) -> LabelledFeatures:
        if extractor.spatial_dims == 3 and stream.survey.spatial_dims == 2:
            raise InputError(f"extractors: {extractor.name} takes volumes, these are images; choose another")
        planes = set_features(stream, extractor, records, self.slices)
        vectors = np.concatenate([found.means().double().numpy() for found in planes.values()], axis=1)
        cases = [case_of(file, self.case_pattern) for file in stream.survey.files]
        return LabelledFeatures(vectors, np.array(cases), np.array([classes[case] for case in cases]))

    def _compare(self, report: Report, extractor: str, parts: Mapping[str, LabelledFeatures]) -> list[dict[str, Any]]:
        """Append both tables of an extractor; returns the rows of `predictions.csv`."""
        training = {
            REAL: parts[REAL],
            SYNTHETIC: parts[SYNTHETIC],
            MIXED: parts[REAL].with_others(parts[SYNTHETIC]),
        }
        found: dict[str, CaseScores | str] = {}
        rows = []
        for title, images in training.items():
            result = value_or_reason(lambda images=images: classify(images, parts[TEST]))
            found[title] = result if isinstance(result, str) else result[1]
            rows += [] if isinstance(result, str) else _prediction_rows(extractor, title, *result)
        scored = [
            {"trained on": row["trained on"], "training images": len(training[row["trained on"]].cases)} | row
            for row in score_rows(found, self.seed)
        ]
        report.add(f"Classification by training data: {extractor}", list(scored[0]), scored, SCORES_NOTE)
        compared = comparison_rows(found, self.seed)
        report.add(f"Against real training data: {extractor}", list(compared[0]), compared, COMPARISON_NOTE)
        return rows


def _prediction_rows(extractor: str, title: str, cases: Sequence[str], scores: CaseScores) -> list[dict[str, Any]]:
    return [
        {
            "extractor": extractor,
            "trained on": title,
            "case": case,
            "class": scores.names[truth],
            "read as": scores.names[int(row.argmax())],
        }
        | {f"probability of {name}": float(value) for name, value in zip(scores.names, row, strict=True)}
        for case, truth, row in zip(cases, scores.truth, scores.scores, strict=True)
    ]
