"""Paired scores of synthetic images against the real images of their cases, by region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..metrics.learned_distance import LearnedDistance
from ..metrics.paired import mae, psnr, ssim
from ..metrics.ssim import ms_ssim
from ..metrics.uncertainty import mean_with_interval
from ..reports.report import Report
from .cases import indices_by_case, mask_on
from .image_files import ImageFile
from .image_stream import ImageStream

IMAGE, BODY, LESION = "image", "body", "lesion"
BACKGROUND = 0.05  # of the scale: what is brighter in the real image is body
WINDOW, SMALL_WINDOW = 11, 7
NAME = "Pairs"


def pair_scores(
    first: np.ndarray, second: np.ndarray, lesion: np.ndarray | None, learned: LearnedDistance | None = None
) -> dict[str, dict[str, float]]:
    """Scores of one pair, by region.

    Args:
        first, second: synthetic and real image, (H, W) or (X, Y, Z), on [0, 1].
        lesion: bool mask of that shape; None or empty where there is none.
        learned: LPIPS; of volumes the mean over axial slices.

    Returns:
        `image`, `body` and, where there is one, `lesion`, each with `MAE`, `PSNR` (dB, data range 1) and `SSIM`;
        `image` also with `MS-SSIM` and, with its network, `LPIPS`. NaN where a score is not defined: an empty region,
        SSIM of a side below 7.
    """
    image, reference = (torch.from_numpy(np.ascontiguousarray(part))[None].float() for part in (first, second))
    span = torch.ones(1)
    regions = {IMAGE: torch.ones_like(reference[0], dtype=torch.bool), BODY: reference[0] > BACKGROUND}
    if lesion is not None and lesion.any():
        regions[LESION] = torch.from_numpy(lesion)
    side = min(reference.shape[1:])
    window = WINDOW if side >= WINDOW else SMALL_WINDOW
    found: dict[str, dict[str, float]] = {}
    for name, region in regions.items():
        found[name] = {"MAE": float(mae(image, reference, region)), "PSNR": float(psnr(image, reference, region, span))}
        found[name]["SSIM"] = float(ssim(image, reference, region, span, window)) if side >= window else float("nan")
    found[IMAGE]["MS-SSIM"] = similarity(first, second)
    if learned is not None:
        found[IMAGE]["LPIPS"] = float(learned(image[None], reference[None]))
    return found


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """MS-SSIM of two images or volumes on [0, 1]; as many of the five scales as fit; NaN for a side below 7."""
    if min(first.shape) < SMALL_WINDOW:
        return float("nan")
    pair = (torch.from_numpy(np.ascontiguousarray(part))[None, None].double() for part in (first, second))
    return float(ms_ssim(*pair, data_range=1.0, window_size=window_of(first.shape)))


def window_of(shape: tuple[int, ...]) -> int:
    """Side of the Gaussian window: 11, or 7 for images whose shortest side is below 22, which leaves two scales."""
    return WINDOW if min(shape) >= 2 * WINDOW else SMALL_WINDOW


def scales_of(shape: tuple[int, ...], most: int = 5) -> int:
    """How many scales of MS-SSIM an image has room for."""
    window, scales = window_of(shape), 1
    while scales < most and min(shape) // 2**scales >= window:
        scales += 1
    return scales


def add_pairs(
    report: Report,
    real: ImageStream,
    synthetic: ImageStream,
    case_pattern: str | None,
    masks: Mapping[int, ImageFile] | None = None,
    learned: LearnedDistance | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score every synthetic image against the real image of its case, and append the table.

    Args:
        report: gets the table.
        real, synthetic: the sets; a case has one real and any number of synthetic images.
        case_pattern: see `case_of`.
        masks: for numbers of real images their lesion masks.
        learned: LPIPS.
        seed: of the bootstrap, over cases.

    Returns:
        A row for each pair.

    Raises:
        InputError: no case is in both sets, a case has several real images, or a pair differs in size.
    """
    cases, samples = indices_by_case(real.survey, case_pattern), indices_by_case(synthetic.survey, case_pattern)
    shared = [case for case in cases if case in samples]
    if not shared:
        raise InputError(
            f"paired: no synthetic image has the case of a real one ({next(iter(samples))} against "
            f"{next(iter(cases))}); name them alike, or give --case_pattern with the shared part in brackets"
        )
    double = next((case for case in shared if len(cases[case]) > 1), None)
    if double is not None:
        raise InputError(f"paired: case {double} has {len(cases[double])} real images; a pair needs one")
    rows: list[dict[str, Any]] = []
    by_case: dict[tuple[str, str], list[float]] = {}
    for case in tqdm(shared, desc="pairs", unit="case"):
        number = cases[case][0]
        reference = real[number]
        shape = real.survey.looks[number].shape
        lesion = mask_on(masks[number], shape, real.size) if masks and number in masks else None
        found = [pair_scores(synthetic[k], reference, lesion, learned) for k in samples[case]]
        names = [synthetic.survey.files[k].name for k in samples[case]]
        for name, regions in zip(names, found, strict=True):
            flat = {f"{score} {region}": v for region, scores in regions.items() for score, v in scores.items()}
            rows.append({"case": case, "synthetic": name, **flat})
        for region, scores in found[0].items():
            for score in scores:
                values = [part[region][score] for part in found]
                by_case.setdefault((region, score), []).append(float(np.mean(values)))
    table = [
        {
            "region": region,
            **{
                score: mean_with_interval(by_case[region, score], seed)
                for score in ("MAE", "PSNR", "SSIM", "MS-SSIM", "LPIPS")
                if (region, score) in by_case
            },
            "n cases": len(next(values for (name, _), values in by_case.items() if name == region)),
        }
        for region in (IMAGE, BODY, LESION)
        if any(name == region for name, _ in by_case)
    ]
    missing = len(cases) - len(shared)
    note = (
        "On the report's one intensity scale, data range 1: MAE in shares of it, PSNR in dB. Body: where the real "
        f"image is above {BACKGROUND:.0%} of the scale; lesion: its mask. Several samples of a case are averaged "
        f"first; intervals are over cases. SSIM with a Gaussian window of {WINDOW}, MS-SSIM with "
        f"{scales_of(real[0].shape)} of 5 scales, as many as the images have room for."
        + (f" {missing} real cases have no synthetic image." if missing else "")
    )
    columns = ["region", "MAE", "PSNR", "SSIM", "MS-SSIM", "LPIPS", "n cases"]
    report.add(NAME, [c for c in columns if any(c in row for row in table)], table, note)
    return rows
