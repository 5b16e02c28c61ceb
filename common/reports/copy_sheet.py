"""A contact sheet of the closest pairs of synthetic and training images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ..metrics.copies import CopyReport, Match
from ..metrics.copy_descriptors import area_average
from .mip_pictures import display
from .pictures import mosaic, save_png

HEIGHT = 160
TEXT_WIDTH = 280
COPY, HONEST = "COPY", "not a copy"


def copy_sheet(
    report: CopyReport,
    synthetic: Callable[[str], np.ndarray],
    training: Callable[[str], np.ndarray],
    limit: int = 12,
) -> np.ndarray:
    """Rows of synthetic image, nearest training image, their difference, and what is known of the pair.

    The synthetic image is shown as it was compared: flipped and moved onto the training image, on the training image's
    grid. Of volumes the slice in the middle of the last axis is shown. Both are shown at zero mean and unit deviation,
    -2 to 3 as black to white; the difference from -2 (black) over 0 (grey) to 2 (white).

    Args:
        report: of `find_copies`.
        synthetic, training: from a name to the image, 2D or 3D; only those of the sheet are asked for.
        limit: pairs at most, the closest first.

    Returns:
        (H, W, 3) uint8.
    """
    rows = []
    for place, number in enumerate(report.closest[:limit], 1):
        match = report.matches[number]
        reference = np.asarray(training(match.nearest), np.float32)
        moved = align(np.asarray(synthetic(match.name), np.float32), match, reference.shape)
        # What was moved in from outside is no part of the comparison.
        margin = tuple(slice(abs(s), n - abs(s)) for s, n in zip(match.shift, reference.shape, strict=True))
        left, right = (_normalised(image, image[margin]) for image in (moved, reference))
        rows.append([_gray(left, -2, 3), _gray(right, -2, 3), _gray(left - right, -2, 2), _caption(place, match)])
    found = report.spaces["pixel"]
    title = f"{found.copies['hits']} of {found.copies['n']} are copies (pixel distance <= {found.threshold:.3g})"
    if not rows:
        rows = [[np.zeros((HEIGHT, HEIGHT), np.uint8)]]
    return mosaic(rows, ("synthetic, aligned", "nearest training", "difference", "pair"), title)


def save_copy_sheet(
    path: str | Path,
    report: CopyReport,
    synthetic: Callable[[str], np.ndarray],
    training: Callable[[str], np.ndarray],
    limit: int = 12,
) -> Path:
    """Write `copy_sheet` as PNG. Returns the path."""
    save_png(path, copy_sheet(report, synthetic, training, limit), "closest pairs of synthetic and training images")
    return Path(path)


def align(image: np.ndarray, match: Match, shape: tuple[int, ...]) -> np.ndarray:
    """A synthetic image flipped and moved onto its training image, on a grid of `shape`; edges are repeated."""
    if image.shape != tuple(shape):
        image = area_average(image, tuple(shape))
    return ndimage.shift(np.flip(image, match.flips), match.shift, order=1, mode="nearest")


def _normalised(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    inside = inside if inside.size else image
    return (image - inside.mean()) / max(float(inside.std()), 1e-6)


def _gray(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """The middle slice as a picture of `HEIGHT` rows; of volumes as viewers show them."""
    plane = image if image.ndim == 2 else display(image[:, :, image.shape[2] // 2])
    width = max(1, round(HEIGHT * plane.shape[1] / plane.shape[0]))
    zoom = (HEIGHT / plane.shape[0], width / plane.shape[1])
    picture = ndimage.zoom(plane, zoom, order=1, mode="nearest", grid_mode=True)
    return np.rint(np.clip((picture - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _caption(place: int, match: Match) -> np.ndarray:
    """What is known of a pair as a picture of text; names stay out of what may be shared."""
    words = {True: COPY, False: HONEST}
    lines = [
        words[match.pixel_copy],
        f"pair {place}",
        f"pixel distance {match.pixel_distance:.4f}",
        f"flip {_axes(match.flips)}, shift {', '.join(map(str, match.shift))}",
    ]
    if match.feature_distance is not None:
        lines.append(f"feature distance {match.feature_distance:.4f}: {words[bool(match.feature_copy)]}")
    return _text(lines, (255, 110, 90) if match.pixel_copy else (230, 230, 230))


def _axes(flips: tuple[int, ...]) -> str:
    return "along axis " + " and ".join(map(str, flips)) if flips else "none"


def _text(lines: list[str], color: tuple[int, int, int]) -> np.ndarray:
    """Lines of text on black, the first in `color`; (HEIGHT, TEXT_WIDTH, 3) uint8."""
    picture = Image.new("RGB", (TEXT_WIDTH, HEIGHT))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, line in enumerate(lines):
        draw.text((4, 4 + 20 * number), line, fill=color if number == 0 else (230, 230, 230), font=font)
    return np.asarray(picture)
