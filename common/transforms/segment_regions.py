"""Named segments of a brain tumour as regions: by the map that the user gives, else by their names and codes."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..errors import InputError
from ..io import terminology
from ..io.segmentations import Segment, Segmentation
from ..io.terminology import Code

logger = logging.getLogger(__name__)

BACKGROUND, NECROSIS, OEDEMA, ENHANCING = 0, 1, 2, 3
WHOLE = 4  # tumour of unknown region, canonical value of a whole-tumour mask
REGION_VALUES = {
    "background": BACKGROUND,
    "necrosis": NECROSIS,
    "oedema": OEDEMA,
    "enhancing": ENHANCING,
    "whole": WHOLE,
}
REGION_NAMES = {value: name for name, value in REGION_VALUES.items()}
# Where segments overlap, the later one here shows.
PAINTING_ORDER = (BACKGROUND, WHOLE, OEDEMA, NECROSIS, ENHANCING)

# BraTS counts what does not enhance to the necrosis; codes of SNOMED RT are those of older files.
_CODES = (
    (terminology.NECROSIS, NECROSIS),
    (terminology.NON_ENHANCING, NECROSIS),
    (Code("SRT", "M-54000", "Necrosis"), NECROSIS),
    (terminology.OEDEMA, OEDEMA),
    (Code("SRT", "M-36300", "Edema"), OEDEMA),
    (terminology.ENHANCING, ENHANCING),
    (terminology.MASS, WHOLE),
    (terminology.LESION, WHOLE),
    (terminology.NEOPLASM, WHOLE),
    (Code("SRT", "M-03000", "Mass"), WHOLE),
    (Code("SRT", "M-01100", "Lesion"), WHOLE),
    (Code("SRT", "M-8FFFF", "Neoplasm"), WHOLE),
)
_NAMES = (
    (re.compile(r"necro|non ?enhanc|\b(ncr|net|ncr net)\b"), NECROSIS),
    (re.compile(r"o?edema|\b(ed|snfh)\b"), OEDEMA),
    (re.compile(r"(?<!non)(?<!non )enhanc|\bet\b"), ENHANCING),
)
_WHOLE_NAME = re.compile(
    r"((whole|entire|complete|brain) )*(tumou?r|mass|lesion|neoplasm|glioma|glioblastoma|wt)s?( mask)?( \d+)?"
)
UNDERSTOOD = "necrosis (or non-enhancing), oedema, enhancing, whole tumour, background"


def segment_region(segment: Segment) -> int | None:
    """The region that a segment's name and code tell, or None; a code of a whole lesion gives way to a name.

    Names are those of people (`Oedema`, `non-enhancing tumor`, `NCR`, `Tumor`), codes those of `io.terminology`. A
    tumour's core is no region: it is necrosis and enhancing tumour together.
    """
    by_name = _region_of_name(segment.name)
    by_code = next((region for code, region in _CODES if segment.type and segment.type.means(code)), None)
    told = {region for region in (by_name, by_code) if region is not None}
    if len(told) > 1 or "core" in segment.name.lower():
        told.discard(WHOLE)
    return told.pop() if len(told) == 1 else None


def _region_of_name(name: str) -> int | None:
    words = re.sub(r"[\W_]+", " ", name.lower()).strip()
    if words == "background":
        return BACKGROUND
    found = {region for pattern, region in _NAMES if pattern.search(words)}
    if found:
        return found.pop() if len(found) == 1 else None
    return WHOLE if _WHOLE_NAME.fullmatch(words) else None


def paint_regions(segmentation: Segmentation, regions: Mapping[str, int], path: str) -> np.ndarray:
    """Segments to one mask of canonical regions.

    Where they overlap, enhancing tumour comes before necrosis, necrosis before oedema, any region before whole tumour.

    Args:
        segmentation: the file's segments.
        regions: canonical region by the name of a segment, or by its label value where no two have the same; what it
            lacks is told by name and code.
        path: the file, for messages.

    Returns:
        (X, Y, Z), uint8, see `tumor_regions`.

    Raises:
        InputError: no segment, or one whose region nothing tells.
    """
    segments = segmentation.segments
    if not segments:
        raise InputError(f"{path}: the mask is empty, no segment has a voxel; give a mask with a tumour")
    counts = Counter(str(segment.value) for segment in segments)
    by_value = {key: region for key, region in regions.items() if counts[key] == 1}
    found = [regions.get(s.name, by_value.get(str(s.value), segment_region(s))) for s in segments]
    unknown = [segment.name for segment, region in zip(segments, found, strict=True) if region is None]
    if unknown:
        raise InputError(
            f"{path}: the region of segment {unknown[0]} cannot be told from its name or code (segments: "
            f"{', '.join(segment.name for segment in segments)}; understood: {UNDERSTOOD}); say it with "
            f'--labels "{{{unknown[0]}: enhancing}}" ({", ".join(REGION_VALUES)})'
        )
    mask = np.zeros(segmentation.shape, np.uint8)
    for segment, region in sorted(zip(segments, found, strict=True), key=lambda pair: PAINTING_ORDER.index(pair[1])):
        logger.info(f"{path}: segment {segment.name} is read as {REGION_NAMES[region]}")
        if region != BACKGROUND:
            mask[segment.mask] = region
    return mask
