"""What the header of a mammogram says about it: side, view, vendor and pixel size."""

from __future__ import annotations

import re

import numpy as np
from pydicom.dataset import Dataset

LATERALITIES = ("L", "R")
VIEWS = ("CC", "MLO", "LM", "ML")
KNOWN_VENDORS = ("hologic", "siemens")
# DICOM PS3.16 CID 4014, SNOMED CT and the older SNOMED RT.
VIEW_CODES = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399352003": "LM",
    "R-10228": "LM",
    "399260004": "ML",
    "R-10224": "ML",
}


def laterality_of(header: Dataset) -> str | None:
    """`L` or `R`; None where the header does not say, or says both."""
    for name in ("ImageLaterality", "Laterality"):
        value = str(header.get(name) or "").strip().upper()
        if value in LATERALITIES:
            return value
    return None


def view_of(header: Dataset) -> str | None:
    """The view in the header's own word, `CC`, `MLO`, `LM`, `ML` or another; None where the header does not say."""
    position = str(header.get("ViewPosition") or "").strip().upper()
    if position:
        return position
    for item in header.get("ViewCodeSequence") or []:
        code = str(item.get("CodeValue") or "")
        return VIEW_CODES.get(code, str(item.get("CodeMeaning") or code).strip() or None)
    return None


def vendor_word(manufacturer: object) -> str | None:
    """`hologic` or `siemens` where the name holds it, else its first word in lower case; None for an empty name."""
    text = str(manufacturer or "").strip().lower()
    for vendor in KNOWN_VENDORS:
        if vendor in text:
            return vendor
    words = re.findall(r"[a-z0-9]+", text)
    return words[0] if words else None


def spacing_of(header: Dataset) -> tuple[float, float] | None:
    """(row_mm, column_mm) of a pixel: PixelSpacing, else that at the detector, else that of the film's scanner."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            values = tuple(float(value) for value in header.get(name))
        except (TypeError, ValueError):
            continue
        if len(values) == 2 and np.isfinite(values).all() and min(values) > 0:
            return values
    return None
