"""The one table of what segments are: name, colour, and the codes that say so in 3D Slicer and in DICOM.

Codes are those of DICOM PS3.16: categories from CID 7150, lesions from CID 7159, parts of brain lesions from CID 7168,
anatomic regions from CID 4030 and 4031. There "Enhancing Lesion" is a code of the NCI thesaurus, not of SNOMED CT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Code(NamedTuple):
    """A coded concept; the meaning is for people, scheme and value tell concepts apart."""

    scheme: str
    value: str
    meaning: str

    def means(self, other: Code) -> bool:
        """Whether two codes are the same concept of the same scheme."""
        return self[:2] == other[:2]


MORPHOLOGY = Code("SCT", "49755003", "Morphologically Abnormal Structure")  # CID 7150
MASS = Code("SCT", "4147007", "Mass")  # CID 7159
LESION = Code("SCT", "52988006", "Lesion")  # CID 7159
NEOPLASM = Code("SCT", "108369006", "Neoplasm")  # CID 7159
NECROSIS = Code("SCT", "6574001", "Necrosis")  # CID 7159, 7168
OEDEMA = Code("SCT", "79654002", "Edema")  # CID 7159, 7168
ENHANCING = Code("NCIt", "C113842", "Enhancing Lesion")  # CID 7159, 7168
NON_ENHANCING = Code("NCIt", "C81175", "Non-Enhancing Lesion")  # CID 7159, 7168
BREAST = Code("SCT", "76752008", "Breast")  # CID 4031
BRAIN = Code("SCT", "12738006", "Brain")  # CID 4030

# What 3D Slicer calls the lists that it looks codes up in.
SLICER_SEGMENT_LIST = "Segmentation category and type - DICOM master list"
SLICER_REGION_LIST = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class SegmentKind:
    """What a segment is, to be written; `dataclasses.replace` gives one of another name.

    Attributes:
        name: as shown in viewers.
        colour: RGB, 0 to 255.
        type: what the segment is.
        region: where in the body.
        category: the general kind of `type`.
        tags: further tags in 3D Slicer's files.
    """

    name: str
    colour: tuple[int, int, int]
    type: Code
    region: Code
    category: Code = MORPHOLOGY
    tags: Mapping[str, str] = field(default_factory=dict)


BREAST_TUMOUR = SegmentKind("Tumour", (255, 90, 80), MASS, BREAST)
# By the names that `transforms.tumor_regions` gives to regions, in the colours of the previews.
BRAIN_TUMOUR = {
    "necrosis": SegmentKind("Necrosis", (80, 140, 255), NECROSIS, BRAIN),
    "oedema": SegmentKind("Oedema", (90, 220, 120), OEDEMA, BRAIN),
    "enhancing": SegmentKind("Enhancing tumour", (255, 90, 80), ENHANCING, BRAIN),
    "whole": SegmentKind("Whole tumour", (255, 200, 60), NEOPLASM, BRAIN),
}
LESION_TAG = "Lesion"


def birads_lesion(birads: int, number: int, colour: tuple[int, int, int]) -> SegmentKind:
    """A lesion of the breast: its BI-RADS class is its name, which a viewer lets people change, its number a tag."""
    return SegmentKind(f"BI-RADS {birads}", colour, MASS, BREAST, tags={LESION_TAG: str(number)})


def lesion_number(tags: str) -> int | None:
    """The number that `birads_lesion` put into a segment's tags (`Lesion:3`), if there is one."""
    found = re.search(rf"(?:^|\|)\s*{LESION_TAG}:(\d+)\s*(?:\||$)", tags)
    return int(found[1]) if found and int(found[1]) else None
