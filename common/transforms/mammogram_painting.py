"""A lesion painted into a mammogram: what the network sees of it, and the way back into the file's own pixels."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from ..errors import InputError
from ..io.mammograms import Mammogram
from .breast_area import breast_mask, is_mirrored
from .mammogram_frame import MammogramFrame

logger = logging.getLogger(__name__)
# A close-up shows this many times the mask's longer side, but no less and no more of the image's height than below;
# close-ups in training vary about it.
CLOSE_UP, SMALLEST, LARGEST = 3.5, 0.25, 1 / 1.5
# A mask with less of it in the breast is a mistake.
SHARE_IN_BREAST = 0.5


class MammogramPainting:
    """A mammogram with a region to be painted.

    Args:
        mammogram: as read from its file.
        mask: (H, W), non-zero where a lesion is to be.
        size: pixels along a side of the network's grid.
        crop: show the network the surroundings of the mask at finer resolution, not the whole view.
        soft_edge: width of the blend inside the mask, as a share of the mask's greatest depth; 0 is a hard edge.
        keep_detail: keep of the mammogram what is finer than the network's pixels, also in the mask.

    Raises:
        InputError: the mask is empty, of another size or outside the breast.
    """

    def __init__(
        self,
        mammogram: Mammogram,
        mask: np.ndarray,
        size: int,
        crop: bool = False,
        soft_edge: float = 0.3,
        keep_detail: bool = True,
    ) -> None:
        self.mammogram, self.mask, self.keep_detail = mammogram, np.asarray(mask) > 0, keep_detail
        self.display = mammogram.display()
        breast = breast_mask(self.display)
        self._check(breast)
        flip, _ = is_mirrored(breast, mammogram.laterality)
        self.box = self._box(flip) if crop else None
        self.frame = MammogramFrame(self.display.shape, size, flip, box=self.box)
        self.alpha = soft_mask(self.mask, soft_edge)

    def inputs(self) -> torch.Tensor:
        """Image in [-1, 1] and mask on the network's grid, (2, size, size), float32."""
        image = self.frame.to_network(self.display) * 2 - 1
        return torch.from_numpy(np.stack([image, self.frame.mask_to_network(self.mask)]).astype(np.float32))

    def paint(self, drawn: np.ndarray) -> np.ndarray:
        """Stored pixel values (H, W) with the lesion in them, of the file's own type.

        Outside the mask they are those of the file. Inside, the network's image replaces what it can show; what is
        finer than its pixels stays the mammogram's (`keep_detail`), and at the edge both are blended.

        Args:
            drawn: the network's image (size, size) in [-1, 1].
        """
        stored, window = self.mammogram.pixels, self.mammogram.window
        shown = self.frame.to_file((np.asarray(drawn, np.float32) + 1) / 2)
        if self.keep_detail:
            shown = shown + self.display - self.frame.to_file(self.frame.to_network(self.display))
        inside = self.alpha > 0
        alpha, before = self.alpha[inside].astype(np.float64), self.display[inside].astype(np.float64)
        after = alpha * np.clip(shown[inside], 0, 1) + (1 - alpha) * before
        # What the window cannot tell apart (saturated pixels) stays as it is at the edge.
        beyond = stored[inside] - window.stored(before)
        values = window.stored(after) + (1 - alpha) * beyond
        result = stored.copy()
        if stored.dtype.kind in "ui":
            values = np.clip(np.rint(values), *window.stored_range)
        result[inside] = values.astype(stored.dtype)
        return result

    def _check(self, breast: np.ndarray) -> None:
        if self.mask.shape != self.display.shape:
            raise InputError(
                f"mask has {' x '.join(map(str, self.mask.shape))} pixels, the mammogram "
                f"{self.display.shape[0]} x {self.display.shape[1]}; give a mask of the mammogram's size"
            )
        if not self.mask.any():
            raise InputError("mask is empty; mark the pixels where the lesion is to be")
        share = float(breast[self.mask].mean())
        if share < SHARE_IN_BREAST:
            raise InputError(f"mask lies outside the breast ({share:.0%} of it is inside); mark a place in the breast")
        if share < 1:
            logger.info(f"{share:.0%} of the mask lies in the breast; what is beside it is painted as well")

    def _box(self, flip: bool) -> tuple[float, float, float]:
        """First row, first column and side of the square that a close-up shows.

        Within the image where it fits; else what is beside it lies opposite the chest wall.
        """
        height, width = self.mask.shape
        ends = [np.flatnonzero(self.mask.any(axis))[[0, -1]] for axis in (1, 0)]
        extent = max(last - first + 1 for first, last in ends)
        side = float(np.clip(CLOSE_UP * extent, SMALLEST * height, max(LARGEST * height, 1.2 * extent)))
        corner = [
            float(np.clip((first + last + 1 - side) / 2, 0, max(length - side, 0)))
            for (first, last), length in zip(ends, (height, width), strict=True)
        ]
        return corner[0], (width - side if flip and side > width else corner[1]), side


def soft_mask(mask: np.ndarray, soft_edge: float) -> np.ndarray:
    """Share of the painted image in each pixel (H, W), float32: 0 outside the mask, rising smoothly inside it.

    Args:
        mask: bool.
        soft_edge: width of the rise as a share of the greatest depth, of each connected part on its own.
    """
    depth = ndimage.distance_transform_edt(mask)
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    greatest = np.concatenate([[1.0], ndimage.maximum(depth, parts, range(1, count + 1))])
    ramp = np.clip(depth / np.maximum(soft_edge * greatest, 1.0)[parts], 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def painting_facts(painting: MammogramPainting) -> dict[str, Any]:
    """For provenance: where the network looked, in the file's pixels, and how many pixels were painted."""
    facts: dict[str, Any] = {"painted_pixels": int((painting.alpha > 0).sum())}
    if painting.box is not None:
        row, column, side = painting.box
        facts["close_up"] = {"row": row, "column": column, "side": side}
    return facts
