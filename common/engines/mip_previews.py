"""Pictures of MIPs during training, so that a look tells what a loss curve does not."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events

from ..io.files import make_output_dir
from ..knobs import as_path
from ..outputs import PREVIEWS
from ..reports.mip_pictures import class_picture, mip_picture
from ..reports.pictures import mosaic, save_png
from ..transforms.lesions import class_map
from .previews import is_first


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


class MipSamplePreview:
    """Handler of a trainer: samples for fixed validation masks by the current weights, below the masks.

    Args:
        output_dir: folder of the training; pictures go to `previews/epoch_NNNN.png`.
        network: composite network (its denoiser may be an EMA copy).
        inferer: sampler, `inferer(inputs=condition, network=network, seeds=...)`.
        conditions: (B, 6, X, Y) of the cases to draw.
        interval: epochs between pictures; the last epoch is always drawn.
        rank: only rank 0 draws.
    """

    def __init__(
        self,
        output_dir: str,
        network: torch.nn.Module,
        inferer: Any,
        conditions: torch.Tensor,
        interval: int = 10,
        rank: int = 0,
    ) -> None:
        self.folder, self.network, self.inferer = as_path(output_dir) / PREVIEWS, network, inferer
        self.conditions, self.interval, self.rank = conditions, interval, rank

    def attach(self, engine: Engine) -> None:
        """Draw at `EPOCH_COMPLETED`."""
        if self.rank == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch % self.interval and epoch != engine.state.max_epochs:
            return
        self.network.eval()
        device = next(self.network.parameters()).device
        seeds = torch.arange(len(self.conditions))
        samples = self.inferer(inputs=self.conditions.to(device), network=self.network, seeds=seeds).cpu().numpy()
        masks = class_map(self.conditions).numpy()
        rows = [[class_picture(mask) for mask in masks], [mip_picture(sample[0]) for sample in samples]]
        title = f"SYNTHETIC, epoch {epoch}: mask above, sample below"
        path = make_output_dir(self.folder) / f"epoch_{epoch:04d}.png"
        save_png(path, mosaic(rows, [""] * len(masks), title), title)
