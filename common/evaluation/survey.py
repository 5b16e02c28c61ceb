"""A first look at every image of a set: size, range, what cannot be used, what is there twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_json
from .image_files import ImageFile
from .intensity_scale import HIGH_PERCENT, LOW_PERCENT

BATCH = 200  # images after which the record on disk is brought up to date


@dataclass(frozen=True)
class Look:
    """What one image is like.

    Attributes:
        name: of the image.
        shape: of the array.
        low, high: 0.1 and 99.9 percentile of the finite values.
        finite: whether all values are.
        sha256: of the values.
    """

    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    finite: bool
    sha256: str


@dataclass
class Survey:
    """A set of images that can be used, and what was found.

    Attributes:
        title: what the set is: real, synthetic, training or validation.
        files, looks: of the usable images, in one order.
        warnings: sentences for the report.
    """

    title: str
    files: list[ImageFile]
    looks: list[Look]
    warnings: list[str] = field(default_factory=list)

    @property
    def shapes(self) -> Counter:
        """How often each shape occurs."""
        return Counter(look.shape for look in self.looks)

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return len(self.looks[0].shape)

    @property
    def sha256(self) -> str:
        """Fingerprint of all values, in the order of the names."""
        return sha256_of_json([look.sha256 for look in self.looks])


def survey(title: str, files: Sequence[ImageFile], records: Path) -> Survey:
    """Look at every image once; images that were looked at before, and have not changed, are not read again.

    Args:
        title: of the set.
        files: its images.
        records: folder of the evaluation's records.

    Raises:
        InputError: an unreadable image, images and volumes in one set, or no usable one.
    """
    path = make_output_dir(records) / f"survey_{title}.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    found: dict[str, dict] = {}
    for number, file in enumerate(tqdm(files, desc=f"looking at {title} images", unit="image"), 1):
        state = _state(file)
        found[state] = known.get(state) or asdict(_look(file))
        if number % BATCH == 0 or number == len(files):
            write_json(path, known | found if number < len(files) else found)
    looks = [Look(**(entry | {"shape": tuple(entry["shape"])})) for entry in found.values()]
    usable = [(file, look) for file, look in zip(files, looks, strict=True) if look.finite]
    warnings = []
    spoilt = [look.name for look in looks if not look.finite]
    if spoilt:
        warnings.append(f"{len(spoilt)} {title} images hold NaN or infinite values and are left out: {_few(spoilt)}")
    if not usable:
        raise InputError(f"{title}: no image is free of NaN; nothing is left to evaluate")
    dims = Counter(len(look.shape) for _, look in usable)
    if len(dims) > 1:
        raise InputError(
            f"{title}: {dims[2]} two-dimensional and {dims[3]} three-dimensional images; give a pattern for one kind"
        )
    constant = [look.name for _, look in usable if look.low == look.high]
    if constant:
        warnings.append(f"{len(constant)} {title} images are constant: {_few(constant)}")
    warnings += _duplicates(title, [look for _, look in usable])
    return Survey(title, [file for file, _ in usable], [look for _, look in usable], warnings)


def shared_images(first: Survey, second: Survey) -> list[str]:
    """Names in the second set whose values are those of an image of the first."""
    known = {look.sha256 for look in first.looks}
    return [look.name for look in second.looks if look.sha256 in known]


def _duplicates(title: str, looks: Sequence[Look]) -> list[str]:
    names: dict[str, list[str]] = {}
    for look in looks:
        names.setdefault(look.sha256, []).append(look.name)
    double = [group for group in names.values() if len(group) > 1]
    if not double:
        return []
    count = sum(len(group) - 1 for group in double)
    return [f"{count} {title} images are copies of others in the set, such as {double[0][1]} of {double[0][0]}"]


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _state(file: ImageFile) -> str:
    """Changes when one of the files does."""
    stats = [(str(path.resolve()), path.stat()) for path in file.files]
    states = [(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats]
    return sha256_of_json([file.name, states])


def _look(file: ImageFile) -> Look:
    image = file.load()
    finite = np.isfinite(image)
    values = image[finite]
    low, high = np.percentile(values, [LOW_PERCENT, HIGH_PERCENT]) if values.size else (0.0, 0.0)
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    return Look(file.name, image.shape, float(low), float(high), bool(finite.all()), digest)
