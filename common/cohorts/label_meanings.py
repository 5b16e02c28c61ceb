"""What the values, colours or channels of a mask mean: said by the user, or found out where one reading is possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io.label_images import LabelImage
from ..io.segmentations import has_segments
from .lesion_classes import CLASSES, IGNORED, class_file_of, colour_classes

MAX_INSTANCE = 65535
TOLERANCE = 1e-3


def is_segmentation(image: LabelImage, path: Path) -> bool:
    """Whether a file holds 3D Slicer's segments, by its name or its header."""
    return path.name.lower().endswith(".seg.nrrd") or has_segments(image)


def is_soft(image: LabelImage, project: bool, path: Path) -> bool:
    """Whether a label image holds shares of raters for the five classes.

    A third axis of five may be classes or slices; only fractions tell them apart.

    Raises:
        InputError: both readings are possible.
    """
    x, y, z, channels = image.values.shape
    if channels == len(CLASSES):
        return True
    if channels > 1 or z != len(CLASSES) or min(x, y) == 1 or project:
        return False
    values = image.values
    if (values != np.rint(values)).any() or not values.any():
        return True
    if values.min() >= 0 and values.max() <= 1:
        raise InputError(
            f"{path}: shape {x} x {y} x {z} of zeros and ones can be read as shares of raters for five classes or as "
            "five slices; say --label_meaning soft or --project True"
        )
    return False


def whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Values as uint16.

    Raises:
        InputError: values between whole numbers, below 0 or above 65535.
    """
    rounded = np.rint(values) if np.issubdtype(values.dtype, np.floating) else values
    if np.abs(values - rounded).max() > TOLERANCE or rounded.min() < 0 or rounded.max() > MAX_INSTANCE:
        raise InputError(f"{path}: a mask holds whole numbers from 0 to {MAX_INSTANCE}; export it again as a label map")
    return rounded.astype(np.uint16)


def automatic_meaning(values: set[int], known: Mapping[int, int] | None, table: Mapping[str, int], path: Path) -> str:
    """`birads` or `instance`, for a map of whole numbers.

    Args:
        values: that occur in the mask, without 0.
        known: class by instance from the JSON file beside the mask; None without one.
        table: classes as the user gave them.
        path: the mask.

    Raises:
        InputError: both readings are possible, or none.
    """
    if known is not None:
        named = set(known) | {value for value in values if str(value) in table}
        if named != values and values and values <= set(CLASSES):
            raise InputError(
                f"{path}: values {_listed(values)} can be read as BI-RADS classes, or as instances, which "
                f"{class_file_of(path).name} numbers {_listed(named)}; say --label_meaning birads or correct the JSON "
                "file and say --label_meaning instance"
            )
        return "instance"
    if not table and not values <= set(CLASSES):
        value = min(values - set(CLASSES))
        raise InputError(
            f"{path}: value {value} is no BI-RADS class of a lesion (2 to 6{', 1 means no finding' * (value == 1)}); "
            f'say what values mean with --classes "{{{value}: 4}}" or with {class_file_of(path).name} beside it: '
            f'{{"instances": {{"{value}": 4}}}}'
        )
    return "birads"


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(values))) or "none"


def instance_classes(
    values: set[int], known: Mapping[int, int] | None, table: Mapping[str, int], path: Path
) -> dict[int, int]:
    """Class of each lesion number in a mask, arguments as `automatic_meaning`; `table` comes before `known`.

    Raises:
        InputError: a number without a class, or a number of the JSON file that is not in the mask.
    """
    file = class_file_of(path)
    given = (known or {}) | {value: table[str(value)] for value in values if str(value) in table}
    missing, absent = sorted(values - set(given)), sorted(set(given) - values)
    if missing:
        raise InputError(
            f"{path}: instance {missing[0]} has no class; give it in {file.name} or with "
            f'--classes "{{{missing[0]}: 4}}"'
        )
    if absent:
        raise InputError(f"{file}: instance {absent[0]} is not in the mask {path.name}; remove it or draw it")
    return {value: given[value] for value in sorted(values)}


def value_classes(values: set[int], table: Mapping[str, int], path: Path) -> dict[int, int]:
    """Class of each value that occurs in a mask: what the table says, without a table the value itself.

    Raises:
        InputError: a value that has no class.
    """
    if not table:
        table = {str(birads): birads for birads in CLASSES}
        if 1 in values:
            raise InputError(f"{path}: value 1 marks pixels, but class 1 means no finding; use 2 to 6 for lesions")
    unknown = sorted(value for value in values if str(value) not in table)
    if unknown:
        raise InputError(
            f"{path}: value {unknown[0]} has no BI-RADS class (known: {', '.join(table)}); "
            f'give it with --classes "{{{unknown[0]}: 4}}", or 0 to ignore it'
        )
    return {value: table[str(value)] for value in sorted(values)}


def colour_masks(colours: np.ndarray, table: Mapping[str, int], path: Path) -> list[tuple[int, np.ndarray]]:
    """Class and place of each colour of a picture.

    Args:
        colours: (X, Y, 1, 4), RGBA, uint8; black and transparent pixels are background.
        table: classes by colour, see `colour_classes`.
        path: the picture.

    Returns:
        Pairs of class and mask (X, Y, 1), bool.

    Raises:
        InputError: no table, or a colour that it lacks.
    """
    if not table:
        raise InputError(f'{path}: a colour picture; say what its colours mean with --classes "{{red: 5, green: 2}}"')
    known = {(0, 0, 0): IGNORED} | colour_classes(table)
    red, green, blue, alpha = (part.astype(np.int64) for part in np.moveaxis(colours, -1, 0))
    codes = np.where(alpha > 0, red << 16 | green << 8 | blue, 0)
    numbers, counts = np.unique(codes, return_counts=True)
    found = [(int(n) >> 16, int(n) >> 8 & 255, int(n) & 255) for n in numbers]
    unknown = [(int(n), colour) for colour, n in zip(found, counts, strict=True) if colour not in known]
    if unknown:
        count, colour = max(unknown)
        raise InputError(
            f"{path}: colour {','.join(map(str, colour))} ({count} pixels) is not in the table --classes"
            f"{f', nor are {len(unknown) - 1} others' * (len(unknown) > 1)}; add it, with 0 to ignore it"
        )
    return [(known[colour], codes == number) for number, colour in zip(numbers, found, strict=True)]
