"""Lesions of a MIP one by one, as an evaluation needs them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..cohorts.lesion_annotations import read_annotation
from .lesion_frame import LesionFrame


class LoadLesionInstancesd(MapTransform):
    """Add the lesions of an annotation as `instances` and `classes`; the path under the key stays.

    Args:
        keys: path of an annotation; an item without it gets neither entry.
        size: pixels (X, Y) of the network's grid.
        label_meaning, classes, project: see `read_annotation`.

    `instances` is (X, Y), uint16, number of the lesion at each pixel, 0 outside; `classes` maps the numbers that occur
    to BI-RADS classes 2 to 6.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: Sequence[int],
        label_meaning: str = "auto",
        classes: Mapping | str | None = None,
        project: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.size = tuple(int(n) for n in size)
        self.label_meaning, self.classes, self.project = label_meaning, classes, project

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            annotation = read_annotation(item[key], self.label_meaning, self.classes, self.project)
            instances = LesionFrame(annotation, self.size).labels_to_network(annotation.instances)
            present = set(np.unique(instances).tolist())
            item["instances"] = instances
            item["classes"] = {n: birads for n, birads in annotation.classes.items() if n in present}
        return item
