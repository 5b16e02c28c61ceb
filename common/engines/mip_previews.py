"""Pictures of MIPs during training, so that a look tells what a loss curve does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from ..io.files import make_output_dir
from ..knobs import as_path
from ..outputs import PREVIEWS
from ..reports.mip_pictures import class_picture, mip_picture
from ..reports.pictures import mosaic, save_png
from ..transforms.lesions import class_map
from .previews import SamplePreview, is_first


class MipReconstructionPreview:
    """Handler of an evaluator: MIPs of the first validation batch above their reconstructions.

    Args:
        output_dir: folder of the training; pictures go to `previews/epoch_NNNN.png`.
        count: how many.
    """

    def __init__(self, output_dir: str, count: int = 4) -> None:
        self.folder, self.count = as_path(output_dir) / PREVIEWS, count

    def attach(self, engine: Engine) -> None:
        """Draw after the first batch of each validation."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(event_filter=is_first), self)

    def __call__(self, engine: Engine) -> None:
        output: dict[str, Any] = engine.state.output
        parts = (output["label"][0], output["pred"][0])
        rows = [[mip_picture(image[0]) for image in part[: self.count].float().cpu().numpy()] for part in parts]
        title = f"epoch {engine.state.epoch}: input above, reconstruction below"
        path = make_output_dir(self.folder) / f"epoch_{engine.state.epoch:04d}.png"
        save_png(path, mosaic(rows, [""] * self.count, title), title)


class MipSamplePreview(SamplePreview):
    """`SamplePreview` of MIPs: conditions (B, 6, X, Y), drawn as masks above their samples."""

    shows = "mask above, sample below"

    def picture(self, samples: np.ndarray, title: str) -> np.ndarray:
        """Masks and their samples (B, 1, X, Y) as one picture (H, W, 3)."""
        masks = class_map(self.conditions).numpy()
        rows = [[class_picture(mask) for mask in masks], [mip_picture(sample[0]) for sample in samples]]
        return mosaic(rows, [""] * len(masks), title)
