"""Segments of a brain tumour as a label map whose values are known. Runs in the user's Python, within the bundle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scripts.common.errors import InputError
from scripts.common.io.label_images import read_label_image
from scripts.common.io.segmentations import Segment, read_segments
from scripts.common.io.volumes import case_name, save_nrrd

# What names say, the more specific first: "non-enhancing tumour core" is necrosis, "enhancing tumour" is enhancing.
NAMES = (
    (re.compile(r"necro|non[- _]?enhanc|\bncr\b|\bnet\b"), "necrosis"),
    (re.compile(r"enhanc|\ba?et\b"), "enhancing"),
    (re.compile(r"o?edema|\bsnfh\b"), "oedema"),
    (re.compile(r"^(?!.*\bcore\b).*(whole|\bwt\b|tumou?r|glioma|lesion|mass)"), "whole"),
)
# What people draw beside a tumour, as help for the segmentation.
BESIDE = re.compile(
    r"^\W*(background|brain|head|skull|skin|air|bone|csf|ventric|normal|healthy|(white|gr[ae]y) matter)"
)
VALUES = {"necrosis": 1, "oedema": 2, "enhancing": 3, "whole": 4}
# Where segments overlap, the later says more about the voxel.
PAINTING = ("whole", "oedema", "necrosis", "enhancing")
MEANING = "{" + ", ".join(f"{value}: {name}" for name, value in VALUES.items()) + "}"


def make_label_map(path: str, folder: str, labels: str) -> tuple[str, str]:
    """Write a segmentation as a label map on its own grid, as the bundle reads it.

    Args:
        path: a `.seg.nrrd` file of 3D Slicer.
        folder: where to write; not that of the file.
        labels: what values mean. Under `auto` the segments' names say it, or their terminology; otherwise the
            segments' own label values are kept.

    Returns:
        The label map's path, and what to tell the bundle about its values.

    Raises:
        InputError: no segment has a voxel, or names do not tell the region.
    """
    source = Path(path)
    image = read_label_image(source)
    segments = read_segments(image, source)
    if not segments:
        raise InputError(f"{source}: no segment has a voxel; draw the tumour first")
    values = np.zeros(image.values.shape[:3], np.uint8)
    if labels == "auto":
        beside = [segment for segment in segments if _is_beside(segment)]
        if 0 < len(beside) < len(segments):
            print(f"left out, not of a tumour: {', '.join(segment.name for segment in beside)}", flush=True)
            segments = [segment for segment in segments if not _is_beside(segment)]
        regions = [region_of(segment, segments, source) for segment in segments]
        for name in PAINTING:
            for region, segment in zip(regions, segments, strict=True):
                if region == name:
                    values[segment.mask] = VALUES[name]
        labels = MEANING
    else:
        for segment in segments:
            values[segment.mask] = segment.value
    # The bundle's draw depends on the case's name: this is the one that the command line gives the file.
    target = Path(folder) / f"{case_name(source)}.nrrd"
    save_nrrd(target, values, image.affine)
    return str(target), labels


def _is_beside(segment: Segment) -> bool:
    name = segment.name.lower()
    return bool(BESIDE.search(name)) and not any(pattern.search(name) for pattern, _ in NAMES)


def region_of(segment: Segment, segments: Sequence[Segment], path: Path) -> str:
    """The region that a segment's name tells, or else its tags; a segment alone is the whole tumour.

    Raises:
        InputError: one of several that tells nothing.
    """
    for text in (segment.name, segment.tags):
        spoken = text.lower().replace("_", " ")
        found = next((region for pattern, region in NAMES if pattern.search(spoken)), None)
        if found:
            return found
    if len(segments) == 1:
        return "whole"
    raise InputError(
        f"{path}: the name of segment {segment.name} tells no region; rename it to necrosis, oedema, enhancing or "
        "tumour, or choose what the label values mean"
    )
