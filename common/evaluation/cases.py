"""Which images belong together: pairs by name, samples of one condition, masks of images."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..errors import InputError
from .image_files import PICTURE, ImageFile
from .image_stream import resampled
from .survey import Survey

LABELS = 20  # more different values than these are shades, not labels


def case_of(file: ImageFile, pattern: str | None) -> str:
    """The case that an image is of: the pattern's first group in its name, or without a pattern the end of the name.

    Raises:
        InputError: the pattern finds nothing in the name.
    """
    if pattern is None:
        return file.stem
    found = re.search(pattern, file.name)
    if found is None:
        raise InputError(f"case_pattern {pattern}: finds nothing in the name {file.name}; it has to fit every image")
    return found.group(1) if found.groups() else found.group(0)


def check_case_pattern(pattern: str | None) -> None:
    """Refuse what is no regular expression.

    Raises:
        InputError: says what is wrong with it.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise InputError(f"case_pattern {pattern}: not a regular expression ({error})") from error


def indices_by_case(survey: Survey, pattern: str | None) -> dict[str, list[int]]:
    """Numbers of the images of each case, in the order of the set."""
    found: dict[str, list[int]] = {}
    for number, file in enumerate(survey.files):
        found.setdefault(case_of(file, pattern), []).append(number)
    return found


def masks_of(survey: Survey, masks: Sequence[ImageFile], pattern: str | None) -> dict[int, ImageFile]:
    """For each image of a set, by its number, the mask of its case, where there is one.

    Args:
        survey: the images.
        masks: mask files; one serves all samples of its case.
        pattern: see `case_of`.

    Raises:
        InputError: a case has two masks.
    """
    by_case: dict[str, ImageFile] = {}
    for file in masks:
        case = case_of(file, pattern)
        if case in by_case:
            raise InputError(f"masks: {by_case[case].name} and {file.name} are both masks of {case}; keep one")
        by_case[case] = file
    cases = indices_by_case(survey, pattern)
    return {number: by_case[case] for case, numbers in cases.items() if case in by_case for number in numbers}


def mask_on(file: ImageFile, shape: tuple[int, ...], size: tuple[int, ...] | None) -> np.ndarray:
    """A mask on the grid that its image is compared on.

    Args:
        file: the mask.
        shape: of the image's own array.
        size: that the image was resampled to; None where it was not.

    Raises:
        InputError: the mask has another shape than its image.
    """
    mask = load_mask(file)
    if mask.shape != shape:
        found, wanted = ("x".join(map(str, part)) for part in (mask.shape, shape))
        raise InputError(f"masks: {file.name} is {found}, its image {wanted}; bring the mask to its image's grid")
    return resampled(mask.astype(np.float32), size) > 0.5


def load_mask(file: ImageFile) -> np.ndarray:
    """A mask as bool, laid out as `ImageFile.load` lays out its image.

    Volume files, and pictures of up to 20 different values (labels, colours): not 0. Pictures with more shades, whose
    edges are soft: above half of their brightest value.

    Raises:
        InputError: unreadable.
    """
    if file.kind != PICTURE:
        return file.load() > 0
    try:
        with Image.open(file.source) as picture:
            coloured = picture.mode in ("P", "RGB", "RGBA")
            grey = picture.convert("L") if picture.mode == "LA" else picture
            values = np.asarray(picture.convert("RGB") if coloured else grey)
    except OSError as error:
        raise InputError(f"{file.source}: cannot be read as a picture; copy it again from the source") from error
    if coloured:
        values = values.max(-1)
    shades = np.unique(values).size > LABELS
    return values > (values.max(initial=0) / 2 if shades else 0)
