"""N4 correction of the bias field of MRI (Tustison et al. 2010), as Osuala et al. 2024 prepare volumes for nnU-Net."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

SHRINK = 4
# A cubic B-spline needs four voxels along each axis.
LEAST_VOXELS = 4


def correct_bias_field(image: np.ndarray, spacing: Sequence[float], shrink: int = SHRINK) -> np.ndarray:
    """The image divided by its smooth bias field.

    The field is estimated within Otsu's foreground on a grid `shrink` times coarser, with ITK's defaults for N4, and
    evaluated at full resolution. One work unit: with several, sums in another order give other bytes.

    Args:
        image: (X, Y, Z), any unit.
        spacing: millimetres along X, Y, Z.
        shrink: 1 or more; less along axes that would be left with fewer than four voxels.

    Returns:
        float32 (X, Y, Z); the image itself where it has one value only or is too thin for a field.
    """
    image = np.asarray(image, np.float32)
    if image.min() == image.max() or min(image.shape) < LEAST_VOXELS:
        return image
    full = SimpleITK.GetImageFromArray(image.transpose(2, 1, 0))
    full.SetSpacing([float(s) for s in spacing])
    factors = [max(1, min(shrink, n // LEAST_VOXELS)) for n in image.shape]
    foreground = SimpleITK.OtsuThreshold(full, 0, 1)
    small, mask = SimpleITK.Shrink(full, factors), SimpleITK.Shrink(foreground, factors)
    if not SimpleITK.GetArrayViewFromImage(mask).any():
        return image
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetNumberOfWorkUnits(1)
    n4.Execute(small, mask)
    field = SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(full)).transpose(2, 1, 0)
    return (image / np.exp(field)).astype(np.float32)


class CorrectBiasFieldd(MapTransform):
    """`correct_bias_field` of volumes (1, X, Y, Z) with an affine.

    Args:
        keys: of the volumes.
        enabled: False leaves them as they are.
    """

    def __init__(self, keys: KeysCollection, enabled: bool = True, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.enabled = bool(enabled)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item) if self.enabled else ():
            volume: MetaTensor = item[key]
            corrected = correct_bias_field(volume[0].as_tensor().cpu().numpy(), [float(s) for s in volume.pixdim])
            volume.set_array(torch.from_numpy(np.ascontiguousarray(corrected))[None])
        return item
