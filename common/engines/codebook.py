"""Codebook entries that no latent chooses are drawn anew from latents while training is young."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from .prepare import plain
from .seeding import derive_seed


class ReviveCodes:
    """Handler of a trainer: before each of the first epochs, unused codebook entries move to where latents are.

    A codebook that is trained by gradients alone moves only the entries that are chosen; the others stay where they
    were drawn and are never chosen. The original leaves it at that; the default recipe does not.

    Args:
        network: with `encode` and `quantizer`, on its device.
        data_loader: of the training; its first batches are encoded.
        epochs: before how many epochs; 0 never.
        batches: how many are encoded.
        seed: of the draw.
    """

    def __init__(self, network: nn.Module, data_loader: Any, epochs: int = 5, batches: int = 4, seed: int = 0) -> None:
        self.network, self.data_loader = network, data_loader
        self.epochs, self.batches, self.seed = int(epochs), int(batches), int(seed)

    def attach(self, engine: Engine) -> None:
        """Run at `EPOCH_STARTED`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch > self.epochs:
            return
        codes = self.network.quantizer.embedding.weight
        latents = []
        for number, batch in enumerate(self.data_loader):
            if number == self.batches:
                break
            latent, _ = self.network.encode(plain(batch["image"], codes.device, False).float())
            latents.append(latent)
        latents = torch.cat(latents)
        used = torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
        used[self.network.quantizer.nearest(latents).flatten()] = True
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if distributed:  # an entry is in use where any process uses it
            counts = used.int()
            torch.distributed.all_reduce(counts)
            used = counts > 0
        vectors = latents.movedim(1, -1).flatten(0, -2)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, engine.state.epoch))
        chosen = torch.randint(len(vectors), (int((~used).sum()),), generator=generator).to(codes.device)
        codes[~used] = vectors[chosen]
        if distributed:  # each process saw other images; all of them keep the first one's choice
            torch.distributed.broadcast(codes.data, 0)
