"""The breast in a mammogram: its outline, the side of its chest wall, its view and its size, from pixels alone.

The pectoral muscle belongs to the breast here, as it does in the area ratio of the original. Labels and markers burnt
into the image do not.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ..errors import InputError
from .breast_mask import otsu_threshold
from .resampling import axis_weights

LEFT, RIGHT = "left", "right"
COARSE_SIDE = 448  # pixels of the longer side at which the outline is found
LEAST_STEP = 0.012  # in display values: tissue is at least so much brighter than the air beside it
AIR_LEVEL_SPREAD = 0.01
# Air is darker than this share of the tissue; where nothing is, the picture is a part of a breast without any air.
DARKEST_TISSUE = 0.6
OPENING = 0.02  # of the longer side: links thinner than twice this, to labels and film edges, are cut
EDGE_LEVEL, RIM = 0.4, 2  # of the step from air to tissue; coarse pixels
EDGE_SHARE = 0.06  # of the breast's width, that stands for its end
LEAST_EVIDENCE = 0.1
LEAST_MLO_SCORE = 0.15
AREA_LIMITS = (0.4, 0.6)
AREA_WORDS = ("small", "medium", "big")


def breast_mask(display: np.ndarray) -> np.ndarray:
    """The breast with its pectoral muscle: the largest body that is brighter than air, holes filled.

    Found on a coarse grid, then drawn on the image's own pixels. Air may have a level of its own (film), a black
    border beside it (digitised film in a square) and noise. A picture without air is all breast.

    Args:
        display: (H, W), display values in [0, 1].

    Returns:
        bool (H, W).

    Raises:
        InputError: the image is constant, or nothing in it is brighter than air.
    """
    display = np.ascontiguousarray(display, np.float32)
    if display.ndim != 2 or min(display.shape) < 8:
        raise InputError(f"an image of {' x '.join(map(str, display.shape))} pixels is no mammogram")
    coarse = _coarse(display)
    air = _air(coarse)
    if air is None:
        return np.ones(display.shape, bool)
    level, threshold = air
    smooth = ndimage.gaussian_filter(coarse, 1.0)
    body = _largest_body(smooth > threshold)
    if not body.any():
        raise InputError("nothing in the image is brighter than air; check that it is a mammogram and its window")
    # On the image's own pixels the level decides again, but only at the coarse outline. Smoothing made sharp edges
    # wide: they lie about half way up to the tissue beside them.
    edge = level + EDGE_LEVEL * (ndimage.maximum_filter(smooth, 5) - level)
    field = smooth - np.maximum(threshold, edge)
    field[ndimage.binary_erosion(body, iterations=RIM, border_value=1)] = LEAST_STEP
    field[~ndimage.binary_dilation(body)] = -LEAST_STEP
    rows, columns = (
        axis_weights(fine, rough, fine / rough, 0.0) for fine, rough in zip(display.shape, field.shape, strict=True)
    )
    return (rows @ (columns @ field.T).T) > 0


def chest_wall_evidence(mask: np.ndarray) -> float:
    """How clearly the breast's tall end is on the left (towards 1) or on the right (towards -1).

    The chest wall cuts the breast where it is tall, the nipple ends it where it is low: the heights of the mask at both
    ends of its width are compared.

    Raises:
        InputError: the mask is empty.
    """
    rows, columns = _extent(mask)
    heights = mask[rows, columns].sum(axis=0)
    count = max(1, round(EDGE_SHARE * len(heights)))
    left, right = float(heights[:count].mean()), float(heights[-count:].mean())
    return (left - right) / (left + right)


def chest_wall_side(mask: np.ndarray) -> str:
    """`left` or `right`: the edge of the image on which the chest wall lies; see `chest_wall_evidence`."""
    return LEFT if chest_wall_evidence(mask) >= 0 else RIGHT


def is_mirrored(mask: np.ndarray, laterality: str | None = None) -> tuple[bool, str | None]:
    """Whether the chest wall is on the right, and a warning where pixels and laterality disagree.

    Pixels decide. Where they tell too little (a picture that is all breast), the laterality does, as right breasts are
    stored with the chest wall on the right; where it is unknown too, the image stays as it is.
    """
    evidence = chest_wall_evidence(mask)
    if abs(evidence) < LEAST_EVIDENCE:
        side = "pixels do not tell the side of the chest wall"
        told = f"the laterality {laterality} decides" if laterality else "the image stays as it is"
        return laterality == "R", f"{side}; {told}"
    mirrored = evidence < 0
    if laterality is not None and mirrored != (laterality == "R"):
        found = RIGHT if mirrored else LEFT
        return mirrored, f"laterality {laterality}, but the chest wall is on the {found}; the pixels decide"
    return mirrored, None


def guess_view(display: np.ndarray, mask: np.ndarray) -> str:
    """`CC` or `MLO`, from what differs between the upper and the lower end of the breast.

    In MLO views the breast is wide at the top, where it goes over into the axilla, and its upper corner at the chest
    wall is bright with muscle. In CC views both ends are alike.

    Args:
        display: (H, W), as for `breast_mask`.
        mask: (H, W), from `breast_mask`.

    Raises:
        InputError: the mask is empty.
    """
    extent = _extent(mask)
    side = slice(None) if chest_wall_side(mask) == LEFT else slice(None, None, -1)
    breast, values = mask[extent][:, side], display[extent][:, side]
    widths = breast.sum(axis=1)
    count = max(1, len(widths) // 10)
    lean = (float(widths[:count].mean()) - float(widths[-count:].mean())) / float(widths.max())
    rows, columns = np.ogrid[: breast.shape[0], : breast.shape[1]]
    corner = rows / (0.3 * breast.shape[0]) + columns / (0.4 * breast.shape[1]) < 1
    upper, lower = (values[triangle & breast] for triangle in (corner, corner[::-1]))
    typical = float(np.median(values[breast]))
    muscle = 0.0
    if upper.size and lower.size and typical:
        # Muscle is bright throughout, gland in a corner only in part.
        muscle = float(np.percentile(upper, 25) - np.percentile(lower, 25)) / typical
    return "MLO" if lean + muscle > LEAST_MLO_SCORE else "CC"


def area_ratio(mask: np.ndarray) -> float:
    """Share of a square image's pixels that the breast covers, 0 to 1."""
    return float(np.count_nonzero(mask)) / mask.size


def area_word(ratio: float) -> str:
    """`small` below 0.4, `medium` below 0.6, `big` from there on: the paper's table 2."""
    return AREA_WORDS[int(np.searchsorted(AREA_LIMITS, ratio, side="right"))]


def _coarse(display: np.ndarray) -> np.ndarray:
    step = max(1, -(-max(display.shape) // COARSE_SIDE))
    size = [max(8, -(-length // step)) for length in display.shape]
    return torch.nn.functional.interpolate(torch.from_numpy(display)[None, None], size, mode="area")[0, 0].numpy()


def _air(coarse: np.ndarray) -> tuple[float, float] | None:
    """The display value of air, and the one above which a pixel is tissue; None where no pixel is air."""
    if coarse.max() <= coarse.min():
        raise InputError("every pixel of the image is alike; check that it is a mammogram and its window")
    # Square roots part dark tissue from air better than the values themselves, which part dense tissue from fat.
    middle = otsu_threshold(np.sqrt(np.clip(coarse, 0, None))) ** 2
    dark = coarse[coarse <= middle]
    if np.median(dark) > DARKEST_TISSUE * np.median(coarse[coarse > middle]):
        return None
    level, spread = _air_level(dark, coarse.size)
    return level, min(level + max(LEAST_STEP, 4 * spread), max(middle, level + LEAST_STEP / 2))


def _air_level(dark: np.ndarray, total: int) -> tuple[float, float]:
    """Display value of the air and its spread (a standard deviation), from what is darker than tissue."""
    for values in (dark[dark > dark.min()], dark):
        # Where a black border surrounds the film, the film's own level is what the breast fades into.
        if len(values) < 0.03 * total:
            continue
        counts, edges = np.histogram(values, np.arange(0, dark.max() + 0.005, 0.0025))
        peak = int(np.argmax(ndimage.uniform_filter1d(counts.astype(float), 5)))
        level = float(edges[peak : peak + 2].mean())
        if np.mean(np.abs(values - level) <= AIR_LEVEL_SPREAD) > 0.35:
            below = level - values[values <= level]
            return level, float(np.median(below) / 0.6745) if below.size else 0.0
    return float(np.median(dark)), float(np.median(np.abs(dark - np.median(dark))) / 0.6745)


def _largest_body(tissue: np.ndarray) -> np.ndarray:
    """The largest component after opening, with what the opening took from its corners, holes filled."""
    radius = max(1, round(OPENING * max(tissue.shape)))
    disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius + 0.5
    # Nothing lies beyond the image's edges, so that the bright lines along the edges of films open too.
    opened = ndimage.binary_opening(tissue, disc)
    labels, count = ndimage.label(opened)
    if not count:
        return opened
    body = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    body = ndimage.binary_dilation(body, disc) & tissue
    return _fill(body)


def _fill(body: np.ndarray) -> np.ndarray:
    """Holes filled, those too that the chest wall's edge of the image closes."""
    left = chest_wall_evidence(body) >= 0
    closed = np.pad(body, ((0, 0), (1, 0) if left else (0, 1)), constant_values=True)
    filled = ndimage.binary_fill_holes(closed)
    return filled[:, 1:] if left else filled[:, :-1]


def _extent(mask: np.ndarray) -> tuple[slice, slice]:
    found = ndimage.find_objects(np.asarray(mask, np.uint8))
    if not found:
        raise InputError("the breast mask is empty; check that the image is a mammogram")
    return found[0]
