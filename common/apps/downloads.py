"""What a person downloads from the graphical tools: 16-bit PNG, and DICOM or the input's own format."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cohorts.mammogram_prompts import view_of
from ..errors import InputError
from ..io.mammograms import Mammogram
from ..io.painted_files import DICOM, NIFTI, PNG, SUFFIXES, format_of, save_drawn, save_painted
from ..transforms.pixel_window import PixelWindow
from .mammogram_model import MammogramModel, Painted

# 255 in 8 bits is 65535 in 16.
WIDER = 257


def write_drawn(
    folder: Path, display: np.ndarray, model: MammogramModel, knobs: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """A mammogram from text as 16-bit PNG and, where the prompt names a view, as DICOM.

    Args:
        folder: where they are written.
        display: (H, W) in [0, 1].
        model: that drew it.
        knobs: what it was drawn with: `prompt`, `seed`, `laterality` and so on; the DICOM file's UIDs derive from them.

    Returns:
        Paths, the PNG first, and what could not be written, in words.
    """
    view = view_of(knobs["prompt"])
    kinds, missing = ((PNG, DICOM), []) if view else ((PNG,), ["no DICOM file (the prompt names no view)"])
    options = {"identity": model.identity(**knobs), "laterality": knobs["laterality"], "software": model.software}
    paths = []
    for kind in kinds:
        paths.append(folder / f"mammogram_seed{knobs['seed']}{SUFFIXES[kind]}")
        save_drawn(paths[-1], display, kind, view=view, **options)
    return paths, missing


def write_painted(
    folder: Path, painted: Painted, model: MammogramModel, knobs: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """A painted mammogram as 16-bit PNG and in the format that it was loaded from.

    The PNG holds the file's stored values; those of 8 bits times 257, which is the same grey in 16 bits.

    Args:
        folder: where they are written.
        painted: the mammogram.
        model: that painted it.
        knobs: what it was painted with; with mammogram and mask they give the DICOM file's UIDs.

    Returns:
        Paths, and what could not be written, in words.
    """
    mammogram, mask = painted.painting.mammogram, painted.painting.mask
    hashes = {
        name: hashlib.sha256(array.tobytes()).hexdigest()
        for name, array in (("input", mammogram.pixels), ("mask", mask))
    }
    options = {"identity": model.identity(**knobs, **hashes), "software": model.software}
    wanted = [(PNG, *_sixteen_bits(painted.pixels, mammogram))]
    kind = NIFTI if painted.pixels.dtype.kind == "f" else format_of(mammogram)  # the one that holds such values
    if kind != PNG or painted.pixels.dtype == np.uint8:
        wanted.append((kind, painted.pixels, mammogram))
    paths, missing = [], []
    for kind, pixels, source in wanted:
        depth = "_8bit" if kind == PNG and pixels.dtype == np.uint8 else ""
        path = folder / f"mammogram_painted_seed{knobs['seed']}{depth}{SUFFIXES[kind]}"
        try:
            save_painted(path, pixels, source, kind, **options)
            paths.append(path)
        except InputError as error:
            reason = str(error).replace(f"{path}: ", "").replace(f"{source.path}: ", "").split("; say ")[0]
            missing.append(f"no {kind.upper()} file ({reason})")
    return paths, missing


def _sixteen_bits(pixels: np.ndarray, mammogram: Mammogram) -> tuple[np.ndarray, Mammogram]:
    """Stored values of 8 bits in 16, with the window that shows them; others as they are."""
    if pixels.dtype != np.uint8:
        return pixels, mammogram
    window = mammogram.window
    low, high = (WIDER * value for value in window.stored_range)
    wider = PixelWindow(WIDER * window.values, window.shown, (low, high))
    return pixels.astype(np.uint16) * WIDER, replace(mammogram, window=wider)
