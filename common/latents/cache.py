"""Latents are encoded once: mean and standard deviation of K augmented encodings a case, on disk, memory-mapped.

Augmentations act in image space, so each case is encoded K times under different random draws. The latent itself is
sampled anew from mean and deviation at each training step, as are noise and timestep.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..engines.seeding import SeededPersistentDataset, derive_seed
from ..io.files import make_output_dir, sha256_of_json, write_json
from ..transforms.tumor_regions import region_channels

logger = logging.getLogger(__name__)


class LatentCache:
    """Encoded cases in a folder: `mean.npy`, `std.npy` (N, K, L, *latent grid) float16, `mask.npy` (N, K, c, *grid).

    Masks of one channel are labels and kept as uint8, several channels are fractions and kept as float16; what the
    network sees of them is worked out on reading.

    Args:
        folder: where the cache lies or is to be made; a cache of other data or another autoencoder is replaced.
        dataset: gives `image` and `label` (c, *grid); epoch k of it is augmentation k.
        network: with `encode`; in evaluation mode, on its device.
        num_encodings: K.
        fingerprint: what the cache depends on (weights' hash, datalist, transforms' knobs).
        batch_size, num_workers: of the encoding pass.

    In a distributed run the first process encodes and the others wait for it.
    """

    def __init__(
        self,
        folder: str,
        dataset: SeededPersistentDataset,
        network: nn.Module,
        num_encodings: int,
        fingerprint: Any,
        batch_size: int = 4,
        num_workers: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.fingerprint = sha256_of_json([fingerprint, num_encodings, len(dataset)])
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not self._is_current() and not (distributed and torch.distributed.get_rank() > 0):
            self._make(dataset, network, num_encodings, batch_size, num_workers)
        if distributed:
            torch.distributed.barrier()
        self.mean, self.std, self.mask = (
            np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ("mean", "std", "mask")
        )

    def __len__(self) -> int:
        return len(self.mean)

    def _is_current(self) -> bool:
        facts = self.folder / "cache.json"
        return facts.is_file() and json.loads(facts.read_text())["fingerprint"] == self.fingerprint

    @torch.no_grad()
    def _make(
        self,
        dataset: SeededPersistentDataset,
        network: nn.Module,
        num_encodings: int,
        batch_size: int,
        num_workers: int,
    ) -> None:
        network.eval()
        device = next(network.parameters()).device
        partial = self.folder.with_name(self.folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        make_output_dir(partial)
        arrays: dict[str, np.memmap] = {}
        with tqdm(total=num_encodings * len(dataset), desc="encoding latents", unit="case") as progress:
            for k in range(num_encodings):
                dataset.set_epoch(k)
                position = 0
                for batch in DataLoader(dataset, batch_size, num_workers=num_workers):
                    mean, std = network.encode(batch["image"].to(device).float())
                    label = batch["label"]
                    label = label.to(torch.uint8 if label.shape[1] == 1 else torch.float16)
                    values = {"mean": mean.half(), "std": std.half(), "mask": label}
                    for name, value in values.items():
                        value = torch.as_tensor(value).cpu().numpy()
                        if name not in arrays:
                            shape = (len(dataset), num_encodings, *value.shape[1:])
                            arrays[name] = np.lib.format.open_memmap(partial / f"{name}.npy", "w+", value.dtype, shape)
                        arrays[name][position : position + len(value), k] = value
                    position += len(value)
                    progress.update(len(value))
        for array in arrays.values():
            array.flush()
        write_json(
            partial / "cache.json", {"fingerprint": self.fingerprint, "cases": len(dataset), "encodings": num_encodings}
        )
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.rename(self.folder)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation per latent channel over all cached encodings, sampling included, each (L,)."""
        channels = self.mean.shape[2]
        count, total, squares = 0, np.zeros(channels), np.zeros(channels)
        for mean, std in zip(self.mean, self.std, strict=True):
            mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
            axes = (0, *range(2, mean.ndim))
            total += mean.sum(axes)
            squares += (mean**2 + std**2).sum(axes)
            count += mean[:, 0].size
        shift = total / count
        return torch.from_numpy(shift).float(), torch.from_numpy(np.sqrt(squares / count - shift**2)).float()


def measure_latents(network: nn.Module, cache: LatentCache, normalize: bool = True) -> nn.Module:
    """Store shift and scale of the training set's latents in the composite network's buffers; returns the network.

    Statistics that the network already has, from weights that are fine-tuned, are kept. With `normalize` False, shift
    is 0 and scale 1: latents are diffused as they are.
    """
    if torch.isfinite(network.latent_scale).all():
        return network
    # What is cached behind the latent's own channels is a condition.
    shift, scale = (value[: network.latent_scale.numel()] for value in cache.statistics())
    if not normalize:
        shift, scale = torch.zeros_like(shift), torch.ones_like(scale)
    network.latent_shift.copy_(shift.view_as(network.latent_shift))
    network.latent_scale.copy_(scale.view_as(network.latent_scale))
    return network


def cached_conditions(cache: LatentCache, count: int, channels: Callable = region_channels) -> torch.Tensor:
    """Condition channels (count, k, *grid) of a cache's first cases; `channels` as in `LatentDataset`."""
    return torch.stack([channels(torch.from_numpy(np.array(m, dtype=np.float32))) for m in cache.mask[:count, 0]])


class LatentDataset(Dataset):
    """Cached latents as training items: all draws derive from (seed, epoch, index).

    Args:
        cache: see `LatentCache`.
        network: measured composite network, for the normalisation and its null condition.
        num_timesteps: of the noise schedule.
        seed: of the whole training.
        region_dropout: probability that only the whole-tumour channel is given.
        condition_dropout: probability that no condition is given, for guidance.
        repeats: how often an epoch passes over the cases.
        channels: from a cached mask (c, *grid), float32, to the condition's channels (k, *grid).
    """

    def __init__(
        self,
        cache: LatentCache,
        network: nn.Module,
        num_timesteps: int = 1000,
        seed: int = 0,
        region_dropout: float = 0.2,
        condition_dropout: float = 0.1,
        repeats: int = 1,
        channels: Callable = region_channels,
    ) -> None:
        self.cache, self.channels = cache, channels
        self.shift, self.scale = network.latent_shift[0].cpu(), network.latent_scale[0].cpu()
        self.null_condition = network.null_condition
        self.num_timesteps, self.seed, self.repeats = num_timesteps, seed, repeats
        self.region_dropout, self.condition_dropout = region_dropout, condition_dropout
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random draws the next items get."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cache) * self.repeats

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, index))
        case = index % len(self.cache)
        k = int(torch.randint(self.cache.mean.shape[1], (), generator=generator))
        mean, std = (torch.from_numpy(array[case, k].astype(np.float32)) for array in (self.cache.mean, self.cache.std))
        draws = torch.rand(3, generator=generator)
        noise = torch.randn(2, *mean.shape, generator=generator)
        condition = self.channels(torch.from_numpy(self.cache.mask[case, k].astype(np.float32)))
        if draws[0] < self.region_dropout:
            condition[1:] = 0
        if draws[1] < self.condition_dropout:
            condition[:] = self.null_condition
        return {
            "latent": (mean + std * noise[0] - self.shift) / self.scale,
            "noise": noise[1],
            "timestep": (draws[2] * self.num_timesteps).long(),
            "condition": condition,
        }
