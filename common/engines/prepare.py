"""From a collated batch to what an engine's network and loss take."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatch
from monai.utils import CommonKeys as Keys
from torch.nn import functional


def plain(value: torch.Tensor, device: Any, non_blocking: bool) -> torch.Tensor:
    """A tensor without metadata, on a device."""
    value = value.as_tensor() if isinstance(value, MetaTensor) else value
    return value.to(device, non_blocking=non_blocking)


def noisy_and_target(
    scheduler: Any, latent: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent with noise at each timestep, and what a network of the scheduler's `prediction_type` is to make of it."""
    noisy = scheduler.add_noise(latent, noise, timesteps)
    if scheduler.config.prediction_type == "v_prediction":
        return noisy, scheduler.get_velocity(latent, noise, timesteps)
    return noisy, noise


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
        region_weight: makes the target a pair, for `WeightedLoss`: the second part, (B, 1, *latent grid), is this where
            the condition's channels after the first mark something, 1 elsewhere, and between them at rims.
    """

    def __init__(self, scheduler: Any, region_weight: float | None = None) -> None:
        self.scheduler, self.region_weight = scheduler, region_weight

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns noisy latent, target or (target, weight), (timesteps, condition), {}."""
        latent, noise, timesteps, condition = (
            plain(batchdata[key], device, non_blocking) for key in ("latent", "noise", "timestep", "condition")
        )
        noisy, target = noisy_and_target(self.scheduler, latent, noise, timesteps)
        if self.region_weight is not None:
            target = (target, self._weight(condition, target.shape[2:]))
        return noisy, target, (timesteps, condition), {}

    def _weight(self, condition: torch.Tensor, grid: torch.Size) -> torch.Tensor:
        pool = functional.adaptive_avg_pool2d if len(grid) == 2 else functional.adaptive_avg_pool3d
        marked = condition[:, 1:].clamp(min=0).sum(1, keepdim=True).clamp(max=1)  # a dropped condition marks nothing
        return 1 + (self.region_weight - 1) * pool(marked, grid)


class TextDiffusionPrepareBatch(PrepareBatch):
    """Noisy latent in, what the denoiser is to predict out; items are those of `InpaintingLatents`.

    Args:
        scheduler: as of `DiffusionPrepareBatch`.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns noisy latent, (target, weight), (timesteps, plane, token ids), {}."""
        latent, noise, timesteps, plane, weight, token_ids = (
            plain(batchdata[key], device, non_blocking)
            for key in ("latent", "noise", "timestep", "plane", "weight", "token_ids")
        )
        noisy, target = noisy_and_target(self.scheduler, latent, noise, timesteps)
        return noisy, (target, weight), (timesteps, plane, token_ids), {}
