"""Whether a synthetic volume shows the tumour that its mask asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from scipy import ndimage

from ..transforms.tumor_regions import ENHANCING, NECROSIS, OEDEMA, WHOLE

# BraTS' nested regions as sets of canonical values.
NESTED_REGIONS = {
    "whole": (NECROSIS, OEDEMA, ENHANCING, WHOLE),
    "core": (NECROSIS, ENHANCING),
    "enhancing": (ENHANCING,),
}
# From dark to bright in each contrast, as radiology expects of an enhancing glioma; brain is tissue away from it.
INTENSITY_ORDER: Mapping[str, Sequence[str]] = {
    "T1": ("necrosis", "enhancing", "oedema", "brain"),
    "T1C": ("necrosis", "oedema", "brain", "enhancing"),
    "T2": ("brain", "enhancing", "oedema", "necrosis"),
    "FLAIR": ("necrosis", "brain", "enhancing", "oedema"),
}
# Smaller regions are all partial volume at the compact grid.
MIN_VOXELS = 40
BRAIN_DISTANCE = 2


def dice(first: torch.Tensor, second: torch.Tensor) -> float:
    """Dice overlap of two bool masks; NaN where both are empty."""
    total = int(first.sum() + second.sum())
    return 2 * int((first & second).sum()) / total if total else float("nan")


def region_dice(segmentation: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """Dice of the nested regions (whole, core, enhancing) of two canonical masks of equal shape.

    NaN for a region that the mask does not have.
    """
    scores = {}
    for name, values in NESTED_REGIONS.items():
        wanted = torch.isin(mask, torch.tensor(values, dtype=mask.dtype))
        found = torch.isin(segmentation, torch.tensor(values, dtype=segmentation.dtype))
        scores[name] = dice(found, wanted) if wanted.any() else float("nan")
    return scores


def region_medians(image: torch.Tensor, mask: torch.Tensor, brain: torch.Tensor) -> dict[str, torch.Tensor]:
    """Median of each channel in necrosis, enhancing tumour, oedema and brain away from the tumour.

    The median, since brain holds some cerebrospinal fluid and thin regions some of their neighbours.

    Args:
        image: (C, X, Y, Z).
        mask: canonical regions (X, Y, Z).
        brain: bool (X, Y, Z).

    Returns:
        (C,) for each region of at least `MIN_VOXELS` voxels.
    """
    near = torch.from_numpy(ndimage.binary_dilation((mask > 0).numpy(), iterations=BRAIN_DISTANCE))
    regions = {
        "necrosis": mask == NECROSIS,
        "enhancing": mask == ENHANCING,
        "oedema": mask == OEDEMA,
        "brain": brain & ~near,
    }
    return {
        name: image[:, where].median(dim=1).values for name, where in regions.items() if int(where.sum()) >= MIN_VOXELS
    }


def has_expected_order(medians: Mapping[str, torch.Tensor], contrasts: Sequence[str]) -> dict[str, bool | None]:
    """For each contrast, whether the regions that are there are ordered as `INTENSITY_ORDER` says.

    None where fewer than two are there: nothing to order.
    """
    result: dict[str, bool | None] = {}
    for channel, contrast in enumerate(contrasts):
        values = [float(medians[name][channel]) for name in INTENSITY_ORDER[contrast] if name in medians]
        ordered = all(a < b for a, b in zip(values, values[1:], strict=False))
        result[contrast] = ordered if len(values) > 1 else None
    return result
