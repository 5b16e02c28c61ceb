"""Codebook of a VQ-GAN: nearest entry, straight-through gradients, a codebook trained by its loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..errors import InputError

DISTANCES_AT_ONCE = 2**22  # 16 MB in fp32; the whole table of a batch of 16 at the paper's size would take 2 GB


class VectorQuantizer(nn.Module):
    """Latent vectors to the nearest entries of a learned codebook (van den Oord et al. 2017; Esser et al. 2021).

    The codebook learns by gradient, without a moving average. As in the original, nothing revives entries that no
    latent is nearest to: from the initial range of 1 / `num_embeddings` many are never used. `initialize_codebook`
    starts among the latents instead.

    Args:
        num_embeddings: entries.
        channels: of an entry.
        commitment: beta, the smaller weight of the two parts of the loss.
        legacy: beta on the codebook's part, as the authors' code has it; otherwise on the latents', as published.
    """

    def __init__(self, num_embeddings: int, channels: int, commitment: float = 0.25, legacy: bool = True) -> None:
        super().__init__()
        self.commitment, self.legacy = commitment, legacy
        self.embedding = nn.Embedding(num_embeddings, channels)
        nn.init.uniform_(self.embedding.weight, -1 / num_embeddings, 1 / num_embeddings)

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latent (B, L, *grid) to its quantised form, same shape, the codebook loss and the indices (B, *grid).

        Always in fp32: distances between entries vanish in half precision.
        """
        with torch.autocast(latent.device.type, enabled=False):
            latent = latent.float()
            indices = self.nearest(latent)
            quantized = self.embedding(indices).movedim(-1, 1)
            to_latent = functional.mse_loss(quantized, latent.detach())
            to_codebook = functional.mse_loss(latent, quantized.detach())
            if self.legacy:
                loss = to_codebook + self.commitment * to_latent
            else:
                loss = self.commitment * to_codebook + to_latent
            return latent + (quantized - latent).detach(), loss, indices

    @torch.no_grad()
    def nearest(self, latent: torch.Tensor) -> torch.Tensor:
        """Indices (B, *grid) of the entries nearest to a float32 latent (B, L, *grid) in Euclidean distance."""
        center = self.embedding.weight.mean(0)  # a common offset would cost digits in the products below
        vectors = latent.movedim(1, -1).flatten(0, -2) - center
        codebook = self.embedding.weight - center
        lengths = codebook.square().sum(1)  # a vector's own length changes nothing in its order of entries
        rows = min(len(vectors), max(1, DISTANCES_AT_ONCE // len(codebook)))
        # One table for all chunks: new ones between lasting indices would fragment the heap to the size of them all.
        table = vectors.new_empty((rows, len(codebook)))
        indices = torch.empty(len(vectors), dtype=torch.long, device=vectors.device)
        for chunk, found in zip(vectors.split(rows), indices.split(rows), strict=True):
            distances = table[: len(chunk)]
            torch.addmm(lengths, chunk, codebook.T, alpha=-2, out=distances)
            torch.argmin(distances, 1, out=found)
        return indices.view(latent.shape[0], *latent.shape[2:])

    @torch.no_grad()
    def initialize_codebook(self, latents: torch.Tensor) -> None:
        """Make the entries copies of different, randomly drawn vectors of latents (B, L, *grid); not in the original.

        Raises:
            InputError: fewer vectors than entries.
        """
        vectors = latents.movedim(1, -1).flatten(0, -2)
        needed = self.embedding.num_embeddings
        if len(vectors) < needed:
            raise InputError(f"the codebook has {needed} entries, the latents only {len(vectors)} vectors; give more")
        drawn = torch.randperm(len(vectors))[:needed].to(vectors.device)
        self.embedding.weight.copy_(vectors[drawn])
