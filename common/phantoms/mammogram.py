"""Mammogram phantoms: one view of a breast whose outline, density, vendor and lesion are known.

They are cartoons, made to carry every attribute that a prompt can name in a form that can be measured again: area and
density lie in ranges with gaps between the classes, two vendors differ in intensity law, sharpness and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cohorts.lesion_masks import mask_box
from ..errors import InputError
from ..knobs import check_choice
from .mammogram_lesions import LesionPlan, draw_lesion
from .mammogram_outline import draw_outline
from .mammogram_tissue import VENDORS, fill_breast, noise, show, skin_distance

VIEWS = ("CC", "MLO")
LATERALITIES = ("L", "R")
# Share of the breast's pixels in the image padded to a square; the words' limits are 0.4 and 0.6.
AREA_RANGES = {"small": (0.22, 0.38), "medium": (0.42, 0.58), "big": (0.62, 0.74)}
# Share of fibroglandular tissue in the breast without its pectoral muscle.
DENSE_RANGES = {"A": (0.05, 0.15), "B": (0.28, 0.40), "C": (0.52, 0.66), "D": (0.78, 0.90)}
SHAPE, SPACING_MM = (512, 448), 0.5
SKIN_MARGIN_MM = 4.0  # lesions keep away from the skin and from the muscle by this much
SMALLEST_HEIGHT = 128


@dataclass(frozen=True)
class MammogramPhantom:
    """One image as it is displayed: right breasts have the chest wall at the right edge.

    Attributes:
        image: (H, W) float32, 0 black (air) to 1 white.
        healthy: the same without the lesion, noise included; `image` itself where there is none.
        breast: (H, W) bool, pectoral muscle included.
        pectoral: (H, W) bool.
        dense: (H, W) bool, fibroglandular tissue.
        dense_share: of the breast without its pectoral muscle.
        area_ratio: share of the breast in the image padded to a square.
        lesion: (H, W) uint8, 1 in the lesion; None where there is none.
        finding: number, type, pathology, birads, box [x0, y0, x1, y1] with the last pixel excluded; None as above.
        view, laterality, vendor, density, area: as asked for.
        spacing: (row_mm, column_mm).
    """

    image: np.ndarray
    healthy: np.ndarray
    breast: np.ndarray
    pectoral: np.ndarray
    dense: np.ndarray
    dense_share: float
    area_ratio: float
    lesion: np.ndarray | None
    finding: dict[str, Any] | None
    view: str
    laterality: str
    vendor: str
    density: str
    area: str
    spacing: tuple[float, float]


def make_mammogram(
    seed: int,
    view: str = "CC",
    laterality: str = "L",
    vendor: str = "siemens",
    density: str = "B",
    area: str = "medium",
    lesion: LesionPlan | None = None,
    shape: tuple[int, int] = SHAPE,
    spacing_mm: float = SPACING_MM,
    area_ratio: float | None = None,
    dense_share: float | None = None,
) -> MammogramPhantom:
    """Draw one view; the same arguments give the same pixels, and a lesion changes only those in its mask.

    Args:
        seed: of anatomy and noise.
        view: CC or MLO.
        laterality: L or R; the same seed gives mirrored anatomy.
        vendor: siemens or hologic; the anatomy doesn't depend on it.
        density: A to D.
        area: small, medium or big.
        lesion: what to draw into the breast.
        shape: (H, W); H at least 128. A big breast needs W of about 0.82 H or more.
        spacing_mm: pixel size; 0.5 mm at 512 rows, less in proportion at more.
        area_ratio: exact target within the area's range of `AREA_RANGES`; drawn from it if None.
        dense_share: the same within `DENSE_RANGES`.

    Raises:
        InputError: an unknown word, a target outside of its class, or an image too small for what was asked.
    """
    for name, value, choices in (
        ("view", view, VIEWS),
        ("laterality", laterality, LATERALITIES),
        ("vendor", vendor, tuple(VENDORS)),
        ("density", density, tuple(DENSE_RANGES)),
        ("area", area, tuple(AREA_RANGES)),
    ):
        check_choice(name, value, choices)
    if shape[0] < SMALLEST_HEIGHT:
        raise InputError(f"shape={tuple(shape)}: a phantom needs at least {SMALLEST_HEIGHT} rows")
    rng = np.random.default_rng([seed, 20231119])
    drawn = rng.uniform(*AREA_RANGES[area]), rng.uniform(*DENSE_RANGES[density])
    area_ratio = _target("area_ratio", area_ratio, drawn[0], AREA_RANGES[area])
    dense_share = _target("dense_share", dense_share, drawn[1], DENSE_RANGES[density])
    outline = draw_outline(rng, view, area_ratio, tuple(shape), spacing_mm)
    distance = skin_distance(outline.breast, spacing_mm)
    tissue, dense = fill_breast(rng, outline, distance, dense_share, spacing_mm)
    # In an order of their own: another vendor or another lesion leaves the rest as it is.
    grain = noise(np.random.default_rng([seed, 20231120]), outline.breast, vendor)
    display = show(tissue, outline, distance, vendor, spacing_mm) + grain
    healthy = np.clip(display, 0, 1)
    image, label, finding = healthy, None, None
    if lesion is not None:
        free = outline.breast & ~outline.pectoral & (distance > SKIN_MARGIN_MM)
        own = np.random.default_rng([seed, 20231121])
        added, mask = draw_lesion(own, lesion, free, outline.nipple[1], spacing_mm)
        image, label = np.clip(display + added, 0, 1), mask.astype(np.uint8)
    side = (lambda array: array[:, ::-1].copy()) if laterality == "R" else (lambda array: array)
    if label is not None:
        label = side(label)
        (y0, x0), (y1, x1) = mask_box(label)
        finding = {"number": 1, "type": lesion.type, "pathology": lesion.pathology, "birads": lesion.birads}
        finding["box"] = [int(x0), int(y0), int(x1), int(y1)]
    gland = outline.breast & ~outline.pectoral
    return MammogramPhantom(
        image=side(image),
        healthy=side(healthy),
        breast=side(outline.breast),
        pectoral=side(outline.pectoral),
        dense=side(dense),
        dense_share=float(dense.sum() / gland.sum()),
        area_ratio=float(outline.breast.sum() / max(shape) ** 2),
        lesion=label,
        finding=finding,
        view=view,
        laterality=laterality,
        vendor=vendor,
        density=density,
        area=area,
        spacing=(float(spacing_mm), float(spacing_mm)),
    )


def _target(name: str, asked: float | None, drawn: float, limits: tuple[float, float]) -> float:
    if asked is None:
        return drawn
    if not limits[0] <= asked <= limits[1]:
        raise InputError(f"{name}={asked}: the class asked for has {limits[0]} to {limits[1]}")
    return asked
