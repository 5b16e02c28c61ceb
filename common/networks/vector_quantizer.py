"""Codebook of a VQ-GAN: nearest entry, straight-through gradients, a codebook trained by its loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

COMMITMENT = 0.25  # beta, the smaller weight of the two parts of the loss
DISTANCES_AT_ONCE = 2**22  # 16 MB in fp32; the whole table of a batch of 16 at the paper's size would take 2 GB


class VectorQuantizer(nn.Module):
    """Latent vectors to the nearest entries of a learned codebook (van den Oord et al. 2017; Esser et al. 2021).

    The codebook learns by gradient, without a moving average. As in the original, nothing here revives entries that no
    latent is nearest to: from the initial range of 1 / `num_embeddings` many are never used. In training,
    `engines.codebook.ReviveCodes` may draw them anew.

    The loss is that of the authors' code: `COMMITMENT` weighs the codebook's part, where the publication has it on the
    latents' part.

    Args:
        num_embeddings: entries.
        channels: of an entry.
    """

    def __init__(self, num_embeddings: int, channels: int) -> None:
        super().__init__()
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
            return latent + (quantized - latent).detach(), to_codebook + COMMITMENT * to_latent, indices

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
