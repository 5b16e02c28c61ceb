"""The tables of painted lesions: how visible they are, and what a classifier of malignancy makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.heat_maps import METHODS
from ..metrics.roc import roc_auc
from ..metrics.uncertainty import clustered_with_interval
from .report import Report

CONTRAST_FLOOR = 0.7  # of a real lesion's contrast, that a painted one has to reach
ABSENT_CEILING = 0.5  # of a painted lesion's contrast, below which the prompt without a lesion has to stay
POINTING_FLOOR = 0.7  # of the pointing game on real lesions
EVERY_TYPE, MALIGNANT = "all", "malignant"
VIEWS_OF_REGION = {"whole view": ("with", "without"), "close-up": ("with_close_up", "without_close_up")}
Paintings = Sequence[Mapping[str, Any]]


def add_painting_tables(report: Report, paintings: Paintings, real: Sequence[Mapping[str, Any]]) -> None:
    """Append contrast, scores and heat maps.

    Args:
        report: gets the tables.
        paintings: see `PaintingCheck.evaluate`; those without room for their lesion are counted.
        real: of real images, see `MammogramEvaluation.judge_real`.
    """
    done = [record for record in paintings if "contrast" in record]
    if not done:
        reason = "no healthy image, no lesion with a mask and a type, or no breast with room for one"
        report.add("Painted lesions", ("painted", "reason"), [{"painted": "none", "reason": reason}])
        return
    _add_contrast(report, done, len(paintings) - len(done))
    _add_scores(report, done, real)
    _add_heat_maps(report, [record for record in done if "heat_maps" in record])


def _add_contrast(report: Report, paintings: Paintings, without_room: int) -> None:
    rows = []
    for view, (present, absent) in VIEWS_OF_REGION.items():
        for kind in (EVERY_TYPE, *sorted({record["type"] for record in paintings})):
            names = ("real", "healthy", present, absent)
            chosen = [
                record
                for record in paintings
                if kind in (EVERY_TYPE, record["type"]) and None not in (record["contrast"][name] for name in names)
            ]
            if not chosen:
                continue
            sources = [record["source"] for record in chosen]
            values = {name: np.array([record["contrast"][name] for record in chosen]) for name in names}
            means = {name: _mean(values[name], sources) for name in names}
            with_real = _ratio(values[present], values["real"], sources)
            without_with = _ratio(values[absent], values[present], sources)
            rows.append(
                {
                    "network sees": view,
                    "lesions": kind,
                    "n": len(chosen),
                    "real": means["real"],
                    "healthy, as it is": means["healthy"],
                    "painted with": means[present],
                    "painted without": means[absent],
                    "with / real": with_real,
                    f"at least {CONTRAST_FLOOR}": _yes(with_real["mean"] >= CONTRAST_FLOOR),
                    "without / with": without_with,
                    f"below {ABSENT_CEILING}": _yes(without_with["mean"] < ABSENT_CEILING),
                    "gain by the prompt": _ratio(
                        values[present] - values[absent], values["real"] - values["healthy"], sources
                    ),
                }
            )
    note = (
        "Mean of the display values in the core of the lesion's mask less that of the tissue around the mask. Each "
        "healthy image is painted in the mask of a real lesion of another image, moved to the like place, twice from "
        "the same noise: with a prompt for such a lesion, and for none. Ratios are of means. Anatomy has contrast of "
        "its own, see 'healthy, as it is'; gain by the prompt is free of it: (with - without) / (real - healthy). "
        f"{without_room} breasts had no room for their lesion."
    )
    report.add("Contrast of painted lesions", tuple(rows[0]) if rows else ("network sees",), rows, note)


def _add_scores(report: Report, paintings: Paintings, real: Sequence[Mapping[str, Any]]) -> None:
    others = [record for record in real if MALIGNANT not in {pathology for _, pathology in record["lesions"]}]
    rows = []

    def add(name: str, scores: Sequence[float], clusters: Sequence[Any], auc: Any = "", against: str = "") -> None:
        if scores:
            score = _mean(np.array(scores), clusters)
            rows.append({"images": name, "n": len(scores), "score": score, "AUC": auc, "against": against})

    for kind in sorted({tuple(map(str, lesion)) for record in real for lesion in record["lesions"]}):
        chosen = [r for r in real if kind in {tuple(map(str, lesion)) for lesion in r["lesions"]}]
        auc = (_auc(chosen, others), "real images without a malignant one") if kind[1] == MALIGNANT else ()
        add(f"real, {kind[1]} {kind[0]}", *_scores(chosen), *auc)
    add("real, healthy", *_scores([record for record in real if not record["lesions"]]))
    for kind in sorted({(record["type"], str(record["pathology"])) for record in paintings}):
        chosen = [record for record in paintings if (record["type"], str(record["pathology"])) == kind]
        sources = [record["source"] for record in chosen]
        for seen, names in VIEWS_OF_REGION.items():
            pairs = np.array([[record["score"][name] for name in names] for record in chosen])
            auc = clustered_with_interval(sources, lambda i, pairs=pairs: _pair_auc(pairs[i]))
            title = f"{kind[1]} {kind[0]}, {seen}"
            add(f"painted, {title}", pairs[:, 0].tolist(), sources, auc, "the same places painted without")
            add(f"the same places painted without ({title})", pairs[:, 1].tolist(), sources)
    note = (
        "The classifier's probability of a malignant lesion, and how well it tells these images from those under "
        "'against'. It was trained on real images alone; which types of lesions it was taught stands above."
    )
    report.add("Classifier of malignancy", ("images", "n", "score", "AUC", "against"), rows, note)


def _scores(records: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[Any]]:
    return [record["score"] for record in records], [record["patient"] for record in records]


def _auc(positives: Sequence[Mapping[str, Any]], negatives: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    both = [*positives, *negatives]
    truth, scores = np.arange(len(both)) < len(positives), np.array(_scores(both)[0])
    return clustered_with_interval(_scores(both)[1], lambda i: roc_auc(scores[i], truth[i]))


def _add_heat_maps(report: Report, paintings: Paintings) -> None:
    if not paintings:
        return
    sources = [record["source"] for record in paintings]
    rows = []
    for seen, (painted, _) in VIEWS_OF_REGION.items():
        for method in METHODS:
            row: dict[str, Any] = {"network sees": seen, "method": method, "n": len(paintings)}
            for measure, title in (("hit", "pointing game"), ("energy", "energy in the box")):
                values = {
                    name: np.array([record["heat_maps"][name][method][measure] for record in paintings], float)
                    for name in ("real", painted, "healthy")
                }
                row |= {
                    f"{title}, real": _mean(values["real"], sources),
                    f"{title}, painted": _mean(values[painted], sources),
                    f"{title}, healthy": _mean(values["healthy"], sources),
                    f"{title}, painted / real": _ratio(values[painted], values["real"], sources),
                }
            reached = row["pointing game, painted / real"]["mean"]
            row[f"pointing at least {POINTING_FLOOR}"] = "n/a" if np.isnan(reached) else _yes(reached >= POINTING_FLOOR)
            rows.append(row)
    note = (
        "Malignant lesions of the types that the classifier was taught. Pointing game: the map's peak lies on the "
        "lesion's box, or within 1/32 of the image's side of it. Energy: share of the map in the box. 'healthy' is the "
        "same place before it was painted: chance."
    )
    report.add("Where the classifier looks", tuple(rows[0]), rows, note)


def _mean(values: np.ndarray, clusters: Sequence[Any]) -> dict[str, float]:
    return clustered_with_interval(clusters, lambda i: float(values[i].mean()))


def _ratio(above: np.ndarray, below: np.ndarray, clusters: Sequence[Any]) -> dict[str, float]:
    def ratio(chosen: np.ndarray) -> float:
        bottom = float(below[chosen].mean())
        return float(above[chosen].mean()) / bottom if bottom > 0 else float("nan")

    return clustered_with_interval(clusters, ratio)


def _pair_auc(pairs: np.ndarray) -> float:
    return roc_auc(pairs.T.ravel(), np.arange(pairs.size) < len(pairs))


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
