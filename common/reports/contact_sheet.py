"""Real and synthetic example images side by side, on one display window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .pictures import mosaic, save_png

REAL_TITLE, SYNTHETIC_TITLE = "real", "SYNTHETIC"


def contact_sheet(
    real: Sequence[np.ndarray],
    synthetic: Sequence[np.ndarray],
    columns: int = 4,
    window: tuple[float, float] = (0.0, 1.0),
    side: int = 128,
) -> np.ndarray:
    """Real images on the left, synthetic ones on the right, row by row in the given order.

    All images share the window, so that a difference of brightness or contrast between the two sides is seen.

    Args:
        real, synthetic: images (H, W), values in [0, 1]; sizes may differ. One of the two may be empty.
        columns: most images in a row, on each side.
        window: values shown as black and as white, within [0, 1]; stated in the sheet's first line.
        side: pixels of a tile's side; images keep their aspect and are centred on black.

    Returns:
        Picture (H, W, 3), uint8.

    Raises:
        ValueError: no image at all, an image that is not (H, W), a value that is not in [0, 1], or a window that is
            empty or not within [0, 1].
    """
    low, high = window
    if not 0 <= low < high <= 1:
        raise ValueError(f"display window {low} to {high}: has to lie within 0 to 1, black below white")
    sides = {REAL_TITLE: real, SYNTHETIC_TITLE: synthetic}
    tiles = {title: [_tile(image, window, side) for image in images] for title, images in sides.items() if len(images)}
    if not tiles:
        raise ValueError("a contact sheet needs an image")
    widths = {title: min(columns, len(images)) for title, images in tiles.items()}
    num_rows = max(-(-len(images) // widths[title]) for title, images in tiles.items())
    blank = np.zeros((side, side), np.uint8)
    rows = []
    for row in range(num_rows):
        parts = [(images[row * widths[title] : (row + 1) * widths[title]], title) for title, images in tiles.items()]
        rows.append([tile for part, title in parts for tile in part + [blank] * (widths[title] - len(part))])
    captions = [title for title, width in widths.items() for _ in range(width)]
    return mosaic(rows, captions, f"window {low:g} to {high:g}")


def save_contact_sheet(
    path: str | Path,
    real: Sequence[np.ndarray],
    synthetic: Sequence[np.ndarray],
    columns: int = 4,
    window: tuple[float, float] = (0.0, 1.0),
    side: int = 128,
) -> None:
    """Write `contact_sheet` as PNG, atomically; the same images give the same bytes."""
    sheet = contact_sheet(real, synthetic, columns, window, side)
    description = f"left: {REAL_TITLE} images; right: {SYNTHETIC_TITLE} images" if len(real) else SYNTHETIC_TITLE
    save_png(path, sheet, description if len(synthetic) else REAL_TITLE)


def _tile(image: np.ndarray, window: tuple[float, float], side: int) -> np.ndarray:
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"an image of a contact sheet has shape (H, W), not {image.shape}")
    if not (image.min() >= 0 and image.max() <= 1):  # also where there is a NaN
        raise ValueError("an image of a contact sheet has a value outside of [0, 1]; bring it to display values first")
    gray = np.rint(np.clip((image - window[0]) / (window[1] - window[0]), 0, 1) * 255).astype(np.uint8)
    height, width = (max(1, round(side * length / max(image.shape))) for length in image.shape)
    small = np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BILINEAR))
    tile = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = small
    return tile
