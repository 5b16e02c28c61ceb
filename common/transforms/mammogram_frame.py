"""Where a mammogram lies on the network's square grid: mirrored to one side, scaled with its aspect, padded or cropped.

One geometry moves images, masks and boxes. It is exact for any size: the scale is not rounded to whole pixels.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from ..errors import InputError
from .resampling import axis_overlaps, axis_weights

LETTERBOX, CROP = "letterbox", "crop"
FITS = (LETTERBOX, CROP)


class MammogramFrame:
    """The way from a mammogram's own pixels to the network's grid and back.

    In the network's grid the chest wall is on the left. `letterbox` shows the whole image: its longer side fills the
    grid, the chest wall's edge stays at the grid's left edge, and the rest is background. `crop` is what the original
    did: the shorter side fills the grid and the middle is kept. With a `box`, that square alone fills the grid.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        size: int,
        flip: bool,
        fit: str = LETTERBOX,
        box: tuple[float, float, float] | None = None,
    ) -> None:
        """Set the geometry.

        Args:
            shape: (H, W) of the mammogram as its file holds it.
            size: pixels along each side of the network's grid.
            flip: whether the file shows the chest wall on the right.
            fit: `letterbox` or `crop`; without meaning where there is a box.
            box: (first row, first column, side) of a square in the file's pixels; it may stick out of the image.

        Raises:
            InputError: an unknown fit, a size or a side below 1, or a box beside the image.
        """
        height, width = (int(n) for n in shape)
        if fit not in FITS:
            raise InputError(f"fit={fit}: use {' or '.join(FITS)}")
        if min(height, width, size) < 1:
            raise InputError(f"a mammogram of {height} x {width} pixels cannot be shown on {size} x {size} pixels")
        self.shape, self.size, self.flip = (height, width), int(size), bool(flip)
        if box is not None:
            row, column, side = (float(value) for value in box)
            if side < 1 or row >= height or column >= width or row + side <= 0 or column + side <= 0:
                raise InputError(f"box (row {row:g}, column {column:g}, side {side:g}): lies beside the image")
            # Counted from the left edge of the mirrored image.
            column = width - column - side if self.flip else column
            self.scale = size / side
            self._offsets = (-row * self.scale, -column * self.scale)
        else:
            self.scale = size / (max(height, width) if fit == LETTERBOX else min(height, width))
            spare = [size - height * self.scale, size - width * self.scale]
            self._offsets = (spare[0] / 2, 0.0 if fit == LETTERBOX else spare[1] / 2)

    def to_network(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W) on the grid (size, size), float32, without aliasing; 0 where the image has nothing."""
        rows, columns = self._to_network
        return self._apply(rows, columns, self._mirrored(image, np.float32))

    def mask_to_network(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H, W) of whole numbers on the grid, uint8: set wherever a set pixel lies, so that none vanishes.

        Where two numbers fall on one pixel, that of the smaller region is kept.
        """
        mask = self._mirrored(mask, np.uint8)
        rows, columns = self._overlaps
        counts = np.bincount(mask.ravel(), minlength=2)
        painted = np.zeros((self.size, self.size), np.uint8)
        for number in sorted(np.flatnonzero(counts[1:]) + 1, key=lambda number: (-counts[number], number)):
            painted[self._apply(rows, columns, (mask == number).astype(np.float32)) > 0] = number
        return painted

    def to_file(self, image: np.ndarray, kernel: str = "cubic") -> np.ndarray:
        """An image of the grid (size, size) on the file's pixels (H, W), float32; 0 where the grid does not reach.

        Args:
            image: values of the grid.
            kernel: `cubic` (may overshoot a little) or `linear`.
        """
        height, width = self.shape
        rows, columns = (
            axis_weights(length, self.size, 1 / self.scale, -offset / self.scale, kernel)
            for length, offset in zip((height, width), self._offsets, strict=True)
        )
        result = self._apply(rows, columns, np.asarray(image, np.float32))
        return np.ascontiguousarray(result[:, ::-1]) if self.flip else result

    def shown(self) -> np.ndarray:
        """Which of the file's pixels have their centre on the grid; bool (H, W)."""
        inside = [
            (centres > 0) & (centres < self.size)
            for centres in (
                (np.arange(length) + 0.5) * self.scale + offset
                for length, offset in zip(self.shape, self._offsets, strict=True)
            )
        ]
        columns = inside[1][::-1] if self.flip else inside[1]
        return inside[0][:, None] & columns[None, :]

    def box_to_network(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """A box of the file, pixel edges (the last excluded), in the grid's coordinates; not cut at its borders."""
        if self.flip:
            x0, x1 = self.shape[1] - x1, self.shape[1] - x0
        row, column = self._offsets
        return (
            x0 * self.scale + column,
            y0 * self.scale + row,
            x1 * self.scale + column,
            y1 * self.scale + row,
        )

    def network_pixel_mm(self, spacing: tuple[float, float]) -> tuple[float, float]:
        """Height and width in mm of a pixel of the grid, from those of the file's pixels."""
        return spacing[0] / self.scale, spacing[1] / self.scale

    @cached_property
    def _to_network(self):
        return tuple(
            axis_weights(self.size, length, self.scale, offset)
            for length, offset in zip(self.shape, self._offsets, strict=True)
        )

    @cached_property
    def _overlaps(self):
        return tuple(
            axis_overlaps(self.size, length, self.scale, offset)
            for length, offset in zip(self.shape, self._offsets, strict=True)
        )

    def _mirrored(self, image: np.ndarray, kind: type) -> np.ndarray:
        image = np.asarray(image)
        if image.shape != self.shape:
            raise InputError(
                f"an image of {' x '.join(map(str, image.shape))} pixels was given for a mammogram of "
                f"{self.shape[0]} x {self.shape[1]}; give one of the mammogram's size"
            )
        return np.ascontiguousarray(image[:, ::-1] if self.flip else image, kind)

    @staticmethod
    def _apply(rows: csr_array, columns: csr_array, image: np.ndarray) -> np.ndarray:
        # Rows first: they shrink the array that must then be turned.
        return np.ascontiguousarray((columns @ np.ascontiguousarray((rows @ image).T)).T)
