"""Boxes, circles and masks of lesions, drawn on a mammogram's own pixels and brought to the network's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.mammogram_masks import load_mask
from ..transforms.mammogram_frame import MammogramFrame
from .mammogram_records import OTHER, UNSPECIFIED, LesionMark

RECTANGLE, ELLIPSE = "rectangle", "ellipse"
BOX_SHAPES = (RECTANGLE, ELLIPSE)


@dataclass(frozen=True)
class PlacedLesions:
    """Lesions on the network's grid.

    Attributes:
        label: (size, size) uint8, the number of the lesion; None where no lesion is in the frame.
        entries: datalist entries of the lesions, by number; without those that the frame leaves out.
        lost: number, type and share that is shown, of the lesions that the frame leaves out or cuts.
    """

    label: np.ndarray | None
    entries: list[dict[str, Any]]
    lost: list[dict[str, Any]]


def draw_mark(mark: LesionMark, shape: tuple[int, int], box_shape: str = RECTANGLE) -> np.ndarray:
    """A lesion on the mammogram's own pixels; bool (H, W).

    A box becomes a rectangle or the ellipse in it, a circle a disc, a mask what is above half of its range.

    Raises:
        InputError: the lesion has no pixel in the image, or its mask has another size.
    """
    height, width = shape
    if mark.mask is not None:
        drawn = load_mask(mark.mask)
        if drawn.shape != shape:
            raise InputError(
                f"mask {mark.mask}: has {drawn.shape[0]} x {drawn.shape[1]} pixels, the mammogram "
                f"{height} x {width}; give one of its size"
            )
        what = f"mask {mark.mask}"
    elif mark.circle is not None:
        x, y, radius = mark.circle
        # The centre of a pixel counts; the lowest row is row 0 from the bottom.
        y = height - 1 - y if mark.from_bottom else y
        rows, columns = np.ogrid[:height, :width]
        drawn = (rows - y) ** 2 + (columns - x) ** 2 <= max(radius, 0.5) ** 2
        what = f"circle at ({x:g}, {y:g})"
    else:
        x0, y0, x1, y1 = mark.box
        what = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"{what}: is empty; its last corner comes before its first")
        drawn = np.zeros(shape, bool)
        # Every pixel that the box touches; annotations may leave the image.
        rows, columns = (
            slice(max(int(np.floor(low)), 0), max(int(np.ceil(high)), 0)) for low, high in ((y0, y1), (x0, x1))
        )
        drawn[rows, columns] = True
        if box_shape == ELLIPSE:
            down, right = np.ogrid[:height, :width]
            in_rows, in_columns = (down + 0.5 - (y0 + y1) / 2) / (y1 - y0), (right + 0.5 - (x0 + x1) / 2) / (x1 - x0)
            inside = drawn & (in_rows**2 + in_columns**2 <= 0.25)
            drawn = inside if inside.any() else drawn
    if not drawn.any():
        raise InputError(f"{what}: has no pixel in the mammogram of {height} x {width}; correct the table")
    return drawn


def place_lesions(marks: Sequence[LesionMark], frame: MammogramFrame, box_shape: str = RECTANGLE) -> PlacedLesions:
    """Bring lesions to the network's grid, numbered from 1 in their order.

    Entries have `number`, `type` (mass, calcification or lesion), `birads`, `pathology` and `box`, [x0, y0, x1, y1] on
    the grid with the last pixel excluded, None where no one said where the lesion is.

    Raises:
        InputError: as `draw_mark`.
    """
    native = np.zeros(frame.shape, np.uint8)
    shown = frame.shown()
    drawn = [draw_mark(mark, frame.shape, box_shape) if mark.has_place else None for mark in marks]
    shares = [1.0 if d is None else float(np.count_nonzero(d & shown) / np.count_nonzero(d)) for d in drawn]
    # A small lesion in a larger one stays visible.
    sizes = {k: np.count_nonzero(d) for k, d in enumerate(drawn) if d is not None and shares[k] > 0}
    for k in sorted(sizes, key=lambda k: -sizes[k]):
        native[drawn[k]] = k + 1
    entries = [
        {
            "number": k + 1,
            "type": UNSPECIFIED if mark.kind == OTHER else mark.kind,
            "birads": mark.birads,
            "pathology": mark.pathology,
            "box": None if drawn[k] is None else _box_on_grid(drawn[k], frame),
        }
        for k, mark in enumerate(marks)
        if shares[k] > 0
    ]
    lost = [
        {"number": k + 1, "type": mark.kind, "shown": round(shares[k], 3)}
        for k, mark in enumerate(marks)
        if shares[k] < 1
    ]
    label = frame.mask_to_network(native) if native.any() else None
    return PlacedLesions(label if label is not None and label.any() else None, entries, lost)


def _box_on_grid(drawn: np.ndarray, frame: MammogramFrame) -> list[int]:
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    edges = frame.box_to_network(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    low, high = np.floor(np.add(edges[:2], 1e-6)), np.ceil(np.subtract(edges[2:], 1e-6))
    return [int(value) for value in np.clip([*low, *high], 0, frame.size)]
