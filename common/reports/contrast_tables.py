"""The tables of an evaluation of contrast synthesis, from the records of its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from ..metrics.kinetics import Kinetics, kinetics, order_kept
from ..metrics.uncertainty import mean_with_interval
from .distribution_table import ComparedSets, add_distribution
from .report import Report

METRICS = {"MAE": "mae", "MSE": "mse", "PSNR": "psnr", "SSIM": "ssim", "MS-SSIM": "ms_ssim", "LPIPS": "lpips"}
NOT_COMPUTED = "not computed"
GROUPS = {
    "visible before contrast": True,
    "invisible before contrast": False,
    "not known": None,
}
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class FeatureRecords:
    """Records of an evaluation.

    Attributes:
        records: of the held-out cases, see `ContrastEvaluation.evaluate_case`.
        floor, training: `real_features` of further real cases, and of those that the model was trained on.
    """

    records: Records
    floor: Records
    training: Records

    def first_phase(self, extractor: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(N, F) mean features of slices of synthetic, training and real first phases; None where there are none."""
        if extractor is None or not self.training:
            return None
        parts = ((self.records, "made_features"), (self.training, "real_features"), (self.records, "real_features"))
        return tuple(np.array([np.mean(r[key][extractor][0], 0) for r in part]) for part, key in parts)


def add_all_tables(
    report: Report,
    found: FeatureRecords,
    phases: Sequence[int],
    extractors: Mapping[str, FeatureExtractor],
    with_lpips: bool,
) -> None:
    """Append every table to a report.

    Args:
        report: gets the tables.
        found: records of the evaluation.
        phases: numbers of the phases.
        extractors: by name.
        with_lpips: whether LPIPS was computed.
    """
    records = found.records
    _add_images(report, records, phases, "images", "Images", with_lpips)
    _add_images(report, records, phases, "subtraction", "Subtraction images", with_lpips)
    with_boxes = [record for record in records if record["boxes"]]
    if with_boxes:
        _add_images(report, with_boxes, phases, "boxes", "Lesion boxes, per case", with_lpips)
    _add_boxes(report, records)
    _add_detection(report, records, phases)
    if all(lesion["signal"] is not None for lesion in _lesions(records)):
        _add_order(report, records, phases)
        _add_kinetics(report, records, phases)
        _add_curves(report, records, phases)
    else:
        note = "Phases that were each normalised by their own range have no kinetics."
        report.add("Contrast kinetics", ("kinetics",), [{"kinetics": NOT_COMPUTED}], note)
    _add_distribution(report, found, phases, extractors)
    if any("paper_compat" in record for record in records):
        _add_compat(report, records, phases)


def _add_images(
    report: Report, records: Records, phases: Sequence[int], key: str, title: str, with_lpips: bool
) -> None:
    rows = []
    for index, phase in enumerate(phases):
        for kind, name in (("synthetic", "synthetic"), ("identity", "pre-contrast (identity)")):
            row: dict[str, Any] = {
                "phase": phase,
                "against real": _subtraction_name(kind) if key == "subtraction" else name,
            }
            for column, metric in METRICS.items():
                if metric not in records[0][key][kind]:
                    row[column] = NOT_COMPUTED
                else:
                    row[column] = mean_with_interval([_finite(r[key][kind][metric][index]) for r in records])
            rows.append(row)
    where = "lesions' boxes" if key == "boxes" else "breasts"
    note = f"Inside the {where}, mean over cases. PSNR in dB; SSIM and MS-SSIM in axial slices."
    if not with_lpips:
        note += " LPIPS is not computed: no network file is given (lpips_file)."
    report.add(title, ("phase", "against real", *METRICS), rows, note)


def _subtraction_name(kind: str) -> str:
    return "synthetic - pre" if kind == "synthetic" else "zero (identity)"


def _finite(value: float | None) -> float:
    return float("nan") if value is None or not np.isfinite(value) else float(value)


def _lesions(records: Records) -> list[dict[str, Any]]:
    return [
        {**le, "case": record["case"], "seconds": record["seconds"]} for record in records for le in record["lesions"]
    ]


def _groups(records: Records) -> list[tuple[str, list[dict[str, Any]]]]:
    lesions = _lesions(records)
    groups = [(name, [le for le in lesions if le["visible"] is value]) for name, value in GROUPS.items()]
    return [(name, members) for name, members in groups if members]


def _add_boxes(report: Report, records: Records) -> None:
    rows = []
    for name, members in _groups(records):
        voxels = sum(le["box_voxels"] for le in members)
        made, identity = (sum(le[key] for le in members) for key in ("box_error", "box_error_identity"))
        squares = [sum(le[key] for le in members) for key in ("box_square", "box_square_identity")]
        rows.append(
            {
                "lesions": name,
                "n": len(members),
                "MAE": made / voxels,
                "MAE identity": identity / voxels,
                "MAE ratio": made / identity,
                "interval of the ratio": _ratio_interval(members),
                "MSE": squares[0] / voxels,
                "MSE identity": squares[1] / voxels,
            }
        )
    columns = ("lesions", "n", "MAE", "MAE identity", "MAE ratio", "interval of the ratio", "MSE", "MSE identity")
    note = "Inside the box around each lesion, all phases; voxels of all boxes pooled. A ratio below 1 beats identity."
    report.add("Lesion boxes, pooled", columns, rows, note)


def _ratio_interval(members: Sequence[Mapping[str, Any]], resamples: int = 2000) -> str:
    """Percentile bootstrap over cases, whose lesions stay together."""
    by_case: dict[str, np.ndarray] = {}
    for le in members:
        both = np.array([le["box_error"], le["box_error_identity"]])
        by_case[le["case"]] = by_case.get(le["case"], 0) + both
    errors = np.array(list(by_case.values()))
    drawn = np.random.default_rng(0).integers(0, len(errors), (resamples, len(errors)))
    sums = errors[drawn].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return f"{low:.3g} to {high:.3g}"


def _add_detection(report: Report, records: Records, phases: Sequence[int]) -> None:
    rows = [
        {
            "lesions": name,
            "n": len(members),
            "missed": sum(le["missed"] for le in members),
            "missed share": float(np.mean([le["missed"] for le in members])),
        }
        for name, members in _groups(records)
    ]
    counted = [r for r in records if r["false_blobs"] is not None]
    blobs, slices = (sum(r[key] for r in counted) for key in ("false_blobs", "slices"))
    shown = blobs if counted else NOT_COMPUTED
    rows.append({"lesions": "false enhancing blobs", "n": shown, "missed": "", "missed share": ""})
    note = (
        "Missed: the synthetic peak enhancement is below 30 % of the real one. False blobs: connected areas of at "
        f"least 30 mm2 in an axial slice that gain more than 0.25 in synthetic phase {phases[0]} where the real one "
        f"gains less than half of that nearby; {blobs} in {slices} slices, {blobs / max(slices, 1):.2f} a slice. The "
        "identity misses every lesion and shows no blob."
    )
    report.add("Missed lesions and false enhancement", ("lesions", "n", "missed", "missed share"), rows, note)


def lesion_kinetics(lesion: Mapping[str, Any], phases: Sequence[int]) -> tuple[Kinetics, Kinetics] | None:
    """Real and synthetic kinetics of a lesion in the scanner's signal; None where that is not known.

    Args:
        lesion: its measures, and the case's `seconds`.
        phases: numbers of the phases.
    """
    signal, seconds = lesion["signal"], lesion.get("seconds")
    if signal is None:
        return None
    times = [seconds[phase - 1] for phase in phases] if seconds and len(seconds) >= max(phases) else None
    return kinetics(signal["pre"], signal["real"], times), kinetics(signal["pre"], signal["made"], times)


def _add_order(report: Report, records: Records, phases: Sequence[int]) -> None:
    rows = []
    for name, members in _groups(records):
        pairs = [lesion_kinetics(lesion, phases) for lesion in members]
        real_curves = sorted({real.curve for real, _ in pairs if real.curve})
        for curve in (None, *real_curves):
            chosen = [pair for pair in pairs if curve is None or pair[0].curve == curve]
            orders = [order for order in (order_kept(*pair) for pair in chosen) if order.kept is not None]
            if orders:
                kept, strict = sum(o.kept for o in orders), sum(o.strict for o in orders)
                rows.append(
                    {
                        "lesions": name,
                        "real curve": curve or "all",
                        "n": len(orders),
                        "order kept": f"{kept} of {len(orders)}",
                        "share": kept / len(orders),
                        "strictly": f"{strict} of {len(orders)}",
                    }
                )
    note = (
        "Order of the phases' means in the lesion, synthetic as real. Pairs of phases that differ by at most 10 % of "
        "the real peak enhancement are ties, which any order satisfies; 'strictly' allows none."
    )
    report.add("Order of phases", ("lesions", "real curve", "n", "order kept", "share", "strictly"), rows, note)


def _add_kinetics(report: Report, records: Records, phases: Sequence[int]) -> None:
    rows = []
    for name, members in _groups(records):
        pairs = [lesion_kinetics(lesion, phases) for lesion in members]
        for kind, index in (("real", 0), ("synthetic", 1)):
            chosen = [pair[index] for pair in pairs]
            row: dict[str, Any] = {"lesions": name, "images": kind}
            for position, phase in enumerate(phases):
                row[f"phase {phase} (%)"] = mean_with_interval([100 * k.relative[position] for k in chosen])
            row["initial (%)"] = mean_with_interval([100 * k.initial for k in chosen])
            row["delayed (%)"] = mean_with_interval([100 * k.delayed for k in chosen])
            row["SER, median"] = _median([k.ser for k in chosen])
            timed = all(k.time_unit == "s" for k in chosen)
            row["time to peak (s), median"] = _median([k.time_to_peak for k in chosen]) if timed else "times unknown"
            rows.append(row)
    columns = ["lesions", "images", *(f"phase {phase} (%)" for phase in phases)]
    columns += ["initial (%)", "delayed (%)", "SER, median", "time to peak (s), median"]
    note = (
        "Enhancement relative to before contrast, mean over lesions; delayed: change from the first to the last phase; "
        "SER: (S1 - S0) / (S last - S0); time to peak counts from the pre-contrast phase. Intervals over lesions. The "
        "identity enhances nowhere."
    )
    report.add("Contrast kinetics", columns, rows, note)


def _median(values: Sequence[float]) -> float:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.median(finite)) if finite else float("nan")


def _add_curves(report: Report, records: Records, phases: Sequence[int]) -> None:
    rows = []
    for name, members in _groups(records):
        pairs = [pair for pair in (lesion_kinetics(le, phases) for le in members) if pair[0].curve is not None]
        for curve in sorted({real.curve for real, _ in pairs}):
            chosen = [made.curve for real, made in pairs if real.curve == curve]
            counts = {kind: chosen.count(kind) for kind in ("I persistent", "II plateau", "III wash-out")}
            rows.append(
                {
                    "lesions": name,
                    "real curve": curve,
                    "n": len(chosen),
                    **{f"synthetic {kind.split()[0]}": count for kind, count in counts.items()},
                    "none": chosen.count(None),
                    "agreement": counts[curve] / len(chosen),
                }
            )
    columns = ("lesions", "real curve", "n", "synthetic I", "synthetic II", "synthetic III", "none", "agreement")
    note = "Curve types by the change from the first to the last phase: above +10 %, within, below -10 %."
    report.add("Curve types", columns, rows, note)


def _add_distribution(
    report: Report, found: FeatureRecords, phases: Sequence[int], extractors: Mapping[str, FeatureExtractor]
) -> None:
    compared: dict[str, dict[str, ComparedSets]] = {}
    for name in extractors:
        compared[name] = {}
        for index, phase in enumerate(phases):
            real, made, identity = (
                _phase(found.records, key, name, index)
                for key in ("real_features", "made_features", "identity_features")
            )
            further = [_phase(part, "real_features", name, index) for part in (found.floor, found.training)]
            compared[name][f"phase {phase}"] = ComparedSets(real, made, *further)
            compared[name][f"pre-contrast as phase {phase}"] = ComparedSets(real, identity, *further)
    add_distribution(report, compared, extractors, "slices")


def _phase(source: Records, key: str, name: str, phase: int) -> FeatureSet | None:
    return FeatureSet.of_groups([record[key][name][phase] for record in source]) if source else None


def _add_compat(report: Report, records: Records, phases: Sequence[int]) -> None:
    rows = []
    for index, phase in enumerate(phases):
        for kind in ("synthetic", "identity"):
            values = [r["paper_compat"][kind][index] for r in records]
            weights = [r["paper_compat"]["slices"] for r in records]
            mean = {k: _weighted([v[k] for v in values], weights) for k in ("mae", "mse", "psnr")}
            rows.append(
                {"phase": phase, "against real": kind, "MAE*": mean["mae"], "MSE*": mean["mse"], "PSNR*": mean["psnr"]}
            )
    note = (
        "NOT errors: 8-bit slices, each stretched by itself, subtracted modulo 256 and squared modulo 256, as the "
        f"published figures were computed ({records[0]['paper_compat']['convention']} convention). For comparison with "
        "the paper's tables alone."
    )
    report.add("Published (wrapped) values", ("phase", "against real", "MAE*", "MSE*", "PSNR*"), rows, note)


def _weighted(values: Sequence[float | None], weights: Sequence[int]) -> float:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    return float(np.average([v for v, _ in known], weights=[w for _, w in known])) if known else float("nan")
