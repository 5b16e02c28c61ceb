"""A mammogram in memory, whatever its file: stored values, the window that shows them, and what is known of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ..errors import InputError
from ..knobs import as_path
from ..transforms.breast_area import breast_mask, chest_wall_side, guess_view
from ..transforms.pixel_window import PixelWindow, window_of_percentiles
from .dicom_headers import DICOM_SUFFIXES
from .dicom_pixels import read_dicom, stored_pixels
from .dicom_window import is_inverted, stored_range, window_of_header
from .mammogram_pictures import PICTURE_SUFFIXES, grey_of_colours, read_picture, read_slice
from .mammogram_tags import LATERALITIES, VIEWS, laterality_of, spacing_of, vendor_word, view_of
from .volumes import VOLUME_SUFFIXES, volume_suffix

MAMMOGRAPHY = "MG"
NO_SPACING = "no pixel size; sizes in mm are unknown"
SMALLEST_SIDE = 16
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One view of one breast.

    Attributes:
        pixels: (H, W), stored values as in the file, row 0 on top as displayed.
        window: stored to display values and back.
        spacing: (row_mm, column_mm) of a pixel; None where the file does not say.
        laterality: `L` or `R`, or None.
        view: `CC`, `MLO`, `LM` or `ML`, or None.
        vendor: first word of the manufacturer in lower case, or None.
        path: of the file.
        header: the DICOM elements without the pixels; None for other files. Holds the patient's identity.
        bits_stored: bits of a stored value.
        photometric: `MONOCHROME1` or `MONOCHROME2`.
        modality: of a DICOM file.
        guessed: which of `laterality` and `view` came from pixels.
        warnings: what the file lacks or contradicts, in words without the patient's identity.
    """

    pixels: np.ndarray
    window: PixelWindow
    spacing: tuple[float, float] | None
    laterality: str | None
    view: str | None
    vendor: str | None
    path: Path
    header: Dataset | None
    bits_stored: int
    photometric: str
    modality: str | None
    guessed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def display(self) -> np.ndarray:
        """The image as displayed: (H, W) float32 in [0, 1], 0 black, 1 white."""
        return self.window.display(self.pixels)


def load_mammogram(
    path: str | Path,
    laterality: str | None = None,
    view: str | None = None,
    any_modality: bool = False,
    guess: bool = True,
    quiet: bool = False,
) -> Mammogram:
    """Read a mammogram from DICOM, PNG, PGM, TIFF, or a NIfTI, NRRD or MetaImage file of one slice.

    Side and view are the header's; where it does not say, the arguments; where they do not say, the pixels'.

    Args:
        path: of the file. A file without a known suffix is taken as DICOM.
        laterality: `L` or `R`.
        view: `CC`, `MLO`, `LM` or `ML`.
        any_modality: take a DICOM file of any modality, for scanned film.
        guess: whether pixels may tell side and view.
        quiet: log nothing; what is to say stands in `warnings` and `guessed`.

    Raises:
        InputError: missing, unreadable, another modality, several frames, or in colour.
    """
    path = as_path(path)
    for name, value, words in (("laterality", laterality, LATERALITIES), ("view", view, VIEWS)):
        if value is not None and value not in words:
            raise InputError(f"{name}={value}: use {' or '.join(words)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    suffix = path.suffix.lower()
    try:
        if volume_suffix(path):
            mammogram = _from_slice(path)
        elif suffix in PICTURE_SUFFIXES:
            mammogram = _from_picture(path)
        elif suffix in DICOM_SUFFIXES or _is_dicom(path):
            mammogram = _from_dicom(path, any_modality)
        else:
            kinds = (*DICOM_SUFFIXES, *PICTURE_SUFFIXES, *VOLUME_SUFFIXES)
            raise InputError(f"not a mammogram; give one of {', '.join(kinds)}")
        mammogram = _with_attributes(mammogram, laterality, view, guess)
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from error
    if not quiet:
        for told in mammogram.warnings:
            logger.warning(f"{path}: {told}")
        for name in mammogram.guessed:
            logger.info(f"{path}: {name} {getattr(mammogram, name)}, from its pixels")
    return mammogram


def is_mammogram_file(path: Path) -> bool:
    """Whether a file's name, or its beginning, is one that `load_mammogram` takes."""
    known = path.suffix.lower() in (*PICTURE_SUFFIXES, *DICOM_SUFFIXES) or volume_suffix(path)
    return bool(known) or (not path.suffix and path.is_file() and _is_dicom(path))


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _from_dicom(path: Path, any_modality: bool) -> Mammogram:
    header = read_dicom(path)
    modality = str(header.get("Modality") or "").strip()
    if modality != MAMMOGRAPHY and not any_modality:
        raise InputError(
            f"has modality {modality or '(none)'}, not {MAMMOGRAPHY}; give a mammogram, "
            "or say --any_modality True to take scanned film"
        )
    pixels = stored_pixels(header, path)
    if pixels.ndim == 3:
        pixels = grey_of_colours(pixels)
        header.BitsStored, header.PhotometricInterpretation = 8, "MONOCHROME2"
    window = window_of_header(header)
    warnings = []
    if window is None:
        window = window_of_percentiles(pixels, stored_range(header), inverted=is_inverted(header))
        warnings.append("no window; shown from the 0.1th to the 99.9th percentile of its pixels")
    if str(header.get("PresentationIntentType") or "").strip().upper() == "FOR PROCESSING":
        warnings.append("a raw image, for processing; networks are trained on images for presentation")
    del header.PixelData
    return Mammogram(
        pixels=pixels,
        window=window,
        spacing=spacing_of(header),
        laterality=laterality_of(header),
        view=view_of(header),
        vendor=vendor_word(header.get("Manufacturer")),
        path=path,
        header=header,
        bits_stored=int(header.BitsStored),
        photometric=str(header.PhotometricInterpretation).strip(),
        modality=modality or None,
        warnings=tuple(warnings),
    )


def _from_picture(path: Path) -> Mammogram:
    pixels, window, bits = read_picture(path)
    return Mammogram(pixels, window, None, None, None, None, path, None, bits, "MONOCHROME2", None)


def _from_slice(path: Path) -> Mammogram:
    pixels, window, bits, spacing = read_slice(path)
    return Mammogram(pixels, window, spacing, None, None, None, path, None, bits, "MONOCHROME2", None)


def _with_attributes(mammogram: Mammogram, laterality: str | None, view: str | None, guess: bool) -> Mammogram:
    """Side and view from tags, then from arguments, then from pixels; with a warning where these disagree."""
    if min(mammogram.pixels.shape) < SMALLEST_SIDE:
        height, width = mammogram.pixels.shape
        raise InputError(f"has {height} x {width} pixels; a mammogram has at least {SMALLEST_SIDE} along each side")
    warnings, guessed = list(mammogram.warnings), []
    if mammogram.spacing is None:
        warnings.append(NO_SPACING)
    known = {"laterality": mammogram.laterality or laterality, "view": mammogram.view or view}
    for name, given in (("laterality", laterality), ("view", view)):
        if given is not None and given != known[name]:
            warnings.append(f"{name} {known[name]} in its header, {given} was given; the header is believed")
    unknown = [name for name, value in known.items() if value is None]
    if known["view"] is not None and known["view"] not in VIEWS:
        warnings.append(f"view {known['view']} is none of {', '.join(VIEWS)}; no view is said")
        known["view"] = None
    if guess and unknown:
        display = mammogram.display()
        mask = breast_mask(display)
        if not mask.all():  # a part of a breast without air has no sides
            side = "L" if chest_wall_side(mask) == "left" else "R"
            told = {"laterality": side, "view": guess_view(display, mask)}
            known |= {name: told[name] for name in unknown}
            guessed = unknown
    return replace(mammogram, **known, guessed=tuple(guessed), warnings=tuple(warnings))
