"""Pictures of MIPs during training, so that a look tells what a loss curve does not."""

from __future__ import annotations

import numpy as np

from ..reports.mip_pictures import class_picture, mip_picture
from ..reports.pictures import mosaic
from ..transforms.lesions import class_map
from .previews import ImageReconstructionPreview, SamplePreview


class MipReconstructionPreview(ImageReconstructionPreview):
    """`ImageReconstructionPreview` of MIPs, turned as they are looked at."""

    def picture(self, image: np.ndarray) -> np.ndarray:
        """A MIP (X, Y) as grey values (Y, X)."""
        return mip_picture(image)


class MipSamplePreview(SamplePreview):
    """`SamplePreview` of MIPs: conditions (B, 6, X, Y), drawn as masks above their samples."""

    shows = "mask above, sample below"

    def picture(self, samples: np.ndarray, title: str) -> np.ndarray:
        """Masks and their samples (B, 1, X, Y) as one picture (H, W, 3)."""
        masks = class_map(self.conditions).numpy()
        rows = [[class_picture(mask) for mask in masks], [mip_picture(sample[0]) for sample in samples]]
        return mosaic(rows, [""] * len(masks), title)
