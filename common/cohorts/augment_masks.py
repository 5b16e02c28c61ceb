"""New tumour masks from given ones, kept inside the brain."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, ResampleToMatch
from scipy import ndimage
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file, sha256_of_json
from ..io.volumes import load_volume, same_grid, save_nifti
from ..outputs import DATALIST
from ..sampling.plan import find_masks, sample_seed
from ..transforms.geometry import ATLAS_BOX_MM, is_atlas_grid
from ..transforms.tumor_regions import ENHANCING, NECROSIS, OEDEMA, REGION_NAMES, WHOLE, canonical_regions
from .datalist import save_datalist

logger = logging.getLogger(__name__)

MIN_INSIDE = 0.9  # share of a moved tumour that has to lie in the brain; the rest is cut off
ATTEMPTS = 40
LABELS = {value: REGION_NAMES[value] for value in (NECROSIS, OEDEMA, ENHANCING, WHOLE)}


def augment_masks(
    input: str,
    output: str,
    num: int = 10,
    reference: str | None = None,
    labels: str | dict = "auto",
    seed: int = 0,
    **amounts: Any,
) -> Path:
    """Write `num` new masks for each given one and a datalist; see `scripts/augment_masks.py` for the arguments.

    New masks hold canonical values (1 necrosis, 2 oedema, 3 enhancing, 4 whole tumour), said in the datalist.

    Returns:
        Path of the datalist.

    Raises:
        InputError: unusable input, or a tumour that finds no place inside the brain.
    """
    cases = find_masks(input, reference)
    folder = make_output_dir(output)
    items = []
    with tqdm(total=num * len(cases), desc="new masks", unit="mask") as progress:
        for case in cases:
            path = case["image"]
            source = load_volume(path)
            regions = canonical_regions(source, case.get("labels", labels), path)
            brain = _brain(case, source)
            for k in range(num):
                facts = [sha256_of_file(path), case.get("reference"), str(labels), seed, k, sorted(amounts.items())]
                name = f"{case['case']}_aug{k}"
                target = folder / f"{name}_{sha256_of_json(facts)[:8]}_seg.nii.gz"
                if not target.is_file():
                    rng = np.random.default_rng(sample_seed(seed, case["case"], k))
                    mask = augment_mask(
                        np.asarray(regions[0], np.uint8), brain, np.asarray(source.pixdim, float), rng, **amounts
                    )
                    if mask is None:
                        raise InputError(
                            f"{path}: new tumour {k} finds no place inside the brain; "
                            "lower --scale_range or check --reference"
                        )
                    save_nifti(target, mask, np.asarray(source.affine), "SYNTHETIC tumour mask")
                kept = {"reference": case["reference"]} if "reference" in case else {}
                items.append({"case": name, "patient": case["case"], "label": str(target), "labels": LABELS, **kept})
                progress.update()
    path = folder / DATALIST
    save_datalist(path, {"training": items}, cohort="augmented masks", seed=seed)
    return path


def _brain(case: dict[str, Any], mask: MetaTensor) -> np.ndarray:
    """Where new tumours may lie, bool (X, Y, Z), in the mask's own orientation."""
    if case.get("reference"):
        image = load_volume(case["reference"])
        if not same_grid(image, mask):
            image = ResampleToMatch(mode="nearest", padding_mode="zeros")(image, mask)
        return ndimage.binary_fill_holes(np.asarray((image != 0).any(0)))
    ras = Orientation(axcodes="RAS", labels=None)(mask)
    spacing = np.asarray(ras.pixdim, float)
    extent = np.array(ras.shape[1:]) * spacing
    low, high = np.array(ATLAS_BOX_MM) if is_atlas_grid(ras) else (0 * extent, extent)
    centre, semi_axes = (low + high) / 2, (high - low) / 2 * 0.92
    axes = [
        ((np.arange(n) + 0.5) * s - c) / a for n, s, c, a in zip(ras.shape[1:], spacing, centre, semi_axes, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = MetaTensor(torch.from_numpy(x**2 + y**2 + z**2 < 1)[None].float(), meta=ras.meta)
    back = ResampleToMatch(mode="nearest")(inside, mask)
    return np.asarray(back[0] > 0.5)


def augment_mask(
    regions: np.ndarray,
    brain: np.ndarray,
    spacing: np.ndarray,
    rng: np.random.Generator,
    max_shift_mm: float = 30.0,
    max_rotation: float = 180.0,
    scale_range: tuple[float, float] = (0.7, 1.3),
    deformation_mm: float = 4.0,
    region_change: float = 0.3,
) -> np.ndarray | None:
    """One new tumour from a given one.

    Args:
        regions: canonical mask (X, Y, Z), uint8.
        brain: bool (X, Y, Z).
        spacing: voxel size, millimetres.
        rng: source of all draws.
        max_shift_mm, max_rotation, scale_range, deformation_mm, region_change: see `scripts/augment_masks.py`.

    Returns:
        Mask of the same shape, or None where no place inside the brain was found.
    """
    tumour = np.argwhere(regions > 0)
    centre = tumour.mean(0) * spacing
    room = np.argwhere(ndimage.binary_erosion(brain, iterations=2))
    if len(room) == 0:
        return None
    for attempt in range(ATTEMPTS):
        scale = rng.uniform(*scale_range) * 0.97**attempt  # a large tumour may need to shrink to fit
        rotation = _rotation(rng.uniform(-max_rotation, max_rotation, 3))
        goal = room[rng.integers(len(room))] * spacing
        way = goal - centre
        goal = centre + way * min(1.0, rng.uniform(0, max_shift_mm) / max(np.linalg.norm(way), 1e-6))
        moved = _move(regions, spacing, centre, goal, rotation, scale, deformation_mm, rng)
        inside = moved * brain
        if (moved > 0).sum() and (inside > 0).sum() >= max(MIN_INSIDE * (moved > 0).sum(), 1):
            return _change_regions(inside, rng, region_change)
    return None


def _rotation(degrees: np.ndarray) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _move(
    regions: np.ndarray,
    spacing: np.ndarray,
    centre: np.ndarray,
    goal: np.ndarray,
    rotation: np.ndarray,
    scale: float,
    deformation_mm: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Nearest-neighbour pull of the regions through the inverse motion, in millimetres."""
    axes = [np.arange(n) * s for n, s in zip(regions.shape, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    source = rotation.T @ (points - goal[:, None]) / scale + centre[:, None]
    if deformation_mm > 0:
        coarse = [max(3, int(n * s / 25) + 2) for n, s in zip(regions.shape, spacing, strict=True)]
        grid = np.meshgrid(
            *[np.linspace(0, c - 1, n) for c, n in zip(coarse, regions.shape, strict=True)], indexing="ij"
        )
        for axis in range(3):
            field = rng.normal(0, deformation_mm, coarse)
            source[axis] += ndimage.map_coordinates(field, grid, order=1).reshape(-1)
    return ndimage.map_coordinates(regions, source / spacing[:, None], order=0).reshape(regions.shape)


def _change_regions(mask: np.ndarray, rng: np.random.Generator, probability: float) -> np.ndarray:
    """At random: necrosis becomes enhancing, the rim becomes core, or the oedema shrinks away from outside."""
    changed = mask.copy()
    if (mask == WHOLE).any():
        return changed
    if rng.random() < probability:
        changed[mask == NECROSIS] = ENHANCING
    elif rng.random() < probability:
        changed[mask == ENHANCING] = NECROSIS
    core = np.isin(changed, (NECROSIS, ENHANCING))
    if rng.random() < probability and core.any():
        kept = ndimage.binary_erosion(changed > 0, iterations=int(rng.integers(1, 4))) | core
        changed[~kept] = 0
    return changed
