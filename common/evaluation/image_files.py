"""Images of anybody's folder: NIfTI, NRRD, MetaImage, PNG and DICOM, two- or three-dimensional, one at a time."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Orientation
from PIL import Image

from ..errors import InputError
from ..io.dicom_headers import DICOM_SUFFIXES, DicomSeries, read_series
from ..io.dicom_pixels import read_dicom, stored_pixels
from ..io.dicom_series import load_series
from ..io.dicom_window import is_inverted, stored_range
from ..io.mammogram_pictures import PICTURE_SUFFIXES, read_picture
from ..io.volumes import VOLUME_SUFFIXES, case_name, load_volume, volume_suffix

VOLUME, PICTURE, DICOM = "volume files", "pictures", "DICOM"


@dataclass(frozen=True)
class ImageFile:
    """One image on disk.

    Attributes:
        name: unique in its folder: the path below it, without suffix.
        source: a file, or a DICOM series.
        kind: `VOLUME`, `PICTURE` or `DICOM`.
    """

    name: str
    source: Path | DicomSeries
    kind: str

    @property
    def stem(self) -> str:
        """The last part of the name, without an ending such as `_mask`; what pairs files of two folders."""
        return case_name(Path(self.name).name)

    @property
    def files(self) -> list[Path]:
        """All files of the image."""
        return [self.source] if isinstance(self.source, Path) else list(self.source.files)

    def load(self) -> np.ndarray:
        """The image as float32: (rows, columns), or (X, Y, Z) in RAS orientation.

        Volume files of one slice become images, turned as viewers show them.

        Raises:
            InputError: unreadable, in colour, or a single line of pixels.
        """
        image = self._read()
        if image.ndim not in (2, 3) or min(image.shape) < 2:
            shape = "x".join(map(str, image.shape))
            raise InputError(f"{self.files[0]}: has {shape} values; images and volumes are compared")
        return image

    def _read(self) -> np.ndarray:
        if self.kind == PICTURE:
            return _load_picture(self.source)
        if self.kind == VOLUME:
            # Unlike a network, an evaluation can go on without an image that holds NaN: the caller decides.
            return _display_order(load_volume(self.source, single_slice=True, finite=False))
        if isinstance(self.source, Path):
            return _load_dicom_image(self.source)
        return _display_order(load_series(self.source))


def find_images(folder: str | Path, pattern: str | None = None) -> list[ImageFile]:
    """All images below a folder, by name.

    Args:
        folder: searched with all folders below it; hidden ones are left out.
        pattern: as `*_t1c.nii.gz`, of the path below the folder; without it all images are taken, which have to be of
            one kind.

    Raises:
        InputError: no such folder, no image, or images of several kinds.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of images")
    found: dict[str, list[ImageFile]] = {VOLUME: [], PICTURE: [], DICOM: []}
    dicom: list[Path] = []
    for path in _files(folder):
        below = path.relative_to(folder).as_posix()
        if pattern is not None and not (fnmatch(below, pattern) or fnmatch(path.name, pattern)):
            continue
        suffix = volume_suffix(path)
        if suffix is not None:
            found[VOLUME].append(ImageFile(below[: -len(suffix)], path, VOLUME))
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            found[PICTURE].append(ImageFile(below[: -len(path.suffix)], path, PICTURE))
        elif path.suffix.lower() in DICOM_SUFFIXES or path.suffix == "":
            dicom.append(path)
    if dicom:
        found[DICOM] = _dicom_images(folder, dicom)
    kinds = {kind: len(files) for kind, files in found.items() if files}
    if not kinds:
        what = f"matches {pattern}" if pattern else f"is an image ({', '.join((*VOLUME_SUFFIXES, '.png', '.dcm'))})"
        raise InputError(f"{folder}: no file in it {what}; check the folder")
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        raise InputError(f"{folder}: holds {counts}; say which are meant by a pattern, such as '*.nii.gz'")
    files = next(iter(files for files in found.values() if files))
    names = Counter(file.name for file in files)
    if max(names.values()) > 1:
        raise InputError(f"{folder}: {names.most_common(1)[0][0]} is there in two formats; give a pattern for one")
    return sorted(files, key=lambda file: file.name)


def _files(folder: Path) -> list[Path]:
    found = []
    for home, children, names in os.walk(folder, followlinks=True):
        children[:] = sorted(child for child in children if not child.startswith("."))
        found += [Path(home) / name for name in sorted(names) if not name.startswith(".")]
    return found


def _dicom_images(folder: Path, paths: list[Path]) -> list[ImageFile]:
    images: list[ImageFile] = []
    stacks: dict[str, list[DicomSeries]] = {}
    for series in read_series(paths):
        files = series.files
        if len(files) == 1 or any(part.place is None for part in series.slices):
            images += [ImageFile(_below(file, folder), file, DICOM) for file in files]
            continue
        phase = f"_phase{series.temporal_index}" if series.temporal_count > 1 else ""
        name = _below(files[0].parent, folder) if files[0].parent != folder else "series"
        stacks.setdefault(f"{name}_{series.number or series.uid[-6:]}{phase}", []).append(series)
    for name, group in stacks.items():
        for series in group:  # series numbers repeat where a folder holds several studies
            images.append(ImageFile(name if len(group) == 1 else f"{name}_{series.uid[-6:]}", series, DICOM))
    return images


def _below(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    return name[: -len(path.suffix)] if path.suffix.lower() in DICOM_SUFFIXES else name


def _load_picture(path: Path) -> np.ndarray:
    try:
        return read_picture(path)[0].astype(np.float32)
    except InputError as error:
        pixels = _without_content(path)
        if pixels is not None:
            return pixels
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error


def _without_content(path: Path) -> np.ndarray | None:
    """A picture that is black or holds NaN, which no reading of one image takes: an evaluation goes on and says so."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture, np.float32)
    except Exception:  # Pillow passes on whatever a damaged file makes its decoders raise
        return None
    pixels = pixels[..., 0] if pixels.ndim == 3 and not pixels.any() else pixels
    return pixels if pixels.ndim == 2 and not (np.isfinite(pixels).all() and pixels.any()) else None


def _load_dicom_image(path: Path) -> np.ndarray:
    dataset = read_dicom(path)
    pixels = stored_pixels(dataset, path)
    if pixels.ndim == 3:
        raise InputError(f"{path}: is in colour; grey images are compared")
    if is_inverted(dataset):
        pixels = np.float32(sum(stored_range(dataset))) - pixels
    values = pixels.astype(np.float32) * float(dataset.get("RescaleSlope") or 1)
    values += float(dataset.get("RescaleIntercept") or 0)
    return values


def _display_order(volume: MetaTensor) -> np.ndarray:
    """(1, X, Y, Z) to (X, Y, Z) in RAS, or, where one axis has one voxel, to rows and columns as viewers show them."""
    flat = 1 in volume.shape[1:]
    array = Orientation(axcodes="LPI" if flat else "RAS", labels=None)(volume)[0].numpy()
    return np.ascontiguousarray(array.squeeze().T if flat else array)
