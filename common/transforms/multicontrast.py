"""Several contrasts of one head as the channels of one volume: loading, intensities, and the way back to files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform
from scipy import ndimage

from ..errors import InputError
from ..io.volumes import describe_grid, load_volume, same_grid
from .geometry import atlas_canvas, content_canvas, is_atlas_grid

# Lowest z-score that a brain voxel may keep where the background has a value of its own.
BRAIN_FLOOR_ABOVE_BACKGROUND = 0.5


class LoadContrastsd(MapTransform):
    """Load contrasts as channels, and the mask, from a datalist item.

    Args:
        keys: the image: a list of files, one a contrast, or one 4D file with the item's `channels` order.
        contrasts: names in channel order, for messages.
        label_key: the mask, loaded where present and checked to lie on the image's grid.

    Raises:
        InputError: a file is missing or defect, or the grids differ; names the contrast.
    """

    def __init__(
        self,
        keys: KeysCollection,
        contrasts: Sequence[str] = ("T1", "T1C", "T2", "FLAIR"),
        label_key: str = "label",
    ) -> None:
        super().__init__(keys)
        self.contrasts = tuple(contrasts)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._load(item[key], item)
            if item.get(self.label_key):
                mask = load_volume(item[self.label_key])
                if not same_grid(mask, item[key]):
                    raise InputError(
                        f"{item[self.label_key]}: the mask ({describe_grid(mask)}) is not on the grid of the contrasts "
                        f"({describe_grid(item[key])})"
                    )
                item[self.label_key] = mask
        return item

    def _load(self, paths: str | Sequence[str], item: Mapping) -> MetaTensor:
        if isinstance(paths, (str, Path)):
            volume = load_volume(paths, channels_last=True)
            order = list(item.get("channels", range(len(self.contrasts))))
            if len(order) != len(self.contrasts) or max(order) >= volume.shape[0]:
                raise InputError(f"{paths}: has {volume.shape[0]} channels, {len(self.contrasts)} contrasts are needed")
            return volume[order]
        if len(paths) != len(self.contrasts):
            raise InputError(
                f"{item.get('case', 'case')}: {len(paths)} files for the contrasts {', '.join(self.contrasts)}"
            )
        volumes = [load_volume(path) for path in paths]
        for name, volume, path in zip(self.contrasts, volumes, paths, strict=True):
            if not same_grid(volume, volumes[0]):
                raise InputError(
                    f"{path}: {name} ({describe_grid(volume)}) is not on the grid of {self.contrasts[0]} "
                    f"({describe_grid(volumes[0])}); prepare_data.py brats --resample brings contrasts together"
                )
        return MetaTensor(torch.cat([v.as_tensor() for v in volumes]), meta=volumes[0].meta)


class CropToBraind(MapTransform, InvertibleTransform):
    """Crop to the box of the non-zero voxels of any contrast; the mask gets the same box. Inverts by padding.

    Args:
        keys: the image (C, X, Y, Z), RAS axes, background exactly 0.
        label_key: the mask, cropped alike where present.

    Writes `canvas`, the whole cropped volume, and `atlas_canvas`, the atlas box in the same coordinates (NaN where the
    grid is not the atlas'), both (2, 3).
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label") -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.crop = Crop()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item[self.first_key(item)]
        box = content_canvas(image)
        atlas = atlas_canvas(image) - box[0] if is_atlas_grid(image) else torch.full((2, 3), float("nan"))
        window = tuple(slice(int(a), int(b)) for a, b in zip(*box, strict=True))
        for key in (*self.key_iterator(item), self.label_key):
            if key in item:
                item[key] = self.crop(item[key], window)
        item["canvas"] = box - box[0]
        item["atlas_canvas"] = atlas.double()
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in (*self.key_iterator(item), self.label_key):
            if key in item:
                item[key] = self.crop.inverse(item[key])
        return item


class NormalizeBraind(MapTransform):
    """z-score of each contrast over its non-zero voxels, background as told.

    Args:
        keys: volumes (C, X, Y, Z), background exactly 0.
        background: value where every contrast is zero. 0 is the paper's; it equals average brain after the z-score, so
            that the head's edge is ambiguous. A value below every tissue (the compact default, -3) keeps it distinct;
            brain is then clipped to at least `background + 0.5`.
    """

    def __init__(self, keys: KeysCollection, background: float = 0.0) -> None:
        super().__init__(keys)
        self.background = float(background)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._normalize(item[key])
        return item

    def _normalize(self, image: MetaTensor) -> MetaTensor:
        normalized = torch.zeros_like(image)
        for channel, volume in enumerate(image.as_tensor()):
            voxels = volume[volume != 0]
            if voxels.numel() < 2 or voxels.std() == 0:
                raise InputError(f"channel {channel}: the contrast is empty or constant, it cannot be normalised")
            scaled = (volume - voxels.mean()) / voxels.std()
            normalized[channel] = torch.where(volume != 0, scaled, 0.0) if self.background == 0 else scaled
        if self.background != 0:
            normalized.clamp_(min=self.background + BRAIN_FLOOR_ABOVE_BACKGROUND)
            normalized[:, ~(image != 0).any(dim=0)] = self.background
        return normalized


def brain_mask(image: torch.Tensor, background: float) -> torch.Tensor:
    """Where a normalised volume (C, X, Y, Z) holds brain: the largest component, holes filled; bool (X, Y, Z).

    With a background below the tissue, the mean of the contrasts is compared with the middle between background and
    tissue; with background 0, voxels near 0 in every contrast are taken as background.
    """
    volume = torch.as_tensor(image).float()
    # No tissue is dark in all four contrasts at once, so their mean separates better than any one.
    candidate = volume.mean(dim=0) > 0.55 * background if background < 0 else volume.abs().amax(dim=0) > 0.25
    components, count = ndimage.label(candidate.numpy())
    if count == 0:
        return candidate
    largest = components == 1 + np.argmax(np.bincount(components.ravel())[1:])
    return torch.from_numpy(ndimage.binary_fill_holes(largest))


class ExtendBraind(MapTransform):
    """Prepare a synthetic volume for resampling: tissue continues outward from the brain, the brain is a channel.

    Interpolating across the head's edge would mix tissue and background; so each background voxel takes its nearest
    brain voxel's value, and the brain mask travels as a last channel, to be applied by `RestoreBraind` afterwards.

    Args:
        keys: volumes (C, X, Y, Z) in z-scores; become (C + 1, X, Y, Z).
        background: as in `NormalizeBraind`.
        like: entry whose grid the volumes are on; its metadata is copied.
    """

    def __init__(self, keys: KeysCollection, background: float = 0.0, like: str = "image") -> None:
        super().__init__(keys)
        self.background = float(background)
        self.like = like

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            extended = torch.as_tensor(item[key]).detach().float().cpu()
            brain = brain_mask(extended, self.background)
            if brain.any():
                nearest = ndimage.distance_transform_edt(~brain.numpy(), return_distances=False, return_indices=True)
                extended = torch.from_numpy(extended.numpy()[(slice(None), *nearest)])
            item[key] = MetaTensor(
                torch.cat([extended, brain[None].float()]), meta=getattr(item[self.like], "meta", None)
            )
        return item


class RestoreBraind(MapTransform):
    """After resampling: set everything outside the brain to 0 and bring intensities to the scale of the output.

    Args:
        keys: volumes from `ExtendBraind`, (C + 1, X, Y, Z); become (C, X, Y, Z), float32.
        intensity: `reference` maps z-scores to `mean + std * z`, at least 1 in the brain, so that viewers and tools
            that take 0 for background work; `zscore` leaves them.
        mean, std: one for each contrast, of a stated reference.
    """

    def __init__(
        self,
        keys: KeysCollection,
        intensity: str = "reference",
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__(keys)
        if intensity not in ("reference", "zscore"):
            raise InputError(f"intensity={intensity}: use reference or zscore")
        self.intensity = intensity
        self.mean = torch.tensor(mean).view(-1, 1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1, 1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image, brain = item[key][:-1].float(), item[key][-1:] > 0.5
            if self.intensity == "reference":
                image = (image * self.std + self.mean).clamp(min=1.0)
            item[key] = image * brain
        return item
