"""The tables of an evaluation of MIP synthesis, from the records of its cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..cohorts.lesion_classes import CLASSES
from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from ..metrics.lesion_reading import agreement, confusion_matrix, quadratic_kappa
from ..metrics.uncertainty import mean_with_interval, ratio_with_interval, share_with_interval, statistic_with_interval
from .distribution_table import ComparedSets, add_distribution
from .report import Report

IMAGES = ("samples", "reconstruction", "real")
AGREEMENT_FLOOR = 0.8  # share of the agreement on real images that samples have to reach
Records = Sequence[Mapping[str, Any]]


def add_all_tables(
    report: Report,
    records: Records,
    floor: Records,
    training: Records,
    between_cases: Sequence[float],
    extractors: Mapping[str, FeatureExtractor],
) -> None:
    """Append every table to a report.

    Args:
        report: gets the tables.
        records: of the held-out cases, see `MipEvaluation.evaluate_case`.
        floor: `real_features` of further real cases.
        training: `real_features` of the training cases.
        between_cases: MS-SSIM of real images of different cases.
        extractors: by name.
    """
    _add_similarity(report, records, between_cases)
    _add_distribution(report, records, floor, training, extractors)
    _add_adherence(report, records)
    _add_false_lesions(report, records)
    _add_agreement(report, records)
    _add_comparison(report, records)
    for images, name in (("real", "real images"), ("samples", "samples")):
        _add_confusion(report, records, images, name)
    _add_reconstruction(report, records)


def readings_of(record: Mapping[str, Any], images: str) -> list[dict[str, Any]]:
    """What the reader made of a case's `samples`, its `reconstruction` or its `real` image; a list also where one."""
    return record[images] if images == "samples" else [record[images]]


def lesions_of(record: Mapping[str, Any], images: str) -> list[dict[str, Any]]:
    """Readings of the requested lesions in all these images of a case."""
    return [lesion for reading in readings_of(record, images) for lesion in reading["lesions"]]


def case_confusions(records: Records, images: str) -> np.ndarray:
    """Confusion matrix of each case, (N, 5, 6)."""
    found = (lesions_of(record, images) for record in records)
    return np.stack([confusion_matrix([le["birads"] for le in part], [le["read"] for le in part]) for part in found])


def pooled_confusion(records: Records, images: str) -> np.ndarray:
    """Confusion matrix of all cases, (5, 6)."""
    return case_confusions(records, images).sum(0)


def _add_similarity(report: Report, records: Records, between_cases: Sequence[float]) -> None:
    pairs = {
        "real and samples of its mask (the paper's)": [float(np.mean(r["ms_ssim_real"])) for r in records],
        "samples of one mask": [float(np.mean(r["ms_ssim_samples"])) for r in records],
        "real images of different cases": list(between_cases),
        "real and its reconstruction": [r["ms_ssim_reconstruction"] for r in records],
    }
    rows = [
        {
            "pair": name,
            "MS-SSIM": mean_with_interval(values),
            "SD": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
            "n": len(values),
        }
        for name, values in pairs.items()
    ]
    note = (
        "Per case the mean over its pairs (each sample with the real image; each sample with the next), then mean and "
        "SD over n cases. The paper's 0.533 (SD 0.09) is of the first kind: a distance to one image, not diversity. "
        "Samples of one mask differ as much as unrelated images where the second figure is near the third. Gaussian "
        "window of 11 pixels, sigma 1.5, five scales where the image is large enough, data range 1."
    )
    report.add("MS-SSIM", ("pair", "MS-SSIM", "SD", "n"), rows, note)


def _add_distribution(
    report: Report, records: Records, floor: Records, training: Records, extractors: Mapping[str, FeatureExtractor]
) -> None:
    compared: dict[str, dict[str, ComparedSets]] = {}
    for name in extractors:
        real, others, seen = (
            FeatureSet.of_groups([record["real_features"][name] for record in part]) if part else None
            for part in (records, floor, training)
        )
        samples = [record["sample_features"][name] for record in records]
        compared[name] = {
            "the first of each mask": ComparedSets(real, FeatureSet.of_groups([s[:1] for s in samples]), others, seen),
            "all of each mask": ComparedSets(real, FeatureSet.of_groups(samples), others, seen),
        }
    add_distribution(report, compared, extractors, "samples")


def _add_adherence(report: Report, records: Records) -> None:
    rows = []
    for birads in (*CLASSES, None):
        chosen = {
            images: [[le for le in lesions_of(r, images) if birads in (None, le["birads"])] for r in records]
            for images in IMAGES
        }
        if not any(chosen["real"]):
            continue
        row: dict[str, Any] = {"class": birads or "all", "lesions": sum(map(len, chosen["real"]))}
        for images in IMAGES:
            counts = [len(part) for part in chosen[images]]
            row[f"found, {images}"] = share_with_interval(
                [sum(le["found"] for le in p) for p in chosen[images]], counts
            )
        for name, key in (("Dice", "dice"), ("centre distance", "centre_distance")):
            for images in ("samples", "real"):
                found = [[le[key] for le in part if le["found"]] for part in chosen[images]]
                row[f"{name}, {images}"] = ratio_with_interval([sum(p) for p in found], [len(p) for p in found])
        rows.append(row)
    note = (
        "Share of requested lesions that the reader finds within the dilation of their mask; real images are the "
        "ceiling. Dice and the distance of centres (pixels) are of found lesions; a "
        "reader that marked everything would find every lesion, with a Dice near 0."
    )
    columns = ("class", "lesions", *(f"found, {images}" for images in IMAGES), "Dice, samples", "Dice, real")
    columns += ("centre distance, samples", "centre distance, real")
    report.add("Adherence to the mask", columns, rows, note)


def _add_false_lesions(report: Report, records: Records) -> None:
    rows = []
    for name, healthy in (("with lesions", False), ("without lesions (BI-RADS 1)", True)):
        chosen = [record for record in records if (not record["real"]["lesions"]) == healthy]
        row: dict[str, Any] = {"cases": name, "n": len(chosen)}
        for images in IMAGES if chosen else ():
            false = [[reading["false"] for reading in readings_of(record, images)] for record in chosen]
            counts = [len(part) for part in false]
            row[f"false lesions, {images}"] = ratio_with_interval([sum(part) for part in false], counts)
            if healthy:
                free = [sum(value == 0 for value in part) for part in false]
                row[f"free of lesions, {images}"] = share_with_interval(free, counts)
        rows.append(row)
    note = (
        "False lesions: the reader's, an image, that reach into no requested one's dilation. Of images that should "
        "show none, the share that is read as free of lesions."
    )
    columns = ("cases", "n", *(f"{k}, {images}" for k in ("false lesions", "free of lesions") for images in IMAGES))
    report.add("Lesions that nobody asked for", columns, rows, note)


def _add_agreement(report: Report, records: Records) -> None:
    rows = []
    for images in IMAGES:
        matrices = case_confusions(records, images)
        rows.append(
            {
                "images": images,
                "lesions": int(matrices.sum()),
                "found": int(matrices[..., : len(CLASSES)].sum()),
                "agreement of found": _of_matrices(agreement, matrices),
                "agreement of all": _of_matrices(lambda m: agreement(m, among_found=False), matrices),
                "quadratic kappa": _of_matrices(quadratic_kappa, matrices),
            }
        )
    note = "The reader's class of each lesion against the class asked for; kappa is of found lesions."
    columns = ("images", "lesions", "found", "agreement of found", "agreement of all", "quadratic kappa")
    report.add("Class agreement", columns, rows, note)


def _of_matrices(statistic: Callable[[np.ndarray], float], matrices: np.ndarray) -> dict[str, float]:
    return statistic_with_interval(lambda chosen: statistic(matrices[chosen].sum(0)), len(matrices))


def _add_comparison(report: Report, records: Records) -> None:
    samples, real = (case_confusions(records, images) for images in ("samples", "real"))
    rows = []
    for name, among_found in (("found lesions", True), ("all lesions", False)):
        compare = partial(_agreements, samples, real, among_found)
        quotient = statistic_with_interval(lambda chosen, compare=compare: _ratio(*compare(chosen)), len(records))
        gap = statistic_with_interval(
            lambda chosen, compare=compare: float(np.subtract(*compare(chosen))), len(records)
        )
        reached = "n/a" if np.isnan(quotient["mean"]) else "yes" if quotient["mean"] >= AGREEMENT_FLOOR else "no"
        rows.append(
            {
                "agreement of": name,
                "samples / real": quotient,
                f"at least {AGREEMENT_FLOOR}": reached,
                "samples - real": gap,
                "meaning": _meaning(gap),
            }
        )
    note = (
        "Samples that are read as asked more often than real images, by more than the interval, show the paper's "
        "'textbook' effect: lesions more typical of their class than real ones are. That is a defect, not a success."
    )
    columns = ("agreement of", "samples / real", f"at least {AGREEMENT_FLOOR}", "samples - real", "meaning")
    report.add("Class agreement of samples against real images", columns, rows, note)


def _agreements(samples: np.ndarray, real: np.ndarray, among_found: bool, chosen: np.ndarray) -> tuple[float, float]:
    return agreement(samples[chosen].sum(0), among_found), agreement(real[chosen].sum(0), among_found)


def _ratio(first: float, second: float) -> float:
    return first / second if second else float("nan")


def _meaning(gap: Mapping[str, float]) -> str:
    if np.isnan(gap["mean"]):
        return "no lesion to compare"
    if gap["low"] > 0:
        return "samples are read better than real images: textbook effect"
    if gap["high"] < 0:
        return "samples are read worse than real images"
    return "no difference beyond the interval"


def _add_confusion(report: Report, records: Records, images: str, name: str) -> None:
    columns = ("asked", *(f"read {birads}" for birads in CLASSES), "missed")
    matrix = pooled_confusion(records, images)
    rows = [
        dict(zip(columns, (birads, *(int(count) for count in row)), strict=True))
        for birads, row in zip(CLASSES, matrix, strict=True)
    ]
    report.add(f"Confusion of classes, {name}", columns, rows, "Counts of lesions.")


def _add_reconstruction(report: Report, records: Records) -> None:
    rows = [
        {
            "region": region,
            **{
                column: mean_with_interval([record[key][region] for record in records])
                for column, key in (("PSNR", "psnr"), ("SSIM", "ssim"), ("MAE", "mae"))
            },
        }
        for region in ("image", "lesions")
    ]
    note = "First stage alone, against the real image: PSNR in dB for a data range of 2, SSIM with a window of 11."
    report.add("Reconstruction", ("region", "PSNR", "SSIM", "MAE"), rows, note)
