"""Whether synthetic images show what their condition asked for, as frozen networks see it, beside real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..io.volumes import describe_grid, load_volume, same_grid
from ..metrics.adherence import dice
from ..metrics.uncertainty import clustered_with_interval, share_with_interval
from ..reports.report import Report
from .image_files import VOLUME, ImageFile
from .survey import Survey

NAME = "Adherence to the mask"
COLUMNS = ("images", "found", "Dice", "centre distance (mm)", "volume ratio", "n images")


def mask_adherence(found: torch.Tensor, wanted: torch.Tensor, spacing: Sequence[float]) -> dict[str, float]:
    """How a found mask lies on the one that was asked for.

    Args:
        found, wanted: bool (X, Y, Z).
        spacing: millimetres along X, Y, Z.

    Returns:
        `dice`; `distance`, of the centres of mass in millimetres, and `ratio`, of found to wanted volume: NaN where a
        mask is empty, for the ratio the wanted one.
    """
    volumes = int(found.sum()), int(wanted.sum())
    distance = float("nan")
    if all(volumes):
        centres = (mask.nonzero().double().mean(0) for mask in (found, wanted))
        offset = next(centres) - next(centres)
        distance = float((offset * torch.tensor(list(spacing), dtype=torch.float64)).norm())
    ratio = volumes[0] / volumes[1] if volumes[1] else float("nan")
    return {"dice": dice(found, wanted), "distance": distance, "ratio": ratio}


def score_masks(survey: Survey, masks: Mapping[int, ImageFile], found: Mapping[str, Path]) -> list[dict[str, Any]]:
    """`mask_adherence` of each image of a set that has a mask.

    Args:
        survey: the images, whose masks are volume files.
        masks: the wanted mask for numbers of images.
        found: the mask that a segmenter made for names of images.

    Raises:
        InputError: a mask is no volume file, or on another grid.
    """
    rows = []
    for number, wanted in masks.items():
        name = survey.files[number].name
        if wanted.kind != VOLUME:
            raise InputError(f"masks: {wanted.name} is no volume file; the segmenter's masks are compared with such")
        truth, mask = load_volume(wanted.source, single_slice=True), load_volume(found[name], single_slice=True)
        if not same_grid(truth, mask):
            raise InputError(
                f"masks: {wanted.name} has {describe_grid(truth)}, the image {name} {describe_grid(mask)}; resample one"
            )
        spacing = [float(s) for s in truth.pixdim]
        pair = (volume[0].as_tensor() > 0 for volume in (mask, truth))
        rows.append({"image": name, "case": wanted.stem, **mask_adherence(*pair, spacing)})
    return rows


def add_adherence(report: Report, scores: Mapping[str, Sequence[Mapping[str, Any]]], segmenter: str, seed: int) -> None:
    """Append the table.

    Args:
        report: gets it.
        scores: of `score_masks`, by set: synthetic and, as the ceiling, real.
        segmenter: name and hash, for the note.
        seed: of the bootstrap, over cases.
    """
    rows = []
    for title, found in scores.items():
        clusters = [row["case"] for row in found]
        cases = list(dict.fromkeys(clusters))
        hits = [sum(row["dice"] > 0 for row in found if row["case"] == case) for case in cases]
        row: dict[str, Any] = {"images": title}
        row["found"] = share_with_interval(hits, [clusters.count(case) for case in cases], seed)
        for key, column in zip(("dice", "distance", "ratio"), COLUMNS[2:], strict=False):
            values = np.array([entry[key] for entry in found], float)
            row[column] = clustered_with_interval(clusters, lambda k, v=values: _mean(v[k]), seed)
        rows.append(row | {"n images": len(found)})
    note = (
        f"Found by {segmenter}, which never saw these images, against the mask asked for. Found: share of images whose "
        "found mask touches the one asked for. Centres and volumes where both are there. The row of real images is "
        "what this segmenter can reach; synthetic images far above it show lesions that are easier than real ones."
    )
    report.add(NAME, list(COLUMNS), rows, note)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
