"""Where a study's images lie: STUDY/images/<name>.png, 16 bits."""

from __future__ import annotations

from pathlib import Path

IMAGES = "images"


def image_file(folder: Path, name: str) -> Path:
    """The file of an image of the study in `folder`."""
    return folder / IMAGES / f"{name}.png"
