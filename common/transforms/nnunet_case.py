"""A labelled case as nnU-Net trains on it: the breast with the tumour, normalised and resampled by its plans."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from ..errors import InputError
from ..io.volumes import describe_grid, load_volume, same_grid
from ..segmentation.plans_file import read_plans
from .breast_sides import breast_sides


class LoadTumourMaskd(MapTransform):
    """Load a tumour mask and check that it lies on the image's grid.

    Args:
        keys: path of the mask; becomes (1, X, Y, Z), 1 where the file is not 0.
        image_key: of the image, loaded.

    Raises:
        InputError: defect, empty, or on another grid.
    """

    def __init__(self, keys: KeysCollection = "label", image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            path, image = Path(item[key]), item[self.image_key]
            mask = load_volume(path)
            if not same_grid(mask, image):
                raise InputError(
                    f"{path}: the mask ({describe_grid(mask)}) is not on the grid of its image "
                    f"({describe_grid(image)}); resample it"
                )
            if not mask.any():
                raise InputError(f"{path}: the mask is empty; leave the case out of training")
            item[key] = (mask > 0).float()
        return item


class NnunetCased(Transform):
    """Image and mask (1, X, Y, Z), LPS, to arrays of nnU-Net's preprocessing: image (1, Z, Y, X) float32, mask alike.

    With `crop` breast the side with most tumour is kept, which is known in training alone.

    Args:
        plans: path of an `nnunet.json`, or its content.
        crop: `breast` or `none`.
        image_key, label_key: of the item.
    """

    def __init__(self, plans: Any, crop: str = "breast", image_key: str = "image", label_key: str = "label") -> None:
        content = read_plans(plans)
        self.crop, self.image_key, self.label_key = crop, image_key, label_key
        self.dataset_json = content["dataset_json"]
        self.plans = PlansManager(dict(content["plans"]))
        self.configuration = self.plans.get_configuration(content["configuration"])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        volume: MetaTensor = item[self.image_key]
        spacing = [float(s) for s in volume.pixdim]
        image, label = (item[key].as_tensor().cpu().numpy() for key in (self.image_key, self.label_key))
        if self.crop == "breast":
            sides = breast_sides(image[0], spacing).values()
            first, end = max(sides, key=lambda columns: label[0, columns[0] : columns[1]].sum())
            image, label = image[:, first:end], label[:, first:end]
        preprocessor = self.configuration.preprocessor_class(verbose=False)
        arrays, masks, _ = preprocessor.run_case_npy(
            np.ascontiguousarray(image.transpose(0, 3, 2, 1)),
            np.ascontiguousarray(label.transpose(0, 3, 2, 1)).astype(np.int8),
            {"spacing": spacing[::-1]},
            self.plans,
            self.configuration,
            self.dataset_json,
        )
        item[self.image_key] = torch.from_numpy(np.ascontiguousarray(arrays, np.float32))
        item[self.label_key] = torch.from_numpy((masks > 0).astype(np.float32))
        return item
