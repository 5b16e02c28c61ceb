"""Stored pixel values of a single-frame DICOM image, without rescale, window or inversion.

GDCM (through ITK) decodes what is compressed. It would apply rescale values and turn MONOCHROME1 round on its own, so
that it is handed a copy of the file with the pixels' own elements alone, as MONOCHROME2.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import itk
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from ..errors import InputError

# With preamble and file meta; pydicom 2, which MONAI Label needs, says it in other words.
WHOLE_FILE = {"enforce_file_format": True} if pydicom.__version_info__[0] > "2" else {"write_like_original": False}

_PIXEL_ELEMENTS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation", "PixelData")
_ADVICE = "truncated or damaged; copy it again from the source"


def read_dicom(path: Path) -> Dataset:
    """A DICOM file as a whole.

    Raises:
        InputError: no DICOM file, or its elements cannot be read to the end.
    """
    try:
        dataset = pydicom.dcmread(path)
        list(dataset)  # elements are parsed when they are asked for: now
        dataset.file_meta.TransferSyntaxUID.is_encapsulated  # noqa: B018
    except InvalidDicomError as error:
        raise InputError(f"{path}: not a DICOM file; check the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {_ADVICE}") from error
    except Exception as error:  # pydicom passes on whatever a damaged element makes Python raise
        raise InputError(f"{path}: not readable as DICOM, {_ADVICE}") from error
    return dataset


def stored_pixels(dataset: Dataset, path: Path) -> np.ndarray:
    """The stored values (H, W) of a grey image, integers; of a colour image (H, W, 3).

    Args:
        dataset: from `read_dicom`.
        path: for messages.

    Raises:
        InputError: no pixels, several frames, or pixels that cannot be decoded.
    """
    missing = [name for name in _NEEDED if dataset.get(name) in (None, "", b"")]
    if missing:
        raise InputError(f"{path}: has no {', '.join(missing)}, it is no image or {_ADVICE}")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise InputError(
            f"{path}: holds {dataset.NumberOfFrames} frames; give a two-dimensional view, not tomosynthesis"
        )
    colour = _is_colour(dataset, path)
    expected = int(dataset.Rows) * int(dataset.Columns) * (3 if colour else 1) * int(dataset.BitsAllocated) // 8
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated and len(dataset.PixelData) < expected:
        raise InputError(f"{path}: holds {len(dataset.PixelData)} of {expected} bytes of pixels, {_ADVICE}")
    kind = itk.RGBPixel[itk.UC] if colour else itk.F
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "pixels.dcm"
        # Not `itk.imread`, which asks all formats about the file.
        reader = itk.ImageFileReader[itk.Image[kind, 3]].New(ImageIO=itk.GDCMImageIO.New())
        reader.SetFileName(str(alone))
        try:
            pydicom.dcmwrite(alone, _pixels_alone(dataset), **WHOLE_FILE)
            reader.Update()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{path}: its pixels cannot be read, the file is {_ADVICE}") from error
        pixels = itk.array_from_image(reader.GetOutput())[0]
    # Floats of 24 bits hold every value of 16 bits; the file's own kind is an integer.
    signed = int(dataset.get("PixelRepresentation") or 0)
    return pixels.astype(np.uint8 if colour else np.int16 if signed else np.uint16)


def _is_colour(dataset: Dataset, path: Path) -> bool:
    """Whether an image has three channels; what GDCM's decoder would end the whole process at is refused."""
    photometric = str(dataset.PhotometricInterpretation).strip()
    samples, allocated, stored = (
        int(dataset.get(name) or 0) for name in ("SamplesPerPixel", "BitsAllocated", "BitsStored")
    )
    if photometric not in GREY + COLOURS:
        raise InputError(f"{path}: has pixels of kind {photometric or '(none)'}; give a grey image")
    colour = photometric in COLOURS
    if (samples or 1) != (3 if colour else 1) or allocated not in ((8,) if colour else (8, 16)):
        raise InputError(
            f"{path}: has {samples} channels of {allocated} bits as {photometric}, which cannot be read; "
            "give grey pixels of 8 or 16 bits"
        )
    if not 1 <= stored <= allocated or min(int(dataset.Rows), int(dataset.Columns)) < 1:
        raise InputError(f"{path}: its pixels cannot be as its header describes them, it is {_ADVICE}")
    return colour


def _pixels_alone(dataset: Dataset) -> Dataset:
    alone = Dataset()
    for name in _PIXEL_ELEMENTS:
        if name in dataset:
            alone[name] = dataset[name]
    if alone.PhotometricInterpretation == "MONOCHROME1":
        del alone.PhotometricInterpretation  # the element is the header's own
        alone.PhotometricInterpretation = "MONOCHROME2"
    alone.SOPClassUID = SecondaryCaptureImageStorage
    alone.SOPInstanceUID = generate_uid(entropy_srcs=["pixels"])
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    alone.file_meta.MediaStorageSOPClassUID = alone.SOPClassUID
    alone.file_meta.MediaStorageSOPInstanceUID = alone.SOPInstanceUID
    return alone
