"""Mammograms in picture files (PNG, PGM, TIFF) and in volume files of one slice; and written as the latter."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from ..errors import InputError
from ..transforms.pixel_window import PixelWindow, window_of_depth, window_of_percentiles
from .files import write_atomically
from .label_images import read_label_image
from .volumes import unreadable, volume_suffix

PICTURE_SUFFIXES = (".png", ".pgm", ".tif", ".tiff")
GREY_MODES = ("L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
WHITE = 65535


def read_picture(path: Path) -> tuple[np.ndarray, PixelWindow, int]:
    """Pixels (H, W) of a picture in their own depth, their window (`window_of_depth`) and their bits.

    Raises:
        InputError: unreadable, several pages, coloured, 16 bits in colour channels, or not finite.
    """
    _check_png(path)
    try:
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(f"holds {picture.n_frames} pages; give one image a file")
            picture.load()
            if picture.mode in ("1", "P", "LA", "RGB", "RGBA", "PA"):
                picture = picture.convert("L" if picture.mode in ("1", "LA") else "RGB")
            if picture.mode not in (*GREY_MODES, "RGB"):
                raise InputError(f"has pixels of kind {picture.mode}; give a grey image")
            pixels = np.asarray(picture)
    except InputError:
        raise
    except Exception as error:  # Pillow passes on whatever a damaged file makes its decoders raise
        raise unreadable(path, error) from error
    return _with_window(grey_of_colours(pixels) if pixels.ndim == 3 else pixels)


def read_slice(path: Path) -> tuple[np.ndarray, PixelWindow, int, tuple[float, float]]:
    """Pixels (H, W), window, bits and spacing (row_mm, column_mm) of a volume file (W, H, 1).

    The first axis are columns, the second rows, whatever the file's directions. A NIfTI file's own display range
    (`cal_min`, `cal_max`) is its window.

    Raises:
        InputError: unreadable, more than one slice or channel, or not finite.
    """
    image = read_label_image(path)
    if image.colours is not None or image.values.shape[2:] != (1, 1):
        shape = " x ".join(map(str, image.values.shape))
        raise InputError(f"has {shape} values; a mammogram has one slice along the third axis")
    pixels, window, bits = _with_window(np.ascontiguousarray(image.values[:, :, 0, 0].T))
    if ".nii" in volume_suffix(path):
        header = nibabel.load(path).header
        low, high = float(header["cal_min"]), float(header["cal_max"])
        if high > low:
            window = PixelWindow.linear(low, high, window.stored_range)
    column_mm, row_mm = (float(length) for length in np.linalg.norm(image.affine[:3, :2], axis=0))
    return pixels, window, bits, (row_mm, column_mm)


def save_mammogram(
    path: str | Path, display: np.ndarray, spacing: tuple[float, float] | None, description: str = ""
) -> None:
    """Write display values as a NIfTI file (W, H, 1) of 16 bits that says itself that 0 is black and 65535 white.

    Args:
        path: ends in `.nii` or `.nii.gz`.
        display: (H, W) in [0, 1].
        spacing: (row_mm, column_mm); 1 mm where unknown.
        description: header text, at most 79 characters.
    """
    stored = np.rint(np.clip(display, 0, 1) * WHITE).astype(np.uint16)
    image = nibabel.Nifti1Image(stored.T[..., None], slice_affine(spacing))
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_min"], image.header["cal_max"] = 0, WHITE
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    write_atomically(path, lambda temporary: nibabel.save(image, temporary))


def slice_affine(spacing: tuple[float, float] | None) -> np.ndarray:
    """Affine (RAS) of a mammogram (W, H, 1): the patient's right on the left, as pictures are viewed."""
    row_mm, column_mm = spacing or (1.0, 1.0)
    return np.diag([-column_mm, -row_mm, 1.0, 1.0])


def grey_of_colours(pixels: np.ndarray) -> np.ndarray:
    """One channel of an image (H, W, 3) whose channels are equal.

    Raises:
        InputError: they are not.
    """
    if (pixels != pixels[..., :1]).any():
        raise InputError("is a colour image; give a grey one")
    return np.ascontiguousarray(pixels[..., 0])


def _check_png(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(26)
    if head.startswith(PNG_MAGIC) and len(head) == 26 and head[24] == 16 and head[25] != 0:
        raise InputError("holds 16 bits in several channels, which would be read as 8; save it as 16-bit grey")


def _with_window(pixels: np.ndarray) -> tuple[np.ndarray, PixelWindow, int]:
    """Integers of up to 16 bits as they are, others as float32, with the window of each."""
    if not np.isfinite(pixels).all():
        count = int((~np.isfinite(pixels)).sum())
        raise InputError(f"{count} pixels are NaN or infinite; repair or re-export the file")
    if pixels.dtype.kind in "iu":
        low, high = int(pixels.min()), int(pixels.max())
        if low >= 0 and high <= WHITE:
            pixels = pixels if pixels.dtype in (np.uint8, np.uint16) else pixels.astype(np.uint16)
            window = window_of_depth(pixels)
            return pixels, window, int(window.stored_range[1]).bit_length()
        if low >= -WHITE // 2 and high <= WHITE // 2:
            pixels = pixels.astype(np.int16)
            return pixels, window_of_percentiles(pixels, (-WHITE // 2, WHITE // 2)), 16
    pixels = pixels.astype(np.float32)
    limits = (float(pixels.min()), float(pixels.max()))
    return pixels, window_of_percentiles(pixels, limits), 32
