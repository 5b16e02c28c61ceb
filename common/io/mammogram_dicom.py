"""One mammogram as a DICOM file: Digital Mammography X-Ray Image Storage - For Presentation.

The same arguments give the same bytes: UIDs follow from texts, no clock is read. Stored values are written as they are,
with the window that shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from ..errors import InputError
from .carried_tags import carry_over
from .dicom_elements import code, decimal, file_meta, mark_synthetic, name_software, series_description, uid_of
from .files import write_atomically

SOP_CLASS = DigitalMammographyXRayImageStorageForPresentation
# SNOMED CT codes of DICOM's context group 4014.
VIEW_CODES = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
    "ML": ("399260004", "medio-lateral"),
    "LM": ("399352003", "latero-medial"),
}
# Directions of rows and columns, with the chest wall at the left edge for left breasts and at the right for right ones.
ORIENTATIONS = {
    "CC": (("A", "R"), ("P", "L")),
    "oblique": (("A", "FR"), ("P", "FL")),
    "lateral": (("A", "F"), ("P", "F")),
}
PHOTOMETRIC = {"MONOCHROME2": "IDENTITY", "MONOCHROME1": "INVERSE"}
VOI_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def write_mammogram_dicom(
    path: str | Path,
    pixels: np.ndarray,
    *,
    laterality: str | None,
    view: str | None,
    uid_root_text: str,
    spacing: tuple[float, float] | None = None,
    manufacturer: str = "",
    photometric: str | None = None,
    bits_stored: int | None = None,
    window: tuple[float, float] | None = None,
    voi_function: str = "LINEAR",
    lut: tuple[int, np.ndarray] | None = None,
    patient_id: str = "SYNTHETIC",
    patient_name: str | None = None,
    synthetic: bool = True,
    description: str = "",
    software: str | None = None,
    software_version: str | None = None,
    study_text: str | None = None,
    instance: int = 1,
    source: Dataset | None = None,
    extra_tags: Mapping[str, Any] | None = None,
) -> Path:
    """Write one mammogram; the file appears whole and replaces an older one.

    Args:
        path: the file; its folder exists.
        pixels: (H, W) stored values, whole numbers, as they are displayed from top to bottom and left to right.
            Unsigned, unless `source` says otherwise.
        laterality: L or R; that of `source` if None.
        view: CC, MLO, ML or LM; that of `source`, which may also be another one with its code, if None.
        uid_root_text: what the series' and the instance's UIDs are derived from.
        spacing: (row_mm, column_mm).
        manufacturer: of the machine whose look the image has.
        photometric: MONOCHROME2, or MONOCHROME1 where small values are white; that of `source` or MONOCHROME2 if None.
        bits_stored: 8 to 16; that of `source` or 16 if None.
        window: (centre, width) in stored values after the rescale of `source`, if it has one.
        voi_function: LINEAR, LINEAR_EXACT or SIGMOID: what the window means.
        lut: (first stored value, 16-bit display values) as VOI LUT, in place of a window.
        patient_id: PatientID.
        patient_name: PatientName; the id if None.
        synthetic: mark the file as made by software.
        description: SeriesDescription; begins with SYNTHETIC if `synthetic`.
        software: name of what made the image, for ContributingEquipmentSequence.
        software_version: its version.
        study_text: what the StudyInstanceUID is derived from; `uid_root_text` if None.
        instance: InstanceNumber.
        source: header of the image that these pixels come from. What describes the image is carried over (grid, window,
            LUTs, bits, side, view, body part: see `carried_tags`), never who, where or when. Arguments replace it.
        extra_tags: further elements by keyword; they replace those that are written here.

    Returns:
        The path.

    Raises:
        InputError: pixels that are no image of whole numbers or don't fit their bits, or an unknown word.
    """
    path = Path(path)
    tags = _identity(patient_id, patient_name, uid_root_text, study_text, manufacturer, instance)
    tags.SeriesDescription = series_description(description, synthetic)
    if source is not None:
        del tags.BurnedInAnnotation, tags.LossyImageCompression  # of these pixels only their own header can say so
        carry_over(tags, source)
    _describe_view(tags, path, laterality, view)
    _describe_values(tags, path, photometric, bits_stored)
    _describe_window(tags, path, window, voi_function, lut)
    if spacing is not None:
        tags.ImagerPixelSpacing = tags.PixelSpacing = [decimal(value) for value in spacing]
    if synthetic:
        mark_synthetic(tags, value_3="")
    if software:
        name_software(tags, software, software_version, synthetic)
    _add_pixels(tags, path, np.asarray(pixels))
    for keyword, value in (extra_tags or {}).items():
        setattr(tags, keyword, value)
    options = {"preamble": b"\0" * 128, "is_implicit_VR": False, "is_little_endian": True}
    entry = FileDataset(str(path), tags, file_meta=file_meta(SOP_CLASS, str(tags.SOPInstanceUID)), **options)
    write_atomically(path, lambda temporary: entry.save_as(temporary))
    return path


def _identity(
    patient_id: str, patient_name: str | None, root: str, study: str | None, manufacturer: str, instance: int
) -> Dataset:
    tags = Dataset()
    tags.SpecificCharacterSet = "ISO_IR 192"
    tags.ImageType = ["ORIGINAL", "PRIMARY", ""]
    tags.SOPClassUID = SOP_CLASS
    tags.StudyInstanceUID = uid_of("study", study or root)
    tags.SeriesInstanceUID = uid_of("mammogram series", root)
    tags.SOPInstanceUID = uid_of("mammogram", root, str(instance))
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        setattr(tags, keyword, "")
    tags.PatientBirthDate = tags.PatientSex = ""
    tags.PatientID = patient_id
    tags.PatientName = patient_id if patient_name is None else patient_name
    tags.Manufacturer = manufacturer
    tags.Modality = "MG"
    tags.PresentationIntentType = "FOR PRESENTATION"
    tags.SeriesNumber, tags.InstanceNumber = 1, instance
    tags.BurnedInAnnotation, tags.LossyImageCompression = "NO", "00"
    tags.PositionerType = "MAMMOGRAPHIC"
    tags.OrganExposed = tags.BodyPartExamined = "BREAST"
    tags.AcquisitionContextSequence = DicomSequence([])
    tags.AnatomicRegionSequence = DicomSequence([code("76752008", "SCT", "Breast")])
    return tags


def _describe_view(tags: Dataset, path: Path, laterality: str | None, view: str | None) -> None:
    if laterality is not None:
        tags.ImageLaterality = laterality
    if view is not None and view != tags.get("ViewPosition"):
        tags.ViewPosition = view
        tags.pop("ViewCodeSequence", None)
    laterality, view = tags.get("ImageLaterality"), tags.get("ViewPosition")
    if laterality not in ("L", "R"):
        raise InputError(f"{path}: laterality {laterality!r}; use L or R")
    if view not in VIEW_CODES and "ViewCodeSequence" not in tags:
        raise InputError(f"{path}: view {view!r}; use {' or '.join(VIEW_CODES)}")
    if "ViewCodeSequence" not in tags:
        tags.ViewCodeSequence = DicomSequence([code(VIEW_CODES[view][0], "SCT", VIEW_CODES[view][1])])
        tags.ViewCodeSequence[0].ViewModifierCodeSequence = DicomSequence([])
    if "PatientOrientation" not in tags:
        kind = {"CC": "CC", "MLO": "oblique"}.get(view, "lateral")
        tags.PatientOrientation = list(ORIENTATIONS[kind]["LR".index(laterality)])


def _describe_values(tags: Dataset, path: Path, photometric: str | None, bits_stored: int | None) -> None:
    if photometric is not None and photometric != tags.get("PhotometricInterpretation"):
        tags.PhotometricInterpretation = photometric
        tags.pop("PresentationLUTShape", None)
    if bits_stored is not None:
        tags.BitsStored = bits_stored
    photometric = tags.setdefault("PhotometricInterpretation", "MONOCHROME2").value
    if photometric not in PHOTOMETRIC:
        raise InputError(f"{path}: photometric interpretation {photometric!r}; use {' or '.join(PHOTOMETRIC)}")
    bits = tags.setdefault("BitsStored", 16).value
    if not 8 <= int(bits) <= 16:
        raise InputError(f"{path}: {bits} bits stored; use 8 to 16")
    defaults = {
        "PixelRepresentation": 0,
        "PresentationLUTShape": PHOTOMETRIC[photometric],
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1 if photometric == "MONOCHROME2" else 1,
    }
    if "ModalityLUTSequence" not in tags:
        defaults |= {"RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US"}
    for keyword, value in defaults.items():
        if keyword not in tags:
            setattr(tags, keyword, value)
    tags.SamplesPerPixel = 1
    tags.BitsAllocated = 16
    tags.HighBit = int(bits) - 1


def _describe_window(
    tags: Dataset,
    path: Path,
    window: tuple[float, float] | None,
    voi_function: str,
    lut: tuple[int, np.ndarray] | None,
) -> None:
    if window is None and lut is None:
        return
    if window is not None and lut is not None:
        raise InputError(f"{path}: give a window or a LUT, not both")
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"):
        tags.pop(keyword, None)
    if window is not None:
        if voi_function not in VOI_FUNCTIONS:
            raise InputError(f"{path}: VOI function {voi_function!r}; use {' or '.join(VOI_FUNCTIONS)}")
        tags.WindowCenter, tags.WindowWidth = decimal(window[0]), decimal(window[1])
        tags.VOILUTFunction = voi_function
        return
    first, values = lut[0], np.asarray(lut[1])
    if values.ndim != 1 or not 1 <= len(values) <= 65536 or values.min() < 0 or values.max() > 65535:
        raise InputError(f"{path}: a LUT holds 1 to 65536 values of 16 bits")
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 65536, int(first), 16])
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    item.LUTExplanation = "NORMAL"
    tags.VOILUTSequence = DicomSequence([item])


def _add_pixels(tags: Dataset, path: Path, pixels: np.ndarray) -> None:
    bits, signed = int(tags.BitsStored), bool(tags.PixelRepresentation)
    if pixels.ndim != 2 or min(pixels.shape) < 1 or pixels.dtype.kind not in "iu":
        raise InputError(f"{path}: pixels have shape {pixels.shape} and type {pixels.dtype}; give whole numbers (H, W)")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if pixels.min() < low or pixels.max() > high:
        raise InputError(f"{path}: stored values {pixels.min()} to {pixels.max()} don't fit into {bits} bits")
    tags.Rows, tags.Columns = pixels.shape
    tags.PixelData = np.ascontiguousarray(pixels).astype("<i2" if signed else "<u2").tobytes()
    tags["PixelData"].VR = "OW"
