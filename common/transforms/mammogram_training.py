"""Prepared mammograms as training items, and the regions that inpainting learns to fill."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy import ndimage
from torch.nn import functional

from ..errors import InputError
from ..io.images import load_image
from ..networks.text_diffusion import blank, pool_mask

SHAPES = ("rectangle", "ellipse", "blob")


class LoadMammogramd(MapTransform):
    """Read the files of a datalist item.

    Args:
        keys: `image` becomes (1, H, W) float32 in [-1, 1]; `breast` and `label` become (1, H, W) uint8, `label` the
            number of each lesion, 0 where a case has none.
        size: (H, W) of the network's grid; larger prepared images are reduced, masks by any-hit.
        numbered: False makes every lesion 1.
    """

    def __init__(self, keys: KeysCollection, size: Sequence[int], numbered: bool = True) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.size, self.numbered = tuple(int(n) for n in size), numbered

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns the item with arrays in place of paths."""
        item = dict(data)
        for key in self.keys:
            if key in item:
                array = load_image(item[key]).as_tensor().transpose(1, 2)  # files hold columns first
                item[key] = self._image(array, str(item[key])) if key == "image" else self._mask(array, str(item[key]))
            elif key == "label":
                item[key] = torch.zeros(1, *self.size, dtype=torch.uint8)
        return item

    def _image(self, array: torch.Tensor, path: str) -> torch.Tensor:
        self._check(array, path)
        image = array.float() / 65535 * 2 - 1
        if image.shape[1:] != self.size:
            image = functional.interpolate(image[None], self.size, mode="bilinear", antialias=True)[0]
        return image

    def _mask(self, array: torch.Tensor, path: str) -> torch.Tensor:
        self._check(array, path)
        mask = functional.adaptive_max_pool2d(array.float(), self.size)
        return (mask if self.numbered else mask > 0).to(torch.uint8)

    def _check(self, array: torch.Tensor, path: str) -> None:
        height, width = array.shape[1:]
        if height * self.size[1] != width * self.size[0] or height < self.size[0]:
            raise InputError(
                f"{path}: has {height} x {width} pixels, the network {self.size[0]} x {self.size[1]}; prepare the "
                f"cohort again with --size {self.size[0]} or more"
            )


class RandInpaintingd(RandomizableTransform, MapTransform):
    """Choose the region to fill: around one of the lesions, or anywhere in a breast without any.

    Args:
        keys: `image`, (1, H, W) in [-1, 1], becomes (2, H, W): itself and blank where the mask is; `label`, lesion
            numbers, becomes (3, H / factor, W / factor): the mask, a plane of 1 where the item is a close-up, of 0
            else, and a plane of the lesion's number, 0 for a healthy region; `breast` says where such a one may lie.
        factor: image pixels to a latent pixel.
        crop_share: share of items that become close-ups, so that a small region can be filled at finer resolution.
        extent: smallest and largest side of a region without a lesion, as a share of the image's height.
        enlarge: range of the factor by which a lesion's box is enlarged, since users paint generously.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label", "breast"),
        factor: int = 8,
        crop_share: float = 0.25,
        extent: Sequence[float] = (0.04, 0.16),
        enlarge: Sequence[float] = (1.0, 1.6),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self)
        self.factor, self.crop_share, self.extent, self.enlarge = factor, crop_share, tuple(extent), tuple(enlarge)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns `image` and `label` as above; other entries are dropped."""
        image, label, breast = (torch.as_tensor(data[key]) for key in ("image", "label", "breast"))
        numbers = label.unique()
        numbers = numbers[numbers > 0]
        number = int(numbers[self.R.randint(len(numbers))]) if len(numbers) else 0
        if number:
            box = _box_of(label[0] == number, self.R.uniform(*self.enlarge))
        else:
            box = self._healthy_box(breast[0].numpy() > 0)
        mask = self._draw(box, image.shape[1:])
        close_up = self.R.rand() < self.crop_share
        if close_up:
            image, mask = self._look_closer(image, mask, box)
        latent_mask = pool_mask(mask[None].float(), self.factor)[0]
        planes = enumerate((0.0, float(close_up), float(number)))
        return {
            "image": torch.cat([image, blank(image, mask)]).float(),
            "label": torch.cat([torch.full_like(latent_mask, value) if k else latent_mask for k, value in planes]),
        }

    def _healthy_box(self, breast: np.ndarray) -> tuple[float, float, float, float]:
        """Centre (row, column) and half sides (rows, columns) of a region in the breast."""
        height = breast.shape[0]
        sides = np.exp(self.R.uniform(*np.log(self.extent), size=2)) * height
        inner = ndimage.binary_erosion(breast, iterations=max(1, round(0.03 * height)))
        places = np.argwhere(inner if inner.any() else breast)
        row, column = places[self.R.randint(len(places))] if len(places) else (height / 2, height / 4)
        return float(row), float(column), sides[0] / 2, sides[1] / 2

    def _draw(self, box: tuple[float, float, float, float], shape: Sequence[int]) -> torch.Tensor:
        """A rectangle, an ellipse in it, or a blob about it; (1, H, W) float32 of 0 and 1."""
        row, column, half_rows, half_columns = box
        down, right = np.ogrid[: shape[0], : shape[1]]
        y, x = (down - row) / max(half_rows, 1.0), (right - column) / max(half_columns, 1.0)
        kind = SHAPES[self.R.randint(len(SHAPES))]
        if kind == "rectangle":
            mask = np.maximum(abs(y), abs(x)) <= 1
        elif kind == "ellipse":
            mask = y**2 + x**2 <= 1
        else:
            angle = np.arctan2(y, x)
            waves = [self.R.uniform(0, 0.12) * np.cos(k * angle + self.R.uniform(0, 2 * np.pi)) for k in (2, 3, 5)]
            mask = y**2 + x**2 <= (1.2 + sum(waves)) ** 2
        mask[int(np.clip(row, 0, shape[0] - 1)), int(np.clip(column, 0, shape[1] - 1))] = True
        return torch.from_numpy(mask[None]).float()

    def _look_closer(
        self, image: torch.Tensor, mask: torch.Tensor, box: tuple[float, float, float, float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The square around a region, enlarged to the whole grid."""
        height, width = image.shape[1:]
        side = int(np.clip(self.R.uniform(2.5, 4.5) * 2 * max(box[2:]), height / 4, height / 1.5))
        top, left = (
            int(np.clip(centre - side / 2 + self.R.uniform(-0.1, 0.1) * side, 0, n - side))
            for centre, n in ((box[0], height), (box[1], width))
        )
        window = (slice(None), slice(top, top + side), slice(left, left + side))
        closer = functional.interpolate(image[window][None], (height, width), mode="bilinear")[0]
        return closer, functional.interpolate(mask[window][None], (height, width), mode="nearest")[0]


def _box_of(mask: torch.Tensor, enlarge: float) -> tuple[float, float, float, float]:
    rows, columns = (torch.nonzero(mask.any(axis)).flatten() for axis in (1, 0))
    ends = [(float(index[0]), float(index[-1]) + 1) for index in (rows, columns)]
    return (
        (ends[0][0] + ends[0][1] - 1) / 2,
        (ends[1][0] + ends[1][1] - 1) / 2,
        enlarge * (ends[0][1] - ends[0][0]) / 2,
        enlarge * (ends[1][1] - ends[1][0]) / 2,
    )
