"""The images of a set one after the other, on one scale and grid, so that no set is ever in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..errors import InputError
from ..reports.mip_pictures import display
from .intensity_scale import IntensityScale
from .survey import Survey


@dataclass(frozen=True)
class ImageStream:
    """Iterates over (name, image) with images as float32 in [0, 1]; can be iterated again.

    Attributes:
        survey: the set.
        scale: of the intensities.
        size: to resample to; None to take images as they are.
    """

    survey: Survey
    scale: IntensityScale
    size: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.survey.files)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for index in range(len(self)):
            yield self.survey.files[index].name, self[index]

    def named(self, name: str) -> np.ndarray:
        """The image of a name."""
        return self[next(k for k, file in enumerate(self.survey.files) if file.name == name)]

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return resampled(self.scale.apply(self.survey.files[index].load()), self.size)


def resampled(image: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    """An image on another number of pixels or voxels: linear, smoothed before it is made smaller."""
    if size is None or image.shape == tuple(size):
        return image
    batch = torch.from_numpy(image)[None, None]
    if image.ndim == 2:
        return functional.interpolate(batch, tuple(size), mode="bilinear", antialias=True)[0, 0].numpy()
    if all(new <= old for new, old in zip(size, image.shape, strict=True)):
        return functional.interpolate(batch, tuple(size), mode="area")[0, 0].numpy()
    return functional.interpolate(batch, tuple(size), mode="trilinear", align_corners=False)[0, 0].numpy()


def middle_slice(image: np.ndarray) -> np.ndarray:
    """An image as it is; of a volume in RAS the middle axial slice, as viewers show it."""
    if image.ndim == 2:
        return image
    return display(image[:, :, image.shape[2] // 2])


def check_sizes(surveys: Sequence[Survey], size: Any) -> tuple[int, ...] | None:
    """The size to resample to, where one is asked for.

    Args:
        surveys: all sets that are compared.
        size: what the user gave: None, or a list of whole numbers.

    Raises:
        InputError: sets of another number of axes; different sizes without `size`; a `size` that does not fit.
    """
    dims = {survey.title: survey.spatial_dims for survey in surveys}
    if len(set(dims.values())) > 1:
        words = ", ".join(f"{title} {count}D" for title, count in dims.items())
        raise InputError(f"sets of different kind ({words}); compare images with images, volumes with volumes")
    count = surveys[0].spatial_dims
    if size is not None:
        whole = isinstance(size, (list, tuple)) and all(isinstance(s, int) and s > 0 for s in size)
        if not whole or len(size) != count:
            raise InputError(f"size={size}: give {count} whole numbers, such as {[128] * count}")
        return tuple(size)
    shapes = {survey.title: survey.shapes for survey in surveys}
    if len({shape for found in shapes.values() for shape in found}) > 1:
        words = "; ".join(
            f"{title}: " + ", ".join("x".join(map(str, shape)) for shape, _ in found.most_common(2))
            for title, found in shapes.items()
        )
        raise InputError(
            f"images of different size ({words}); nothing is resampled unless you say so: give --size "
            f"'{list(surveys[0].looks[0].shape)}'"
        )
    return None


def scale_warning(real: Survey, other: Survey) -> str | None:
    """A sentence where two sets have clearly different intensities."""
    (low, high), (other_low, other_high) = (
        tuple(float(np.median([getattr(look, end) for look in s.looks])) for end in ("low", "high"))
        for s in (real, other)
    )
    span, other_span = high - low, other_high - other_low
    if not span > 0:
        return None
    if 0.5 <= other_span / span <= 2 and abs(other_low - low) <= 0.5 * span:
        return None
    return (
        f"intensities differ: {real.title} images reach from {low:.4g} to {high:.4g} (median), {other.title} ones from "
        f"{other_low:.4g} to {other_high:.4g}; every score sees that. --scale image puts each image on its own range"
    )
