"""The way between a lesion annotation's own pixels, stored in any direction, and the network's grid."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel
import numpy as np
import torch

from ..cohorts.lesion_annotations import LesionAnnotation
from ..errors import InputError
from .slice_grid import SliceGrid

RAS = np.array([[0, 1], [1, 1], [2, 1]])


class LesionFrame:
    """Turns an axial image to RAS, pads it to a square in millimetres and resizes it; and back.

    Args:
        annotation: with its affine.
        size: pixels (X, Y) of the network's grid.

    Attributes:
        grid: from the turned image to the network.
        network_affine: 4x4 of the network's grid.

    Raises:
        InputError: the image is not axial.
    """

    def __init__(self, annotation: LesionAnnotation, size: Sequence[int]) -> None:
        affine, shape = annotation.affine, (*annotation.instances.shape, 1)
        self.orientation = nibabel.io_orientation(affine)
        if np.isnan(self.orientation).any() or self.orientation[2, 0] != 2:
            raise InputError(
                f"{annotation.path}: its plane is not axial; MIPs are seen along the cranio-caudal axis, draw lesions "
                "on an axial projection"
            )
        turned_affine = affine @ nibabel.orientations.inv_ornt_aff(self.orientation, shape)
        matrix = tuple(int(n) for n in self._turn(np.zeros(shape[:2])).shape)
        spacing = np.linalg.norm(turned_affine[:3, :2], axis=0)
        self.grid = SliceGrid(matrix, tuple(float(s) for s in spacing), tuple(int(n) for n in size))
        self.network_affine = self.grid.network_affine(turned_affine)

    def labels_to_network(self, labels: np.ndarray) -> np.ndarray:
        """Whole-number labels (X, Y) of the file on the network's grid, see `fit_labels`."""
        return fit_labels(self._turn(labels), self.grid)

    def shares_to_network(self, shares: np.ndarray) -> np.ndarray:
        """Fractions (C, X, Y) of the file on the network's grid, float32, averaged."""
        turned = np.stack([self._turn(channel) for channel in shares])
        return self.grid.to_network(torch.from_numpy(turned)[None].float())[0].numpy()

    def annotation_on_network(self, annotation: LesionAnnotation) -> LesionAnnotation:
        """The annotation on the network's grid."""
        shares = None if annotation.fractions is None else self.shares_to_network(annotation.fractions)
        instances = self.labels_to_network(annotation.instances)
        classes = {number: annotation.classes[number] for number in sorted(set(np.unique(instances).tolist()) - {0})}
        return LesionAnnotation(annotation.path, instances, classes, self.network_affine, shares)

    def image_to_file(self, image: np.ndarray) -> np.ndarray:
        """Image (X, Y) of the network's grid on the file's own pixels, bilinear, float32."""
        return self._turn_back(self.grid.to_volume(torch.from_numpy(image)[None, None].float())[0, 0].numpy())

    def _turn(self, plane: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(nibabel.apply_orientation(plane[..., None], self.orientation)[..., 0])

    def _turn_back(self, plane: np.ndarray) -> np.ndarray:
        back = nibabel.orientations.ornt_transform(RAS, self.orientation)
        return np.ascontiguousarray(nibabel.apply_orientation(plane[..., None], back)[..., 0])


def fit_labels(labels: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """Whole-number labels (X, Y) on the network's grid, the same type.

    A pixel gets a label that covers at least half of it; a label that covers half of no pixel keeps the one that it
    covers most of, so that no small lesion vanishes: give each lesion a label of its own. Smaller ones lie on top.
    """
    if grid.padded == tuple(labels.shape) == grid.size:
        return labels
    fitted = np.zeros(grid.size, labels.dtype)
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    for value in values[np.argsort(-counts, kind="stable")]:
        part = torch.from_numpy((labels == value).astype(np.float32))[None, None]
        share = grid.to_network(part)[0, 0].numpy()
        fitted[share >= min(0.5, share.max())] = value
    return fitted
