"""The tables of an evaluation of mammogram synthesis, from the records of its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from ..metrics.mammogram_attributes import EXACT, WITHIN_ONE, DensityScale, attribute_table
from ..metrics.uncertainty import mean_with_interval
from .distribution_table import ComparedSets, add_distribution
from .mammogram_painting_tables import add_painting_tables
from .report import Report

# Shares that drawn images have to reach, by attribute and agreement.
FLOORS = {
    ("area", EXACT): 0.9,
    ("density", EXACT): 0.7,
    ("density", WITHIN_ONE): 0.95,
    ("view", EXACT): 0.9,
    ("vendor", EXACT): 0.9,
}
BY_READER = "density, by the reader"


@dataclass(frozen=True)
class Records:
    """What an evaluation found.

    Attributes:
        real, real_unseen: of real images, see `MammogramEvaluation.judge_real`; the second of combinations never seen.
        floor, training: features of further real images, and of those that the model was trained on.
        drawn_seen, drawn_unseen: of sentences, see `MammogramEvaluation.judge_drawn`.
        paintings: see `PaintingCheck.evaluate`.
        scale: of the densities; None where there is none.
    """

    real: Sequence[Mapping[str, Any]]
    real_unseen: Sequence[Mapping[str, Any]]
    floor: Sequence[Mapping[str, Any]]
    training: Sequence[Mapping[str, Any]]
    drawn_seen: Sequence[Mapping[str, Any]]
    drawn_unseen: Sequence[Mapping[str, Any]]
    paintings: Sequence[Mapping[str, Any]]
    scale: DensityScale | None

    def groups(self) -> dict[str, list[dict[str, Any]]]:
        """Images by group, each with `asked`, `measured` and the `case` that it belongs to."""
        real = {"real images": self.real, "real, unseen combinations": self.real_unseen}
        drawn = {"SYNTHETIC, seen combinations": self.drawn_seen, "SYNTHETIC, unseen combinations": self.drawn_unseen}
        found = {name: [{**r, "case": r["patient"]} for r in part] for name, part in real.items()}
        for name, part in drawn.items():
            images = [(record, measured) for record in part for measured in record["measured"]]
            found[name] = [{"asked": r["asked"], "measured": m, "case": r["prompt"]} for r, m in images]
        return {name: part for name, part in found.items() if part}


def add_all_tables(
    report: Report, records: Records, extractors: Mapping[str, FeatureExtractor], real_pairs: Sequence[float]
) -> None:
    """Append every table to a report.

    Args:
        report: gets the tables.
        records: of the evaluation.
        extractors: by name.
        real_pairs: MS-SSIM of pairs of real images with the same attributes.
    """
    add_attributes(report, records)
    _add_unseen(report, records)
    add_painting_tables(report, records.paintings, records.real)
    _add_similarity(report, records, real_pairs)
    _add_distribution(report, records, extractors)


def agreement_rows(
    groups: Mapping[str, Sequence[Mapping[str, Any]]], scale: DensityScale | None
) -> list[dict[str, Any]]:
    """Rows of `attribute_table` for groups of images; density as measured, if there is a scale, and as read."""
    known, read = [], []
    for group, images in groups.items():
        for image in images:
            asked, measured = image["asked"], image["measured"]
            named = {**asked, "density": asked["density"] if scale else None}
            known.append({"group": group, "case": image["case"], "asked": named, "measured": measured})
            density = {"density": measured["density_read"]}
            asked_density = {"density": asked["density"] if measured["density_read"] else None}
            read.append({"group": group, "case": image["case"], "asked": asked_density, "measured": density})
    rows = attribute_table(known) + [{**row, "attribute": BY_READER} for row in attribute_table(read)]
    return sorted(rows, key=lambda row: list(groups).index(row["group"]))


def add_attributes(report: Report, records: Records) -> None:
    """How often images have what was asked for."""
    rows = []
    for row in agreement_rows(records.groups(), records.scale):
        floor = FLOORS.get((row["attribute"], row["agreement"]))
        judged = floor is not None and row["group"].startswith("SYNTHETIC")
        rows.append(
            {
                "images": row["group"],
                "attribute": row["attribute"],
                "agreement": row["agreement"],
                "n": row["images"],
                "share": {name: row[name] for name in ("mean", "low", "high", "n")},
                "floor": floor if judged else "",
                "reached": ("yes" if row["mean"] >= floor else "no") if judged else "",
            }
        )
    scale = "no scale could be fitted" if records.scale is None else _describe_scale(records.scale)
    note = (
        "Area: share of the image that the breast mask covers, in words. Density: mean display value of the breast's "
        f"thick part on a scale fitted on real images that are not judged ({scale}); on the scale of the vendor asked "
        "for. View, vendor and a second density: by the reader. Real images are judged by what is recorded of them. "
        "n counts images; that of an interval counts patients or sentences."
    )
    columns = ("images", "attribute", "agreement", "n", "share", "floor", "reached")
    report.add("Attribute agreement", columns, rows, note)


def _describe_scale(scale: DensityScale) -> str:
    return "; ".join(f"{vendor}: {sum(counts)} images" for vendor, counts in scale.counts.items())


def _add_unseen(report: Report, records: Records) -> None:
    images = records.groups().get("SYNTHETIC, unseen combinations", [])
    groups: dict[str, list[Any]] = {}
    for image in images:
        asked = image["asked"]
        groups.setdefault(f"{asked['vendor']}, density {asked['density']}, {asked['area']} area", []).append(image)
    found = {(row["group"], row["attribute"], row["agreement"]): row for row in agreement_rows(groups, records.scale)}
    rows = [
        {
            "combination": name,
            "n": len(part),
            **{
                f"{attribute}, {agreement}" if attribute == "density" else attribute: found[key]["mean"]
                for attribute, agreement in FLOORS
                if (key := (name, attribute, agreement)) in found
            },
            "mean area ratio": mean_with_interval([_number(image["measured"]["area_ratio"]) for image in part]),
        }
        for name, part in groups.items()
    ]
    if rows:
        note = "Combinations of vendor, density and area that no training image has; shares of images as asked."
        report.add("Combinations never seen", tuple(dict.fromkeys(k for row in rows for k in row)), rows, note)


def _add_similarity(report: Report, records: Records, real_pairs: Sequence[float]) -> None:
    pairs = {
        "SYNTHETIC images of one sentence": [float(np.mean(record["ms_ssim"])) for record in records.drawn_seen],
        "real images of the same attributes": list(real_pairs),
    }
    rows = [{"pair": name, "MS-SSIM": mean_with_interval(values), "n": len(values)} for name, values in pairs.items()]
    note = (
        "Lower is more diverse; images of one sentence are as diverse as real ones where the figures are alike. Real "
        "pairs are of different patients. Gaussian window of 11 pixels, sigma 1.5, data range 1."
    )
    report.add("MS-SSIM", ("pair", "MS-SSIM", "n"), rows, note)


def _add_distribution(report: Report, records: Records, extractors: Mapping[str, FeatureExtractor]) -> None:
    compared = {}
    for name in extractors:
        real, drawn, floor, training = (
            FeatureSet.of_groups([[features[name]] for features in part]) if part else None
            for part in (
                [record["features"] for record in records.real],
                [record["features"][0] for record in records.drawn_seen],
                [record["features"] for record in records.floor],
                [record["features"] for record in records.training],
            )
        )
        if real is not None and drawn is not None:
            compared[name] = {"the first of each sentence": ComparedSets(real, drawn, floor, training)}
    add_distribution(report, compared, extractors, "samples")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
