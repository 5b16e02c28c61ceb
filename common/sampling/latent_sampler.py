"""Sampling a conditioned latent diffusion model: any diffusers scheduler, guidance, one seed a sample."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from tqdm import tqdm

from ..errors import InputError


class LatentDiffusionSampler(Inferer):
    """Callable inferer: condition in, decoded volume out.

    All noise of a sample (the start and, with DDPM or eta above 0, each step's) comes from a generator of its own on
    the CPU, so that a sample depends on its seed alone, not on its place in a batch or on the device's generator.

    Args:
        scheduler: diffusers scheduler; its prediction type has to be the one that the network was trained for.
        num_steps: network calls (twice as many evaluations with guidance); up to the schedule's timesteps.
        guidance_scale: 1 samples the conditional model; w above 1 moves each prediction to
            unconditional + w * (conditional - unconditional), see Ho and Salimans 2022.
        eta: share of DDPM's noise that DDIM adds, 0 to 1; ignored by schedulers without it.
        seed: of samples for which no seed is passed.
        precision: `bf16` runs the denoiser under autocast on CUDA; the scheduler always computes in fp32.
        progress: show a bar over the steps.

    Attributes:
        on_step: called with the number of steps done and of all, for example to show progress or, by raising, to stop.
    """

    def __init__(
        self,
        scheduler: Any,
        num_steps: int = 20,
        guidance_scale: float = 1.0,
        eta: float = 0.0,
        seed: int = 0,
        precision: str = "fp32",
        progress: bool = True,
    ) -> None:
        super().__init__()
        limit = scheduler.config.num_train_timesteps
        if not 1 <= int(num_steps) <= limit:
            raise InputError(f"num_steps={num_steps}: the schedule has {limit} timesteps, give 1 to {limit}")
        self.scheduler = scheduler
        self.num_steps, self.guidance_scale, self.eta = int(num_steps), float(guidance_scale), float(eta)
        self.seed, self.precision, self.progress = int(seed), precision, progress
        self.on_step: Callable[[int, int], None] | None = None

    @torch.no_grad()
    def __call__(
        self,
        inputs: torch.Tensor,
        network: Any,
        *args: Any,
        seeds: Sequence[int] | torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Sample one volume for each condition.

        Args:
            inputs: condition (B, k, X, Y, Z), on the network's device.
            network: composite network with `condition`, `denoise`, `decode` and measured latent statistics.
            seeds: one for each condition; by default `seed`, `seed + 1`, and so on.
            kwargs: what else `network.condition` takes, for example the ids of a prompt.

        Returns:
            Volumes (B, C, X, Y, Z), float32, in the units that the autoencoder was trained in.
        """
        if not torch.isfinite(network.latent_scale).all():
            raise InputError(
                "the weights hold no latent statistics; train the second stage, or use the bundle's model.pt"
            )
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        batch = inputs.shape[0]
        seeds = range(self.seed, self.seed + batch) if seeds is None else [int(seed) for seed in seeds]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        autocast = torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16")

        guided = self.guidance_scale != 1.0
        with autocast:
            features = network.condition(inputs, guided, **kwargs)
        shape = (network.autoencoder.latent_channels, *features[0].shape[2:])
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        latent = noise.to(inputs.device)

        scheduler = copy.deepcopy(self.scheduler)  # set_timesteps and step keep state in the object
        scheduler.set_timesteps(self.num_steps, device=inputs.device)
        latent = latent * scheduler.init_noise_sigma
        extra = _step_arguments(scheduler, self.eta, generators)
        bar = tqdm(scheduler.timesteps, desc="sampling", unit="step", disable=not self.progress, leave=False)
        for done, timestep in enumerate(bar, start=1):
            steps = timestep.expand(2 * batch if guided else batch).to(inputs.device)
            scaled = scheduler.scale_model_input(latent, timestep)
            with autocast:
                prediction = network.denoise(torch.cat([scaled, scaled]) if guided else scaled, steps, features)
            prediction = prediction.float()
            if guided:
                conditional, unconditional = prediction.chunk(2)
                prediction = unconditional + self.guidance_scale * (conditional - unconditional)
            latent = scheduler.step(prediction, timestep, latent, **extra).prev_sample
            if self.on_step is not None:
                self.on_step(done, len(scheduler.timesteps))
        with autocast:
            return torch.cat([network.decode(part) for part in latent.split(1)]).float()


def _step_arguments(scheduler: Any, eta: float, generators: list[torch.Generator]) -> dict[str, Any]:
    """The random and eta arguments that this scheduler's `step` takes."""
    names = inspect.signature(scheduler.step).parameters
    arguments: dict[str, Any] = {}
    if "eta" in names:
        arguments["eta"] = eta
    if "generator" in names and (eta > 0 or "eta" not in names):
        arguments["generator"] = generators
    return arguments
