"""Pictures of mammograms: with a region outlined, and before, after and difference side by side."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

HEIGHT = 512
OUTLINE = (255, 90, 80)
# Differences of this size, in display units, are shown in full colour.
FULL_DIFFERENCE = 0.25


def picture(display: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    """Display values (H, W) in [0, 1] as grey picture of a given height, uint8."""
    values = (np.clip(display, 0, 1) * 255).astype(np.uint8)
    width = max(1, round(height * display.shape[1] / display.shape[0]))
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))


def outlined(grey: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A grey picture (H, W) with the outline of a mask of any size drawn on it; (H, W, 3)."""
    small = _mask_picture(mask, grey.shape)
    edge = ndimage.binary_dilation(small, iterations=2) & ~small
    colored = np.repeat(grey[..., None], 3, axis=-1)
    colored[edge] = OUTLINE
    return colored


def difference_picture(before: np.ndarray, after: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    """What was made brighter (red) and darker (blue), on the faint image; (H, W, 3)."""
    faint = np.repeat(picture(before * 0.4, height)[..., None], 3, axis=-1).astype(np.int16)
    change = np.asarray(
        Image.fromarray((after - before).astype(np.float32)).resize(faint.shape[1::-1], Image.Resampling.BOX)
    )
    strength = (np.clip(np.abs(change) / FULL_DIFFERENCE, 0, 1) * 255).astype(np.int16)
    faint[..., 0] += np.where(change > 0, strength, 0)
    faint[..., 2] += np.where(change < 0, strength, 0)
    return np.clip(faint, 0, 255).astype(np.uint8)


def _mask_picture(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    picture = Image.fromarray((mask > 0).astype(np.uint8) * 255).resize(shape[1::-1], Image.Resampling.BOX)
    return np.asarray(picture) > 0
