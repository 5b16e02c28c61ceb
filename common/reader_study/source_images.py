"""The images a reader study is made from: found in a folder, grouped by case, read as they are looked at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from ..errors import InputError
from ..io.dicom_headers import DICOM_SUFFIXES, read_series
from ..io.dicom_pixels import read_dicom, stored_pixels
from ..io.dicom_window import is_inverted, window_of_header
from ..io.label_images import flat_axis, read_label_image
from ..io.mammogram_pictures import PICTURE_SUFFIXES, grey_of_colours, read_picture
from ..io.mammogram_tags import spacing_of
from ..io.mammograms import is_mammogram_file
from ..io.volumes import VOLUME_SUFFIXES, volume_suffix
from ..knobs import as_text

MIDDLE = "middle"
# What the bundles write beside an image, and masks of anybody.
_HELPERS = re.compile(r"(?:^|.*[_.-])(?:mask|seg|label|breast|preview|samples)$", re.IGNORECASE)
_CASE = re.compile(r"(?P<case>.+?)(?:_sample\d+)?(?:_(?:mip|mammogram))?$", re.IGNORECASE)
# Of one image in several formats the first is taken: volume files keep most of the values.
_FORMATS = ("volume", "DICOM", "picture")
_SLICE_ADVICE = "give its maximum intensity projection, or take the middle slice of each volume with --slice middle"


@dataclass(frozen=True)
class Source:
    """One image as it lies in a folder.

    Attributes:
        case: what it shows; samples of one condition have the same.
        files: one file, or the DICOM files of a series of slices, in order.
    """

    case: str
    files: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The file, or the folder of a series."""
        return self.files[0] if len(self.files) == 1 else self.files[0].parent


@dataclass(frozen=True, eq=False)
class Plane:
    """An image as it is looked at.

    Attributes:
        pixels: (H, W) float32, row 0 on top, large values bright.
        aspect: height of a pixel over its width.
    """

    pixels: np.ndarray
    aspect: float = 1.0


def cropped(plane: Plane, crop: int) -> Plane:
    """An image without a border of `crop` pixels.

    Raises:
        InputError: nothing would be left of it.
    """
    if min(plane.pixels.shape) <= 2 * crop:
        height, width = plane.pixels.shape
        raise InputError(f"crop={crop}: nothing is left of an image of {height} x {width} pixels; give less")
    return Plane(plane.pixels[crop : plane.pixels.shape[0] - crop, crop : plane.pixels.shape[1] - crop], plane.aspect)


def find_cases(folder: str | Path, case_pattern: str | None = None) -> dict[str, list[Source]]:
    """All images below a folder by case, sorted. Masks and previews are passed over, as are hidden files.

    Args:
        folder: with PNG, PGM, TIFF, NIfTI, NRRD, MetaImage or DICOM files.
        case_pattern: regular expression for the path below `folder` without its ending; its first group, or all of
            what it matches, is the case, and what it does not match is passed over. Without it the case is the file's
            name up to `_sample<k>`, `_mip` or `_mammogram`, with its folder where names alone are not unique.

    Raises:
        InputError: no such folder, nothing found, or no regular expression.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of images")
    found = _named_sources(folder)
    if not found:
        kinds = ", ".join((*PICTURE_SUFFIXES, *VOLUME_SUFFIXES, *DICOM_SUFFIXES))
        raise InputError(f"{folder}: holds no image; give a folder with files of {kinds}")
    cases: dict[str, list[Source]] = defaultdict(list)
    for name, files in found.items():
        case = _case_of(name, case_pattern)
        if case is not None:
            cases[case].append(Source(case, files))
    if not cases:
        example = next(iter(found))
        raise InputError(f"case_pattern={case_pattern}: matches no image in {folder}, names are as '{example}'")
    return dict(sorted(cases.items()))


def load_plane(source: Source, slice: str | None = None) -> Plane:
    """Read one image.

    Volume files are turned as radiological pictures are: front or head up, the patient's right on the left. A DICOM
    file is shown with its own window, and MONOCHROME1 turned round.

    Args:
        source: from `find_cases`.
        slice: `middle` to take the middle axial slice of volumes.

    Raises:
        InputError: unreadable, coloured, not finite, constant, or a volume without `slice`.
    """
    try:
        if len(source.files) > 1 and slice != MIDDLE:
            raise InputError(f"a series of {len(source.files)} slices, not an image; {_SLICE_ADVICE}")
        path = source.files[len(source.files) // 2]
        if volume_suffix(path):
            plane = _from_volume(path, slice)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            plane = Plane(read_picture(path)[0].astype(np.float32))
        else:
            plane = _from_dicom(path)
        if plane.pixels.min() == plane.pixels.max():
            raise InputError("every pixel has the same value; remove the file")
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith(str(source.path)) else f"{source.path}: {told}") from error
    return plane


def _named_sources(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Files by their path below the folder without ending; one format of each, DICOM slices by series."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_mammogram_file(path)]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    stacks = _series_of_slices([path for path in shown if _format_of(path) == "DICOM"])
    in_stacks = {path for stack in stacks for path in stack}
    found: dict[str, tuple[Path, ...]] = {}
    for format_name in _FORMATS:
        for path in shown:
            name = _without_ending(path)
            if _format_of(path) == format_name and path not in in_stacks and not _HELPERS.match(name):
                found.setdefault((path.parent / name).relative_to(folder).as_posix(), (path,))
    for stack in stacks:
        inside = stack[0].parent != folder
        found[stack[0].parent.relative_to(folder).as_posix() if inside else _without_ending(stack[0])] = stack
    names = [Path(name).name for name in found]
    # Cases are called by their file alone as far as that tells them apart.
    unique = len(set(names)) == len(names)
    return dict(sorted((Path(name).name if unique else name, files) for name, files in found.items()))


def _series_of_slices(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of each DICOM series whose slices lie at different places."""
    return [series.files for series in read_series(paths) if len({entry.place for entry in series.slices} - {None}) > 1]


def _case_of(name: str, case_pattern: str | None) -> str | None:
    if case_pattern is None:
        return _CASE.match(name)["case"]
    try:
        match = re.search(as_text(case_pattern), name)
    except re.error as error:
        raise InputError(f"case_pattern={case_pattern}: no regular expression ({error})") from error
    if match is None:
        return None
    return match[1] if match.re.groups else match[0]


def _without_ending(path: Path) -> str:
    suffix = volume_suffix(path)
    return path.name[: -len(suffix)] if suffix else path.stem if _format_of(path) == "picture" else _dicom_stem(path)


def _dicom_stem(path: Path) -> str:
    return path.stem if path.suffix.lower() in DICOM_SUFFIXES else path.name


def _format_of(path: Path) -> str:
    if volume_suffix(path):
        return "volume"
    return "picture" if path.suffix.lower() in PICTURE_SUFFIXES else "DICOM"


def _from_volume(path: Path, slice: str | None) -> Plane:
    image = read_label_image(path)
    if image.colours is not None or image.values.shape[3] != 1:
        raise InputError("holds several channels; give a grey image")
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(_floats(image.values[..., 0]), image.affine))
    volume, spacing = np.asarray(turned.dataobj), turned.header.get_zooms()
    axis = flat_axis(volume.shape)
    if axis is None and slice != MIDDLE:
        shape = " x ".join(map(str, volume.shape))
        raise InputError(f"a volume of {shape} voxels, not an image; {_SLICE_ADVICE}")
    if axis is None:
        axis = 2
    plane = np.flipud(np.take(volume, volume.shape[axis] // 2, axis=axis).T)
    plane = np.fliplr(plane) if axis != 0 else plane
    column, row = (side for side in range(3) if side != axis)
    return Plane(np.ascontiguousarray(plane), float(spacing[row] / spacing[column]))


def _floats(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _from_dicom(path: Path) -> Plane:
    header = read_dicom(path)
    pixels = stored_pixels(header, path)
    if pixels.ndim == 3:
        return Plane(grey_of_colours(pixels).astype(np.float32))
    window = window_of_header(header)
    shown = window.display(pixels) if window else pixels.astype(np.float32) * (-1 if is_inverted(header) else 1)
    row_mm, column_mm = spacing_of(header) or (1.0, 1.0)
    return Plane(shown, row_mm / column_mm)
