"""The window with which a DICOM file wants its stored values shown.

DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT: LINEAR, LINEAR_EXACT, SIGMOID or a table), C.7.6.3.1.2
(MONOCHROME1) and C.11.6 (presentation LUT shape). Of several windows or tables the first is used; a table comes before
a window, as pydicom has it.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from ..errors import InputError
from ..transforms.pixel_window import PixelWindow

try:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi
except ImportError:  # pydicom 2, which MONAI Label needs
    from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi

LINEAR, LINEAR_EXACT, SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"


def stored_range(header: Dataset) -> tuple[int, int]:
    """The smallest and largest value that a file's pixels can hold."""
    bits = int(header.BitsStored)
    if int(header.get("PixelRepresentation") or 0):
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def is_inverted(header: Dataset) -> bool:
    """Whether the smallest value is shown white: MONOCHROME1, or a presentation LUT of shape INVERSE.

    The shape says it again for MONOCHROME1 (PS3.3 C.11.6.1.2), so that both together invert once.
    """
    inverse = str(header.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    return inverse or str(header.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1"


def window_of_header(header: Dataset) -> PixelWindow | None:
    """The window of a grey image; None where the file has neither window nor table.

    Args:
        header: with BitsStored, PixelRepresentation and PhotometricInterpretation.

    Raises:
        InputError: a window or table that cannot be used; says which element.
    """
    low, high = stored_range(header)
    values = np.arange(low, high + 1)
    try:
        modality = np.asarray(apply_modality_lut(values, header), np.float64)
        shown = _voi(header, modality)
    # What pydicom raises for the many ways in which these elements can be wrong; the last for tables of unusual bits.
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"its lookup table or window cannot be used ({error}); correct its tags") from error
    if shown is None:
        return None
    shown = np.clip(1 - shown if is_inverted(header) else shown, 0, 1)
    rising = shown[-1] >= shown[0]
    # Tables of scanners dip by a level here and there; what is shown must be invertible.
    shown = np.maximum.accumulate(shown) if rising else np.minimum.accumulate(shown)
    return PixelWindow(values, shown, (low, high))


def _voi(header: Dataset, values: np.ndarray) -> np.ndarray | None:
    """Values after the modality LUT to [0, 1] by the file's table or window."""
    if header.get("VOILUTSequence"):
        bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
        return apply_voi(values.astype(np.int64), header, index=0).astype(np.float64) / ((1 << bits) - 1)
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        return None
    function = str(header.get("VOILUTFunction") or LINEAR).strip().upper()
    if function == LINEAR:
        if width < 1:
            raise ValueError(f"WindowWidth {width:g}")
        # PS3.3 C.11.2.1.2.1; a width of 1 is a step.
        return np.clip((values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5, 0, 1)
    if width <= 0:
        raise ValueError(f"WindowWidth {width:g}")
    if function == LINEAR_EXACT:
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if function == SIGMOID:
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    raise ValueError(f"VOILUTFunction {function}")


def _first(value: object) -> float | None:
    if value is None or value == "":
        return None
    number = float(value if isinstance(value, (int, float, str)) else value[0])
    if not np.isfinite(number):
        raise ValueError("a window that is no number")
    return number
