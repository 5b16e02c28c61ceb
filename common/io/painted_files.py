"""Drawn and painted mammograms as files: 16-bit PNG, NIfTI or DICOM."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import InputError
from .files import write_atomically
from .mammogram_dicom import write_mammogram_dicom
from .mammogram_pictures import WHITE, save_mammogram, slice_affine
from .mammograms import Mammogram
from .volumes import VOLUME_SUFFIXES, volume_suffix

PNG, NIFTI, DICOM, AUTO = "png", "nifti", "dicom", "auto"
SUFFIXES = {PNG: ".png", NIFTI: ".nii.gz", DICOM: ".dcm"}
DESCRIPTION = "SYNTHETIC mammogram, not a patient"
PAINTED = "SYNTHETIC lesion painted into a mammogram"


def format_of(mammogram: Mammogram, wanted: str = AUTO) -> str:
    """The format of a painted mammogram: as wanted, or that of its source."""
    if wanted != AUTO:
        return wanted
    if mammogram.header is not None:
        return DICOM
    return NIFTI if volume_suffix(mammogram.path) in VOLUME_SUFFIXES else PNG


def check_writable(mammogram: Mammogram, kind: str) -> None:
    """Whether a painted mammogram can be written, before anything is drawn.

    Raises:
        InputError: values that the format cannot hold, or a DICOM file whose side or view nobody knows.
    """
    if kind == NIFTI:
        return
    if mammogram.pixels.dtype.kind == "f":
        raise InputError(f"{mammogram.path}: holds values that are no whole numbers; say --output_format nifti")
    if kind == PNG and mammogram.window.stored_range[0] < 0:
        raise InputError(f"{mammogram.path}: holds values below 0, which PNG cannot; say --output_format nifti")
    for name in ("laterality", "view") if kind == DICOM else ():
        if getattr(mammogram, name) is None:
            raise InputError(
                f"{mammogram.path}: its {name} is unknown, which DICOM needs; say --{name}, or another format"
            )


def save_drawn(
    path: Path, display: np.ndarray, kind: str, *, identity: str, laterality: str, view: str | None, software: tuple
) -> None:
    """Write a mammogram that was drawn from text.

    Args:
        path: ends in the format's suffix.
        display: (H, W) in [0, 1].
        kind: `png` (16 bits), `nifti` or `dicom` (16 bits, For Presentation).
        identity: text that a DICOM file's UIDs derive from.
        laterality, view: for DICOM, which needs both.
        software: name and version of what drew it.
    """
    if kind == NIFTI:
        save_mammogram(path, display, None, DESCRIPTION)
        return
    pixels = np.rint(np.clip(display, 0, 1) * WHITE).astype(np.uint16)
    if kind == PNG:
        _save_png(path, pixels, DESCRIPTION)
        return
    write_mammogram_dicom(
        path,
        pixels,
        laterality=laterality,
        view=view,
        uid_root_text=identity,
        window=((WHITE + 1) / 2, WHITE + 1),
        description="mammogram from text",
        software=software[0],
        software_version=software[1],
    )


def save_painted(
    path: Path, pixels: np.ndarray, mammogram: Mammogram, kind: str, *, identity: str, software: tuple
) -> None:
    """Write a mammogram into which a lesion was painted, with the stored values that it was given.

    A PNG of a file whose large values are dark holds them the other way round, so that it looks right.

    Args:
        path: ends in the format's suffix.
        pixels: (H, W) stored values.
        mammogram: where they come from.
        kind: `png`, `nifti` or `dicom`.
        identity: text that a DICOM file's UIDs derive from.
        software: name and version of what painted.

    Raises:
        InputError: as `check_writable`.
    """
    check_writable(mammogram, kind)
    if kind == NIFTI:
        image = nibabel.Nifti1Image(pixels.T[..., None], _affine(mammogram))
        image.header["descrip"] = PAINTED.encode()
        image.header["cal_min"], image.header["cal_max"] = sorted(_shown_range(mammogram))
        write_atomically(path, lambda temporary: nibabel.save(image, temporary))
        return
    if kind == PNG:
        high = int(mammogram.window.stored_range[1])
        _save_png(path, (high - pixels).astype(pixels.dtype) if mammogram.window.inverted else pixels, PAINTED)
        return
    low, high = _shown_range(mammogram)
    window = {} if mammogram.header is not None else {"window": ((low + high + 1) / 2, high - low + 1)}
    bits = {} if mammogram.header is not None else {"bits_stored": max(8, mammogram.bits_stored)}
    write_mammogram_dicom(
        path,
        pixels,
        laterality=mammogram.laterality,
        view=mammogram.view,
        uid_root_text=identity,
        spacing=None if mammogram.header is not None else mammogram.spacing,
        description="lesion painted into a mammogram",
        software=software[0],
        software_version=software[1],
        source=mammogram.header,
        **window,
        **bits,
    )


def _shown_range(mammogram: Mammogram) -> tuple[float, float]:
    return tuple(float(value) for value in mammogram.window.stored(np.array([0.0, 1.0])))


def _affine(mammogram: Mammogram) -> np.ndarray:
    if volume_suffix(mammogram.path) in (".nii", ".nii.gz"):
        return nibabel.load(mammogram.path).affine
    return slice_affine(mammogram.spacing)


def _save_png(path: Path, pixels: np.ndarray, description: str) -> None:
    """Whole numbers of 8 or 16 bits as they are."""
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Description", description)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG", pnginfo=facts))
