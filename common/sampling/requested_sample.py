"""Sampling for callers that pass an image and nothing else, such as MONAI Label: which seed a sample gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..io.volumes import case_name
from ..knobs import check_knob
from .latent_sampler import LatentDiffusionSampler
from .plan import sample_seed


class RequestedSampler(LatentDiffusionSampler):
    """`LatentDiffusionSampler` that takes the seeds which `SamplePlan` gives, where the caller passes none.

    A request for an image and the same image as `--input` of `monai.bundle run` then give the same sample.

    Args:
        seed: of the run.
        sample: number of the sample.
        options: as `LatentDiffusionSampler`.

    Raises:
        InputError: a value that a request set is not such a number.
    """

    def __init__(self, *args: Any, seed: int = 0, sample: int = 0, **options: Any) -> None:
        numbers = {name: options[name] for name in ("num_steps", "guidance_scale") if name in options}
        for name, value in {"seed": seed, "first_sample": sample, **numbers}.items():
            check_knob(name, value)
        super().__init__(*args, seed=seed, **options)
        self.sample = sample

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Any,
        *args: Any,
        seeds: Sequence[int] | torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """As `LatentDiffusionSampler`; without `seeds`, the file that the condition came from names the case."""
        name = getattr(inputs, "meta", {}).get("filename_or_obj")
        if seeds is None and isinstance(name, str) and len(inputs) == 1:
            seeds = [sample_seed(self.seed, case_name(name), self.sample)]
        return super().__call__(inputs, network, *args, seeds=seeds, **kwargs)
