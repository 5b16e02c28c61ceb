"""Lesions of a MIP as the networks see them: a map of BI-RADS classes or rater fractions, and the condition's channels.

Channel 0 of a condition says "no lesion in this examination" (BI-RADS 1) all over the image; channels 1 to 5 hold
classes 2 to 6. Background and healthy are thereby told apart, as they are not in the original (a single channel whose
value is the class).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..cohorts.lesion_annotations import read_annotation
from ..cohorts.lesion_classes import CLASSES
from ..errors import InputError
from ..io.images import load_image
from .lesion_frame import LesionFrame

MIP_RANGE = (-1.0, 1.0)


class LoadMipd(MapTransform):
    """Load prepared MIPs, (1, X, Y), float32 in [-1, 1].

    Args:
        keys: paths of images (X, Y, 1).
        size: pixels (X, Y) that they must have.

    Raises:
        InputError: another size, or intensities outside the range.
    """

    def __init__(self, keys: KeysCollection, size: Sequence[int]) -> None:
        super().__init__(keys)
        self.size = tuple(int(n) for n in size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = load_image(item[key])
            if tuple(image.shape[1:]) != self.size:
                raise InputError(
                    f"{item[key]}: has {image.shape[1]} x {image.shape[2]} pixels, {self.size[0]} x {self.size[1]} are "
                    "needed; prepare the data with that --size, or pass --spatial_size"
                )
            low, high = float(image.min()), float(image.max())
            if low < MIP_RANGE[0] - 1e-3 or high > MIP_RANGE[1] + 1e-3:
                raise InputError(
                    f"{item[key]}: intensities run from {low:.4g} to {high:.4g}, prepared MIPs lie in [-1, 1]; make "
                    "them with scripts/prepare_data.py breast_mips"
                )
            item[key] = image
        return item


class LoadLesionsd(MapTransform):
    """Load lesion annotations in any of their forms and bring them to the network's grid.

    Args:
        keys: paths; become class maps (1, X, Y), uint8, values 0 and 2 to 6, or rater fractions (5, X, Y), float32.
        size: pixels (X, Y) of the network's grid; annotations on that very matrix are not resampled.
        label_meaning, classes, project: see `read_annotation`.
        required: refuse an item without the entry; otherwise it gets an empty class map, as unlabelled exams that train
            the autoencoder.

    The tensors' metadata hold the file's name and the affine of the network's grid.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        label_meaning: str = "auto",
        classes: Mapping | str | None = None,
        project: bool = False,
        required: bool = True,
    ) -> None:
        super().__init__(keys)
        self.size, self.required = tuple(int(n) for n in size), required
        self.label_meaning, self.classes, self.project = label_meaning, classes, project

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.keys:
            if key not in item and not self.required:
                item[key] = MetaTensor(torch.zeros(1, *self.size, dtype=torch.uint8))
                continue
            if key not in item:
                raise InputError(
                    f"{item.get('case', 'a case')}: has no lesion mask; give one, an empty one where there is no lesion"
                )
            annotation = read_annotation(item[key], self.label_meaning, self.classes, self.project)
            frame = LesionFrame(annotation, self.size)
            shown = frame.annotation_on_network(annotation)
            values = shown.class_map()[None] if shown.fractions is None else shown.fractions
            meta = {"filename_or_obj": str(item[key]), "affine": torch.from_numpy(frame.network_affine)}
            item[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(values)), meta=meta)
        return item


class ClassIndexd(MapTransform):
    """Class maps (1, X, Y) with values 0 and 2 to 6 to the index of a classifier's output, 0 to 5."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if item[key].shape[0] != 1:
                raise InputError("label_meaning=soft: a reader learns one class a lesion, not shares of raters")
            item[key] = torch.where(item[key] > 0, item[key] - CLASSES[0] + 1, item[key])
        return item


class LesionChannelsd(MapTransform):
    """Dictionary form of `lesion_channels`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            channels = lesion_channels(torch.as_tensor(item[key]))
            item[key] = MetaTensor(channels, meta=item[key].meta) if isinstance(item[key], MetaTensor) else channels
        return item


def lesion_channels(lesions: torch.Tensor) -> torch.Tensor:
    """Class map (..., 1, X, Y) or fractions (..., 5, X, Y) to condition channels (..., 6, X, Y), float32 in [0, 1]."""
    if lesions.shape[-3] == 1:
        classes = torch.tensor(CLASSES, device=lesions.device).view(-1, 1, 1)
        lesions = lesions.round() == classes
    lesions = lesions.float()
    healthy = (lesions.amax(dim=(-3, -2, -1), keepdim=True) == 0).float()
    return torch.cat([healthy.expand_as(lesions[..., :1, :, :]), lesions], dim=-3)


def class_map(channels: torch.Tensor) -> torch.Tensor:
    """Condition channels (..., 6, X, Y) to the class of the largest share at each pixel (..., X, Y), 0 outside."""
    share, index = channels[..., 1:, :, :].max(dim=-3)
    values = torch.tensor(CLASSES, device=channels.device)[index]
    return torch.where(share > 0, values, 0)
