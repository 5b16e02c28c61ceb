"""What a training of text-conditioned diffusion leaves: one file of ours, or a diffusers pipeline."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Engine, Events

from ..knobs import as_path
from ..networks.diffusers_folder import save_pipeline
from ..networks.text_diffusion import TextConditionedLatentDiffusion
from ..networks.training_start import merge_adapters
from ..weights import save_weights
from .best_weights import BestWeights

logger = logging.getLogger(__name__)
WEIGHTS, PIPELINE = "model.pt", "pipeline"


class ExportTextDiffusion:
    """Handler: when training is complete, write the composite network with the best denoiser.

    Args:
        network: the composite network.
        best: weights of its denoiser.
        tokenizer: goes into the pipeline.
        output_dir: gets `model.pt`, or a folder `pipeline`.
        pipeline: write it in diffusers layout, see `save_pipeline`.
        rank: only rank 0 writes.
    """

    def __init__(
        self,
        network: TextConditionedLatentDiffusion,
        best: BestWeights,
        tokenizer: Any,
        output_dir: str,
        pipeline: bool = False,
        rank: int = 0,
    ) -> None:
        self.network, self.best, self.tokenizer = network, best, tokenizer
        self.folder, self.pipeline, self.rank = as_path(output_dir), pipeline, rank

    def attach(self, engine: Engine) -> None:
        """Run at `COMPLETED`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.rank != 0:
            return
        logger.info(self.best.describe())
        self.network.denoiser.load_state_dict(self.best.weights())
        merge_adapters(self.network.denoiser.unet)
        path = self.folder / (PIPELINE if self.pipeline else WEIGHTS)
        if self.pipeline:
            save_pipeline(self.network, self.tokenizer, path)
        else:
            save_weights(self.network, path)
        logger.info(f"weights: {path}")
