"""Files of named segments, whatever their format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dicom_headers import DICOM_SUFFIXES
from .dicom_segmentation import read_dicom_segmentation
from .label_images import read_label_image
from .segmentation_writer import SEG_NRRD
from .segmentations import Segmentation, read_segments


def is_dicom_file(path: str | Path) -> bool:
    """Whether a file's name is that of a DICOM file."""
    return Path(path).suffix.lower() in DICOM_SUFFIXES


def is_segment_file(path: str | Path) -> bool:
    """Whether a file's name is that of a segmentation of 3D Slicer or of DICOM."""
    return str(path).lower().endswith(SEG_NRRD) or is_dicom_file(path)


def read_segment_file(path: str | Path, reference: tuple[Sequence[int], np.ndarray] | None = None) -> Segmentation:
    """Segments of a `.seg.nrrd` or DICOM SEG file.

    Args:
        path: the file.
        reference: shape and affine of the volume that DICOM segments belong to, see `read_dicom_segmentation`; the
            other files bring their own grid.

    Raises:
        InputError: unreadable, or no segmentation.
    """
    path = Path(path)
    if is_dicom_file(path):
        return read_dicom_segmentation(path, reference)
    image = read_label_image(path)
    return Segmentation(read_segments(image, path), image.values.shape[:3], image.affine)
