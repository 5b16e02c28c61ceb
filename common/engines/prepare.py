"""From a collated batch to what an engine's network and loss take."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatch
from monai.utils import CommonKeys as Keys


def plain(value: torch.Tensor, device: Any, non_blocking: bool) -> torch.Tensor:
    """A tensor without metadata, on a device."""
    value = value.as_tensor() if isinstance(value, MetaTensor) else value
    return value.to(device, non_blocking=non_blocking)


class AutoencoderPrepareBatch(PrepareBatch):
    """The image is input and target; its mask goes to the loss."""

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns image, (image, mask), no further arguments."""
        image = plain(batchdata[Keys.IMAGE], device, non_blocking).float()
        mask = plain(batchdata[Keys.LABEL], device, non_blocking) if Keys.LABEL in batchdata else None
        return image, (image, mask), (), {}


class DiffusionPrepareBatch(PrepareBatch):
    """Noisy latent in, what the denoiser is to predict out.

    Items hold `latent` (normalised), `noise`, `timestep` and `condition`; see `LatentDataset`, which draws
    them, so that nothing here is random.

    Args:
        scheduler: diffusers scheduler; its `prediction_type` (epsilon or v_prediction) decides the target.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns noisy latent, target, (timesteps, condition), {}."""
        latent, noise, timesteps, condition = (
            plain(batchdata[key], device, non_blocking) for key in ("latent", "noise", "timestep", "condition")
        )
        noisy = self.scheduler.add_noise(latent, noise, timesteps)
        if self.scheduler.config.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latent, noise, timesteps)
        else:
            target = noise
        return noisy, target, (timesteps, condition), {}
