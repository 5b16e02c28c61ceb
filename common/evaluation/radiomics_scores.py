"""Radiomics of real and synthetic images, and their Fréchet distance beside its floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..io.files import sha256_of_json, write_json
from ..metrics.distribution_scores import FRECHET, distribution_scores
from ..metrics.feature_set import FeatureSet
from ..metrics.radiomics import DISTANCE_NAME, LEVELS, radiomics_distance, radiomics_vector
from ..reports.distribution_table import score_rows
from ..reports.report import Report
from .cases import mask_on
from .image_files import ImageFile
from .image_stream import ImageStream

NAME, DISTANCE = "Radiomics", "distance"
Vectors = Sequence[dict[str, float]]


def set_radiomics(stream: ImageStream, masks: Mapping[int, ImageFile] | None, records: Path) -> Vectors:
    """`radiomics_vector` of every image of a set, in its mask where masks are given; kept on disk.

    Args:
        stream: the images.
        masks: for numbers of images; images without one are left out. None for whole images.
        records: folder that keeps the vectors.
    """
    chosen = list(range(len(stream))) if masks is None else sorted(masks)
    named = [
        [number, masks[number].name, [path.stat().st_mtime_ns for path in masks[number].files]]
        for number in (chosen if masks is not None else ())
    ]
    facts = [stream.survey.sha256, stream.scale.words, stream.size, LEVELS, named]
    path = records / f"radiomics_{sha256_of_json(facts)[:16]}.json"
    if not path.is_file():
        vectors = []
        for number in tqdm(chosen, desc=f"radiomics of {stream.survey.title} images", unit="image"):
            image = stream[number]
            shape = stream.survey.looks[number].shape
            mask = mask_on(masks[number], shape, stream.size) if masks is not None else None
            vectors.append(radiomics_vector(image, mask, scale=(0.0, 1.0)))
        write_json(path, vectors)
    return json.loads(path.read_text())


def add_radiomics(report: Report, real: Vectors, synthetic: Vectors, region: str, seed: int = 0) -> None:
    """Append the table with the distance of two sets of vectors.

    Args:
        report: gets it.
        real, synthetic: see `radiomics_vector`.
        region: what the vectors describe, in words.
        seed: of bootstrap and floor.
    """
    found = radiomics_distance(real, synthetic)
    described = {"region": region, "features": len(found["features"])}
    rows: list[dict[str, Any]] = [
        described | {"n real": found["n_real"], "n synthetic": found["n_synthetic"], DISTANCE: "not defined"}
    ]
    if np.isfinite(found["distance"]):
        sets = [_features(vectors, found["features"]) for vectors in (real, synthetic)]
        scores = distribution_scores(*(part.standardized_by(sets[0]) for part in sets), seed=seed)
        kept = ("n real", "n synthetic", FRECHET)
        rows = [
            described | {DISTANCE if name == FRECHET else name: row[name] for name in kept}
            for row in score_rows(scores)
        ]
    report.add(NAME, list(rows[0]), rows, _note(found))


def _features(vectors: Vectors, names: Sequence[str]) -> FeatureSet:
    rows = np.array([[vector[name] for name in names] for vector in vectors], float)
    return FeatureSet.of_images(torch.from_numpy(rows[np.isfinite(rows).all(1)]))


def _note(found: Mapping[str, Any]) -> str:
    dropped = ", ".join(f"{name} ({reason})" for name, reason in found["dropped"].items())
    sentences = [
        f"{DISTANCE_NAME}: first-order, co-occurrence and, in masks, shape features on the report's intensity scale in "
        f"{LEVELS} grey levels, each scaled by the real set's mean and deviation. Shapes are measured in pixels or "
        "voxels, not millimetres.",
        f"Left out: {dropped}." if dropped else "",
        *(f"{note[0].upper()}{note[1:]}." for note in found["notes"]),
    ]
    return " ".join(sentence for sentence in sentences if sentence)
