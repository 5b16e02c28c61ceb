"""Mammograms beside the maps of where a classifier looks, as in figure 6 of Montoya-del-Angel et al. 2023."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import InputError
from .pictures import mosaic, save_png

TITLES = {"grad_cam": "Grad-CAM", "saliency": "saliency", "occlusion": "occlusion"}
COLORS = "inferno"
STRONGEST = 0.75  # opacity of a map where it is 1
BOX_COLOR = (90, 220, 120)
LABEL_WIDTH = 120
TITLE = "What is called inpainted holds a synthetic lesion"


@dataclass(frozen=True)
class HeatMapRow:
    """A row of the figure.

    Attributes:
        name: such as healthy, inpainted or real lesion, shown at its left; lines by `\\n`.
        image: (H, W) in [0, 1].
        maps: by method, (H, W) in [0, 1].
        box: of the lesion, (x0, y0, x1, y1) in pixels, last column and row excluded; None where there is none.
    """

    name: str
    image: np.ndarray
    maps: Mapping[str, np.ndarray]
    box: Sequence[float] | None = None


def heat_map_figure(rows: Sequence[HeatMapRow], height: int = 256, title: str = TITLE) -> np.ndarray:
    """A row an image: its name, the image, and the image under each of its maps, with the lesion's box in all of them.

    Args:
        rows: all with the same maps.
        height: of a picture, in pixels; widths follow from the images.
        title: line above all.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: no rows, rows with different maps, or a map of another shape than its image.
    """
    if not rows:
        raise InputError("heat maps: there is no image to show")
    methods = tuple(rows[0].maps)
    for row in rows:
        if tuple(row.maps) != methods:
            raise InputError(f"heat maps: {row.name} has {', '.join(row.maps)}, the first row {', '.join(methods)}")
        wrong = [method for method in methods if row.maps[method].shape != row.image.shape]
        if wrong:
            raise InputError(f"heat maps: {wrong[0]} of {row.name} is of another shape than its image")
    pictures = []
    for row in rows:
        gray = np.repeat(np.rint(np.clip(row.image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
        shown = [gray, *(_under(gray, row.maps[method]) for method in methods)]
        pictures.append([_label(row.name, height), *(_finished(picture, row.box, height) for picture in shown)])
    return mosaic(pictures, ["", "image", *(TITLES.get(method, method) for method in methods)], title)


def save_heat_map_figure(
    path: str | Path, rows: Sequence[HeatMapRow], description: str, height: int = 256, title: str = TITLE
) -> None:
    """Write `heat_map_figure` as PNG, atomically, with `description` in its metadata; the same rows, the same bytes."""
    save_png(path, heat_map_figure(rows, height, title), description)


def _under(gray: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) under a map (H, W), which is the more opaque the larger it is."""
    heat = np.clip(heat, 0, 1)
    opacity = STRONGEST * heat[..., None]
    color = matplotlib.colormaps[COLORS](heat)[..., :3] * 255
    return np.rint((1 - opacity) * gray + opacity * color).astype(np.uint8)


def _finished(picture: np.ndarray, box: Sequence[float] | None, height: int) -> np.ndarray:
    """A picture at its size in the figure, with the box around, not on, the lesion's pixels."""
    scale = height / picture.shape[0]
    width = max(1, round(picture.shape[1] * scale))
    sheet = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    if box is not None:
        x0, y0, x1, y1 = (round(float(value) * scale) for value in box)
        ImageDraw.Draw(sheet).rectangle((x0 - 1, y0 - 1, x1, y1), outline=BOX_COLOR)
    return np.asarray(sheet)


def _label(name: str, height: int) -> np.ndarray:
    sheet = Image.new("RGB", (LABEL_WIDTH, height))
    place = (6, height // 2)
    ImageDraw.Draw(sheet).text(place, name, fill=(230, 230, 230), font=ImageFont.load_default(13), anchor="lm")
    return np.asarray(sheet)
