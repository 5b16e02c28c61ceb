"""Pictures during training, so that a look tells what a loss curve does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from ..io.files import make_output_dir
from ..knobs import as_path
from ..outputs import PREVIEWS
from ..reports.pictures import mosaic, save_png, slice_through, window

HEIGHT = 128


def gray_picture(image: np.ndarray) -> np.ndarray:
    """Image (H, W) in [-1, 1] as grey values, uint8."""
    return ((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)


def _contrast_row(volume: np.ndarray, position: int) -> list[np.ndarray]:
    """Axial slices of all channels of (C, X, Y, Z), grid shown with square pixels."""
    return [slice_through(window(channel), 2, position, (1, 1, 1), HEIGHT) for channel in volume]


class ReconstructionPreview:
    """Handler of an evaluator: the first validation case and its reconstruction, `previews/epoch_NNN.png`.

    Args:
        output_dir: folder of the training.
        contrasts: captions.
    """

    def __init__(self, output_dir: str, contrasts: tuple[str, ...] = ("T1", "T1C", "T2", "FLAIR")) -> None:
        self.folder, self.contrasts = as_path(output_dir) / PREVIEWS, contrasts

    def attach(self, engine: Engine) -> None:
        """Draw after the first batch of each validation."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(event_filter=is_first), self)

    def __call__(self, engine: Engine) -> None:
        output: dict[str, Any] = engine.state.output
        image, mask = (value[0].float().cpu().numpy() for value in output["label"])
        reconstruction = output["pred"][0][0].float().cpu().numpy()
        position = int(np.argmax((mask[0] > 0).sum((0, 1))))
        rows = [_contrast_row(image, position), _contrast_row(reconstruction, position)]
        title = f"epoch {engine.state.epoch}: input above, reconstruction below"
        save_png(
            make_output_dir(self.folder) / f"epoch_{engine.state.epoch:04d}.png",
            mosaic(rows, self.contrasts, title),
            title,
        )


def is_first(engine: Engine, event: int) -> bool:
    """Event filter: the first batch of an epoch."""
    return (engine.state.iteration - 1) % engine.state.epoch_length == 0


class ImageReconstructionPreview:
    """Handler of an evaluator: images (B, 1, H, W) of the first validation batch above their reconstructions.

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
        rows = [[self.picture(image[0]) for image in part[: self.count].float().cpu().numpy()] for part in parts]
        title = f"epoch {engine.state.epoch}: input above, reconstruction below"
        path = make_output_dir(self.folder) / f"epoch_{engine.state.epoch:04d}.png"
        save_png(path, mosaic(rows, [""] * self.count, title), title)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W) in [-1, 1] as grey values (H, W)."""
        return gray_picture(image)


class SamplePreview:
    """Handler of a trainer: samples for fixed validation masks by the current weights, `previews/epoch_NNN.png`.

    Args:
        output_dir: folder of the training.
        network: composite network (its denoiser may be an EMA copy).
        inferer: sampler, `inferer(inputs=condition, network=network, seeds=...)`.
        conditions: mask channels (B, k, X, Y, Z) of the cases to draw.
        interval: epochs between pictures.
        contrasts: captions.
        rank: only rank 0 draws.
    """

    shows = "mask and sample, axial slice with most tumour"

    def __init__(
        self,
        output_dir: str,
        network: torch.nn.Module,
        inferer: Any,
        conditions: torch.Tensor,
        interval: int = 10,
        contrasts: tuple[str, ...] = ("T1", "T1C", "T2", "FLAIR"),
        rank: int = 0,
    ) -> None:
        self.folder, self.network, self.inferer = as_path(output_dir) / PREVIEWS, network, inferer
        self.conditions, self.interval, self.contrasts, self.rank = conditions, interval, contrasts, rank

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
        device = next(self.network.parameters()).device
        seeds = torch.arange(len(self.conditions))
        samples = (
            self.inferer(inputs=self.conditions.to(device), network=self.network, seeds=seeds).float().cpu().numpy()
        )
        title = f"SYNTHETIC, epoch {epoch}: {self.shows}"
        save_png(make_output_dir(self.folder) / f"epoch_{epoch:04d}.png", self.picture(samples, title), title)

    def picture(self, samples: np.ndarray, title: str) -> np.ndarray:
        """Masks and their samples (B, C, X, Y, Z) as one picture (H, W, 3)."""
        rows = []
        for condition, sample in zip(self.conditions.numpy(), samples, strict=True):
            position = int(np.argmax(condition[0].sum((0, 1))))
            mask = slice_through((condition[0] * 255).astype(np.uint8), 2, position, (1, 1, 1), HEIGHT)
            rows.append([mask, *_contrast_row(sample, position)])
        return mosaic(rows, ("mask", *self.contrasts), title)


class TranslationPreview:
    """Handler of an evaluator: slices with most tumour of the first batch, real phases above synthetic ones.

    Args:
        output_dir: folder of the training.
        channel_phases: number of the phase of each output channel, for captions.
        rows: how many slices.
    """

    def __init__(self, output_dir: str, channel_phases: Sequence[int], rows: int = 3) -> None:
        self.folder, self.channel_phases, self.rows = as_path(output_dir) / PREVIEWS, tuple(channel_phases), rows

    def attach(self, engine: Engine) -> None:
        """Draw after the first batch of each validation."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(event_filter=is_first), self)

    def __call__(self, engine: Engine) -> None:
        output: dict[str, Any] = engine.state.output
        image, pred = (output[key].float().cpu().numpy() for key in ("image", "pred"))
        phases, mask = (part.float().cpu().numpy() for part in output["label"])
        rows = []
        for index in np.argsort(-(mask > 0).sum((1, 2, 3)), kind="stable")[: self.rows]:
            for shown in (phases[index], pred[index]):
                subtraction = shown - image[index]
                top = max(float(np.percentile(phases[index], 99.8)), 1e-6)
                pictures = [*(np.clip(p / top, 0, 1) for p in (image[index][0], *shown)), np.clip(subtraction[0], 0, 1)]
                pictures.append(np.clip(mask[index][0], 0, 1))
                rows.append([(np.flipud(p.T) * 255).astype(np.uint8) for p in pictures])
        captions = ("pre", *(f"phase {p}" for p in self.channel_phases), "subtraction 1", "tumour")
        title = f"epoch {engine.state.epoch}: real above, SYNTHETIC below"
        picture = mosaic(rows, captions, title)
        save_png(make_output_dir(self.folder) / f"epoch_{engine.state.epoch:04d}.png", picture, title)
