"""From a mammogram to a picture that is painted on, and from strokes on it back to the mammogram's own pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..errors import InputError
from ..transforms.breast_area import breast_mask
from ..transforms.resampling import axis_overlaps

# Pixels of the longer side of the picture that is painted on, as in the original tool.
SIDE = 700
# A brush's rim is smoothed over about one pixel; from half of its strength on, a pixel is painted.
PAINTED = 128


def canvas_picture(display: np.ndarray) -> np.ndarray:
    """Display values (H, W) in [0, 1] as grey picture whose longer side has `SIDE` pixels, uint8."""
    height, width = _canvas_shape(display.shape)
    grey = Image.fromarray(np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8))
    kernel = Image.Resampling.BOX if max(display.shape) > SIDE else Image.Resampling.BILINEAR
    return np.asarray(grey.resize((width, height), kernel))


def lesion_mask(layers: Sequence[np.ndarray], display: np.ndarray, breast_only: bool) -> tuple[np.ndarray, float]:
    """What was painted on a mammogram's picture, on its own pixels.

    Args:
        layers: of an image editor, (h, w, 4) of 8 bits, as large as `canvas_picture`.
        display: (H, W), the mammogram's display values.
        breast_only: drop what lies outside the breast.

    Returns:
        Mask, bool (H, W), and the share of the strokes that was dropped.

    Raises:
        InputError: nothing was painted, nothing in the breast, or the picture is no longer the mammogram's.
    """
    painted = [np.asarray(layer)[..., 3] >= PAINTED for layer in layers]
    strokes = np.logical_or.reduce(painted) if painted else np.zeros(_canvas_shape(display.shape), bool)
    if not strokes.any():
        raise InputError("nothing is painted; paint the lesion's shape on the mammogram first")
    if strokes.shape != _canvas_shape(display.shape):
        raise InputError("the picture is no longer that of the mammogram; press 'Clear strokes' and paint again")
    mask = strokes_to_file(strokes, display.shape)
    if not breast_only:
        return mask, 0.0
    inside = mask & breast_mask(display)
    if not inside.any():
        raise InputError("every stroke lies outside the breast; paint inside it, or untick 'Only within the breast'")
    return inside, 1 - float(inside.sum()) / float(mask.sum())


def strokes_to_file(strokes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Strokes (h, w) on the mammogram's own pixels, bool (H, W): set wherever a painted pixel of the picture lies.

    Args:
        strokes: bool, of a picture of the whole mammogram, of any size.
        shape: (H, W) of the mammogram.
    """
    rows, columns = (
        axis_overlaps(length, seen, length / seen, 0.0) for length, seen in zip(shape, strokes.shape, strict=True)
    )
    return np.ascontiguousarray((columns @ (rows @ strokes.astype(np.float32)).T).T > 0)


def _canvas_shape(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (max(1, round(length * SIDE / max(shape))) for length in shape)
    return height, width
