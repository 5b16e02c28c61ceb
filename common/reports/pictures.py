"""Pictures of volumes as PNG: rows of slices with captions, always marked where they are synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ..io.files import write_atomically

REGION_COLORS = {1: (80, 140, 255), 2: (90, 220, 120), 3: (255, 90, 80), 4: (255, 200, 60)}
MARGIN, CAPTION = 4, 18


def window(volume: np.ndarray, low: float = 0.5, high: float = 99.5) -> np.ndarray:
    """Intensities to [0, 255] by percentiles of the non-background voxels (background: the first voxel's value)."""
    inside = volume[volume != volume.flat[0]]
    if inside.size == 0:
        return np.zeros(volume.shape, np.uint8)
    bottom, top = np.percentile(inside, [low, high])
    return (np.clip((volume - bottom) / max(top - bottom, 1e-6), 0, 1) * 255).astype(np.uint8)


def slice_through(volume: np.ndarray, axis: int, position: int, spacing: Sequence[float], height: int) -> np.ndarray:
    """One slice of an RAS volume as displayed: anterior or superior up, patient's right on the left, square pixels."""
    plane = np.flipud(np.take(volume, position, axis=axis).T)
    plane = np.fliplr(plane) if axis != 0 else plane
    row_mm, column_mm = ((spacing[2], spacing[1]), (spacing[2], spacing[0]), (spacing[1], spacing[0]))[axis]
    width = max(1, round(height * plane.shape[1] * column_mm / (plane.shape[0] * row_mm)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BILINEAR))


def overlay(gray: np.ndarray, regions: np.ndarray, alpha: float = 0.45) -> np.ndarray:
    """Grey picture (H, W) and canonical regions (H, W) to colour (H, W, 3)."""
    colored = np.repeat(gray[..., None].astype(np.float32), 3, axis=-1)
    for value, color in REGION_COLORS.items():
        where = regions == value
        colored[where] = (1 - alpha) * colored[where] + alpha * np.array(color)
    return colored.astype(np.uint8)


def mosaic(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], title: str = "") -> np.ndarray:
    """Rows of pictures with a caption above each column and a title line; returns (H, W, 3) uint8."""
    rows = [[np.repeat(p[..., None], 3, -1) if p.ndim == 2 else p for p in row] for row in rows]
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    heights = [max(p.shape[0] for p in row) for row in rows]
    head = CAPTION * (1 + bool(title))
    sheet = Image.new(
        "RGB", (sum(widths) + MARGIN * (len(widths) + 1), head + sum(heights) + MARGIN * (len(heights) + 1))
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    if title:
        draw.text((MARGIN, 2), title, fill=(255, 220, 120), font=font)
    x = MARGIN
    for width, caption in zip(widths, captions, strict=False):
        draw.text((x, head - CAPTION + 2), caption, fill=(230, 230, 230), font=font)
        x += width + MARGIN
    y = head + MARGIN
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for picture, width in zip(row, widths, strict=False):
            sheet.paste(Image.fromarray(picture), (x, y))
            x += width + MARGIN
        y += height + MARGIN
    return np.asarray(sheet)


def save_gray16(path: str | Path, image: np.ndarray, description: str) -> None:
    """Write an image (H, W) in [0, 1] as a 16-bit grey PNG, rounded; otherwise as `save_png`."""
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Description", description)
    picture = Image.fromarray(np.rint(np.clip(image, 0, 1) * 65535).astype(np.uint16))
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG", pnginfo=facts))


def save_png(path: str | Path, picture: np.ndarray, description: str) -> None:
    """Write a picture atomically, with `description` in its metadata; the same pixels give the same bytes."""
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Description", description)
    write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG", pnginfo=facts))
