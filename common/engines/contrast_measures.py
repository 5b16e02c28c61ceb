"""All figures of one case of contrast synthesis: real phases against synthetic ones and the pre-contrast image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from ..metrics.kinetics import region_mean
from ..metrics.learned_distance import LearnedDistance
from ..metrics.paired import mae, percentile_range, psnr
from ..metrics.paper_compat import published_errors
from ..metrics.slicewise import slice_learned_distance, slice_ms_ssim, slice_ssim

# A lesion counts as missed where its synthetic peak enhancement stays below this share of the real one.
MISSED_SHARE = 0.3
# A false enhancing blob gains more than this (on the common scale) where nothing real gains half of it.
BLOB_GAIN = 0.25
BLOB_AREA_MM2 = 30.0


def image_metrics(
    image: torch.Tensor,
    reference: torch.Tensor,
    region: torch.Tensor,
    lpips: LearnedDistance | None = None,
    multiscale: bool = True,
) -> dict[str, list[float]]:
    """MAE, MSE, PSNR, SSIM, MS-SSIM and, with a network, LPIPS of each phase inside a region.

    `multiscale` False leaves out MS-SSIM and LPIPS, which mean nothing in regions of a few pixels.

    The data range is the span from the 0.1 to the 99.9 percentile of the reference inside the region, per phase.

    Args:
        image, reference: (P, X, Y, Z) on one scale.
        region: bool (X, Y, Z).
    """
    span = percentile_range(reference, region).clamp(min=1e-6)
    found = {
        "mae": mae(image, reference, region),
        "mse": (image - reference)[:, region].double().square().mean(dim=1),
        "psnr": psnr(image, reference, region, span),
        "ssim": slice_ssim(image, reference, region, span),
    }
    if multiscale:
        found["ms_ssim"] = slice_ms_ssim(image, reference, region, span)
        if lpips is not None:
            found["lpips"] = slice_learned_distance(lpips, image, reference, region)
    return {name: values.tolist() for name, values in found.items()}


def compat_metrics(pre: torch.Tensor, real: torch.Tensor, made: torch.Tensor, tumour: torch.Tensor) -> dict[str, Any]:
    """The published, wrapped errors: all slices for phase 1 alone; tumour slices and 5 % beside them for several.

    Args:
        pre: (1, X, Y, Z); real, made: (P, X, Y, Z).
        tumour: bool (X, Y, Z).
    """
    joint, count = len(real) > 1, real.shape[-1]
    reached = torch.nonzero(tumour.any(0).any(0))[:, 0]
    slices = slice(None)
    if joint and len(reached):
        margin = round(0.05 * count)
        slices = slice(max(0, int(reached[0]) - margin), min(count, int(reached[-1]) + 1 + margin))
    found: dict[str, Any] = {
        "slices": len(range(count)[slices]),
        "convention": "joint, tumour slices" if joint else "single-phase, all slices",
    }
    for name, image in (("synthetic", made), ("identity", pre.expand_as(real))):
        rows = []
        for phase in range(len(real)):
            pair = [real[phase][..., slices], image[phase][..., slices]]
            errors = published_errors(*(pair if joint else pair[::-1]), size=224 if joint else 512)
            usable = errors.psnr.isfinite()  # a slice without signal has none
            rows.append({"mae": float(errors.mae.mean()), "mse": float(errors.mse.mean())})
            rows[-1]["psnr"] = float(errors.psnr[usable].mean()) if usable.any() else None
        found[name] = rows
    return found


def lesion_regions(item: Mapping[str, Any], label: torch.Tensor) -> list[dict[str, Any]]:
    """The lesions of a case: number, what is known of each, its voxels, and the box around them.

    Args:
        item: datalist item; its `lesions` tell what is known of each value of the mask.
        label: (X, Y, Z), 0 outside; from a box alone, the box is the lesion.
    """
    known = {int(lesion["instance"]): lesion for lesion in item.get("lesions") or []}
    found = []
    for value in sorted(int(v) for v in label.unique() if v > 0):
        voxels = label == value
        places = voxels.nonzero()
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(places.amin(0), places.amax(0), strict=True))
        facts = known.get(value, {})
        found.append({"instance": value, "voxels": voxels, "box": box, **facts})
    return found


def lesion_measures(
    lesion: Mapping[str, Any],
    pre: torch.Tensor,
    real: torch.Tensor,
    made: torch.Tensor,
    scale: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Box errors and mean intensities of one lesion.

    Args:
        lesion: from `lesion_regions`.
        pre: (1, X, Y, Z); real, made: (P, X, Y, Z), on one scale.
        scale: `offset` and `factor` that lead back to the scanner's signal, of which kinetics are taken; without it
            there are none.
    """
    box = (slice(None), *lesion["box"])
    voxels = lesion["voxels"]
    means = {"pre": region_mean(pre, voxels)[0], "real": region_mean(real, voxels), "made": region_mean(made, voxels)}
    gain = [max(means[name]) - means["pre"] for name in ("real", "made")]
    return {
        "instance": lesion["instance"],
        "visible": lesion.get("visible"),
        "box_voxels": int(real[box].numel()),
        "box_error": float((made[box] - real[box]).double().abs().sum()),
        "box_error_identity": float((pre[box] - real[box]).double().abs().sum()),
        "box_square": float((made[box] - real[box]).double().square().sum()),
        "box_square_identity": float((pre[box] - real[box]).double().square().sum()),
        "means": means,
        "signal": None if scale is None else {name: _restored(value, scale) for name, value in means.items()},
        "std": {
            "real": [float(phase[voxels].double().std(correction=0)) for phase in real],
            "made": [float(phase[voxels].double().std(correction=0)) for phase in made],
        },
        "missed": bool(gain[0] > 0 and gain[1] < MISSED_SHARE * gain[0]),
    }


def _restored(value: float | list[float], scale: Mapping[str, float]) -> float | list[float]:
    if isinstance(value, list):
        return [_restored(entry, scale) for entry in value]
    return value * scale["factor"] + scale["offset"]


def false_blobs(
    pre: torch.Tensor,
    real: torch.Tensor,
    made: torch.Tensor,
    region: torch.Tensor,
    spacing: Sequence[float],
) -> tuple[int, int]:
    """Enhancing blobs that only the synthetic first phase shows, counted in axial slices of a region.

    A blob is a connected area of at least 30 mm2 that gains more than 0.25 on the common scale where the real image,
    within 3 mm, gains less than half of that.

    Args:
        pre: (1, X, Y, Z); real, made: (P, X, Y, Z).
        region: bool (X, Y, Z).
        spacing: millimetres.

    Returns:
        Number of blobs, number of slices.
    """
    nearby = [2 * max(1, round(3 / s)) + 1 for s in spacing[:2]]
    around = ndimage.maximum_filter((real[0] - pre[0]).numpy(), (*nearby, 1))
    extra = ((made[0] - pre[0]).numpy() > BLOB_GAIN) & (around < BLOB_GAIN / 2) & region.numpy()
    least = max(1, round(BLOB_AREA_MM2 / (spacing[0] * spacing[1])))
    count = 0
    for z in np.flatnonzero(extra.any((0, 1))):
        components, number = ndimage.label(extra[..., z])
        count += int((np.bincount(components.ravel(), minlength=number + 1)[1:] >= least).sum())
    return count, int(region.any(0).any(0).sum())
