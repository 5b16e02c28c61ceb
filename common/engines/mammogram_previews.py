"""Pictures of mammograms during training, so that a look tells what a loss curve does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from transformers import PreTrainedTokenizerBase

from ..cohorts.mammogram_prompts import compose
from ..io.files import make_output_dir
from ..knobs import as_path
from ..latents.inpainting import attributes_of
from ..networks.prompt_tokenizer import token_ids
from ..outputs import PREVIEWS
from ..reports.pictures import mosaic, save_png
from ..transforms.mammogram_training import LoadMammogramd
from .previews import gray_picture


class MammogramSamplePreview:
    """Handler of a trainer: the same prompts and masks by the current weights, from the same noise each time.

    First row the validation images, second row images from their prompts alone; where the network can inpaint, third
    row their lesion regions (a square in the middle of the breast where there is none) filled anew.

    Args:
        output_dir: folder of the training; pictures go to `previews/epoch_NNNN.png`.
        network: composite network (its denoiser may be an EMA copy).
        inferer: sampler.
        tokenizer: of the prompts.
        items: datalist items to show.
        image_size: (H, W) of the network's images.
        interval: epochs between pictures.
        rank: only rank 0 draws.
    """

    def __init__(
        self,
        output_dir: str,
        network: Any,
        inferer: Any,
        tokenizer: PreTrainedTokenizerBase,
        items: Sequence[Mapping[str, Any]],
        image_size: Sequence[int],
        interval: int = 10,
        rank: int = 0,
    ) -> None:
        self.folder, self.network, self.inferer = as_path(output_dir) / PREVIEWS, network, inferer
        self.interval, self.rank = interval, rank
        loaded = [LoadMammogramd(["image", "label", "breast"], image_size)(item) for item in items]
        self.images = torch.stack([item["image"].float() for item in loaded])
        self.masks = torch.stack([_region(item["label"], item["breast"]) for item in loaded])
        self.ids = token_ids(tokenizer, [compose(attributes_of(item)) for item in items])

    def attach(self, engine: Engine) -> None:
        """Draw every `interval` epochs and at the end."""
        if self.rank == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch % self.interval and epoch != engine.state.max_epochs:
            return
        self.network.eval()
        rows = [self.images, self._sample(torch.cat([torch.zeros_like(self.images), torch.ones_like(self.masks)], 1))]
        if self.network.paints:
            filled = self._sample(torch.cat([self.images, self.masks], 1))
            rows.append(torch.where(self.masks > 0, filled, self.images))
        title = f"epoch {epoch}: validation image, SYNTHETIC from its prompt, SYNTHETIC in its lesion's region"
        pictures = [[gray_picture(image[0]) for image in row.numpy()] for row in rows]
        path = make_output_dir(self.folder) / f"epoch_{epoch:04d}.png"
        save_png(path, mosaic(pictures, [""] * len(self.images), title), title)

    def _sample(self, inputs: torch.Tensor) -> torch.Tensor:
        device = next(self.network.parameters()).device
        seeds = range(len(inputs))
        return self.inferer(
            inputs=inputs.to(device), network=self.network, seeds=seeds, token_ids=self.ids.to(device)
        ).cpu()


def _region(label: torch.Tensor, breast: torch.Tensor) -> torch.Tensor:
    """The lesions, or a square in the middle of the breast; (1, H, W) float32."""
    if label.any():
        return (label > 0).float()
    places = torch.nonzero(breast[0])
    row, column = places.float().mean(0).round().long().tolist() if len(places) else [n // 2 for n in label.shape[1:]]
    half = label.shape[1] // 16
    region = torch.zeros_like(label, dtype=torch.float32)
    region[:, row - half : row + half, column - half : column + half] = 1
    return region
