"""Is it useful, for segmentation: masks by segmenters of different training data, against the truth on real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file, sha256_of_json
from ..io.tables import write_csv
from ..io.volumes import describe_grid, load_volume, same_grid
from ..metrics.segmentation import mask_scores
from ..outputs import CASES_CSV
from ..reports.report import Report
from .cases import case_of, check_case_pattern, load_mask
from .image_files import DICOM, VOLUME, ImageFile, find_images
from .mask_comparison import comparison_row

NAME = "Segmentation by training data"
NO_LESION = "Cases without a true mask"


def compare_segmenters(
    truth: str | Path,
    predictions: Mapping[str, str | Path],
    output: str | Path,
    case_pattern: str | None = None,
    patient_pattern: str | None = None,
    seed: int = 0,
) -> Report:
    """Score folders of masks against the true ones, write the report and `cases.csv`, return the report.

    Whatever is not 0 belongs to a mask. Cases whose true mask is empty have no Dice and no HD95; in them what was
    marked without cause is counted.

    Args:
        truth: folder of true masks, volume files or pictures, one a case.
        predictions: for each segmenter, by what it was trained on, its folder of masks on the same grids, such as
            nnU-Net's; the first is the baseline.
        output: folder for the report.
        case_pattern: what true and predicted masks of one case share; see `case_of`.
        patient_pattern: whose group in the name of a true mask is the patient; without it each case is one.
        seed: of the bootstrap over patients.

    Raises:
        InputError: a missing or unreadable folder or mask, two masks of one case, or a mask on another grid.
    """
    for pattern in (case_pattern, patient_pattern):
        check_case_pattern(pattern)
    if not predictions:
        raise InputError("predictions: name at least one folder of masks")
    output = make_output_dir(output)
    true_masks = _masks("truth", truth, case_pattern)
    predicted = {name: _masks(f"predictions {name}", folder, case_pattern) for name, folder in predictions.items()}
    report = Report("Downstream segmentation: real, synthetic and mixed training data")
    for name, found in predicted.items():
        report.warnings += _check_cases(name, found, true_masks)
    patients = {case: case_of(file, patient_pattern) if patient_pattern else case for case, file in true_masks.items()}
    scores = {
        name: [
            {"case": case, "patient": patients[case], **_scores(true_masks[case], found[case])}
            for case in tqdm(true_masks, desc=f"scoring masks of {name}", unit="case")
        ]
        for name, found in predicted.items()
    }
    unit = "mm" if next(iter(true_masks.values())).kind == VOLUME else "pixels"
    first = next(iter(scores))
    report.facts = {
        "test cases": len(true_masks),
        "test patients": len(set(patients.values())),
        "cases without a true mask": sum(row["true size"] == 0 for row in scores[first]),
        "baseline": first,
        "masks": "whatever is not 0, as one class",
        "intervals": f"95 % percentile bootstrap over patients, seed {seed}",
        "true masks sha256": _fingerprint(true_masks),
        **{f"masks of {name} sha256": _fingerprint(found) for name, found in predicted.items()},
    }
    _add_tables(report, scores, unit, seed)
    write_csv(output / CASES_CSV, [{"trained on": name, **row} for name, rows in scores.items() for row in rows])
    report.write(output)
    return report


def _add_tables(report: Report, scores: Mapping[str, Sequence[Mapping[str, Any]]], unit: str, seed: int) -> None:
    shown = {name: [row for row in rows if row["true size"]] for name, rows in scores.items()}
    baseline = next(iter(shown.values()))
    if baseline:
        measures = (("dice", "Dice"), ("hd95", f"HD95 ({unit})"))
        rows = [
            {"trained on": name} | comparison_row(own, None if own is baseline else baseline, seed, measures)
            for name, own in shown.items()
        ]
        note = (
            "On real test cases that hold something to find. Differences are of the same patients. HD95 leaves out "
            "cases in which nothing was found, its difference those in which either found nothing: read it beside "
            "their number. Intervals say how the result depends on the test patients; how it depends on the training "
            "run takes several trainings of each segmenter."
        )
        report.add(NAME, list(rows[0]), rows, note)
    else:
        report.warnings.append("Dice and HD95 are not defined: every true mask is empty")
    empty = {name: [row for row in rows if not row["true size"]] for name, rows in scores.items()}
    if empty[next(iter(empty))]:
        rows = [
            {"trained on": name, "cases": len(own), "something marked": sum(row["found size"] > 0 for row in own)}
            for name, own in empty.items()
        ]
        report.add(NO_LESION, list(rows[0]), rows, "There is nothing to find: any mark is a false one.")


def _masks(title: str, folder: str | Path, pattern: str | None) -> dict[str, ImageFile]:
    """The masks of a folder by case."""
    try:
        files = find_images(folder)
    except InputError as error:
        raise InputError(f"{title}: {error}") from error
    if files[0].kind == DICOM:
        raise InputError(f"{title} {folder}: holds DICOM files; give masks as volume files or pictures")
    found: dict[str, ImageFile] = {}
    for file in files:
        case = case_of(file, pattern)
        if case in found:
            raise InputError(
                f"{title} {folder}: {found[case].name} and {file.name} are both of case {case}; keep one, or give a "
                "--case_pattern that tells them apart"
            )
        found[case] = file
    return found


def _check_cases(name: str, found: Mapping[str, ImageFile], truth: Mapping[str, ImageFile]) -> list[str]:
    """Refuse missing masks, and say which have no truth."""
    missing = [case for case in truth if case not in found]
    if missing:
        raise InputError(
            f"predictions {name}: has no mask for case {missing[0]} ({len(missing)} of {len(truth)} are missing); "
            "predict them too, where nothing is found as an empty mask, or give --case_pattern if names differ"
        )
    surplus = [case for case in found if case not in truth]
    if not surplus:
        return []
    return [f"{len(surplus)} masks of {name} have no true mask and are left out, such as {surplus[0]}"]


def _scores(truth: ImageFile, predicted: ImageFile) -> dict[str, float]:
    """Dice and HD95, NaN where the true mask is empty, and both masks' sizes in pixels or voxels."""
    wanted, found, spacing = _pair(truth, predicted)
    sizes = {"true size": int(wanted.sum()), "found size": int(found.sum())}
    scores = mask_scores(found, wanted, spacing) if sizes["true size"] else {"dice": np.nan, "hd95": np.nan}
    return scores | sizes


def _pair(truth: ImageFile, predicted: ImageFile) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Both as bool, two- or three-dimensional, with the spacing."""
    if truth.kind != predicted.kind:
        raise InputError(f"{predicted.source}: is of another kind than {truth.source}; write both alike")
    if truth.kind == VOLUME:
        volumes = [load_volume(file.source, single_slice=True) for file in (truth, predicted)]
        if not same_grid(*volumes):
            raise InputError(
                f"{predicted.source}: is on another grid than the true mask ({describe_grid(volumes[1])}; truth: "
                f"{describe_grid(volumes[0])}); resample it"
            )
        # An axis with one voxel has no neighbours: with it every pixel would count as surface.
        axes = [axis for axis, length in enumerate(volumes[0].shape[1:]) if length > 1] or [0]
        shape = [volumes[0].shape[1 + axis] for axis in axes]
        masks = [(volume.as_tensor() != 0).reshape(shape) for volume in volumes]
        return *masks, [float(volumes[0].pixdim[axis]) for axis in axes]
    masks = [torch.from_numpy(np.ascontiguousarray(load_mask(file))) for file in (truth, predicted)]
    if masks[0].shape != masks[1].shape:
        sizes = ["x".join(map(str, mask.shape)) for mask in masks]
        raise InputError(f"{predicted.source}: is {sizes[1]}, the true mask {sizes[0]}; resample it")
    return *masks, [1.0] * masks[0].ndim


def _fingerprint(masks: Mapping[str, ImageFile]) -> str:
    return sha256_of_json([[case, sha256_of_file(file.source)] for case, file in masks.items()])
