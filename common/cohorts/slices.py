"""Slices drawn from cached volumes: no file per slice, nothing read that is not needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from torch.utils.data import Dataset

from ..engines.seeding import derive_seed, file_states
from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_atomically, write_json
from ..parallel import map_parallel


class SliceDataset(Dataset):
    """Axial slices of prepared volumes, each volume prepared once and then memory-mapped.

    A cached volume is one `.npy` file (Z, 1 + P + 1, X, Y) in half precision: pre-contrast, phases, tumour mask. Beside
    it stands which slices hold tumour.

    Args:
        data: datalist items.
        transform: from an item to `image` (Z, 1, X, Y), `phases` (Z, P, X, Y) and `label` (Z, 1, X, Y); no randomness.
        transform_facts: what the transform depends on, for the cache's key.
        cache_dir: folder of the cache.
        slice_transform: MONAI `Compose` of a slice's item (`image`, `phases`, `label`, each (C, X, Y)); its randomness
            derives from (seed, epoch, index).
        slices_per_volume: how many are drawn of each volume an epoch; None takes every eligible slice once.
        tumor_share: probability that a drawn slice is a tumour slice. With `slices_per_volume` None: 1 makes only
            tumour slices eligible, anything below makes all.
        margin: tumour slices reach this share of the volume's slices further on each side (the paper: 0.05).
        seed: of the whole training.
        workers: processes that prepare volumes.

    In a distributed run the first process prepares and the others wait for it.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable,
        transform_facts: Any,
        cache_dir: str,
        slice_transform: Callable | None = None,
        slices_per_volume: int | None = None,
        tumor_share: float = 0.0,
        margin: float = 0.05,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        self.slice_transform = slice_transform if slice_transform is not None else Compose([])
        self.slices_per_volume, self.tumor_share, self.seed, self.epoch = slices_per_volume, tumor_share, seed, 0
        folder = make_output_dir(cache_dir)
        jobs = [(dict(item), folder / _name(item, transform_facts)) for item in data]
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not together or torch.distributed.get_rank() == 0:
            waiting = [job for job in jobs if not job[1].with_suffix(".json").is_file()]
            map_parallel(partial(_prepare, transform=transform), waiting, workers, "preparing volumes")
        if together:
            torch.distributed.barrier()
        self.paths = [path.with_suffix(".npy") for _, path in jobs]
        self.num_slices, self.tumor = [], []
        for _, path in jobs:
            facts = json.loads(path.with_suffix(".json").read_text())
            self.num_slices.append(facts["slices"])
            self.tumor.append(_widened(facts["tumor_slices"], facts["slices"], margin))
        self.places = self._all_places() if slices_per_volume is None else None
        if self.places == []:
            raise InputError("input: no slice holds tumour (neither mask nor box); pass --tumor_share 0 to use all")

    def _all_places(self) -> list[tuple[int, int]]:
        eligible = self.tumor if self.tumor_share >= 1 else [range(count) for count in self.num_slices]
        return [(case, z) for case, slices in enumerate(eligible) for z in slices]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random draws the next items get."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.paths) * self.slices_per_volume if self.places is None else len(self.places)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        seed = derive_seed(self.seed, self.epoch, index) % 2**32
        case, z = self._draw(index, seed) if self.places is None else self.places[index]
        stack = torch.from_numpy(np.array(np.load(self.paths[case], mmap_mode="r")[z]))
        item = {"image": stack[:1], "phases": stack[1:-1], "label": stack[-1:]}
        if isinstance(self.slice_transform, Compose):
            self.slice_transform.set_random_state(seed=seed)
        return self.slice_transform(item)

    def _draw(self, index: int, seed: int) -> tuple[int, int]:
        case = index // self.slices_per_volume
        rng = np.random.default_rng([seed, 1])
        tumor = self.tumor[case]
        pool = tumor if len(tumor) and rng.random() < self.tumor_share else range(self.num_slices[case])
        return case, int(pool[rng.integers(len(pool))])


def _name(item: Mapping[str, Any], facts: Any) -> str:
    key = sha256_of_json([item, file_states(item), facts])
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _prepare(job: tuple[dict[str, Any], Path], transform: Callable) -> None:
    """Write a volume's stack, then the facts that mark it as complete."""
    item, path = job
    data = transform(item)
    parts = [torch.as_tensor(data[key]).float() for key in ("image", "phases", "label")]
    stack = torch.cat(parts, dim=1).half().numpy()
    # Lossless for masks of whole numbers; intensities around 1 keep three digits, finer than their noise.
    write_atomically(path.with_suffix(".npy"), lambda temporary: _save(temporary, stack))
    tumor = np.flatnonzero(parts[2].flatten(1).amax(1).numpy() > 0)
    bounds = [int(tumor[0]), int(tumor[-1]) + 1] if len(tumor) else None
    write_json(path.with_suffix(".json"), {"slices": len(stack), "tumor_slices": bounds})


def _save(path: str, stack: np.ndarray) -> None:
    with open(path, "wb") as stream:
        np.save(stream, stack)


def _widened(bounds: list[int] | None, count: int, margin: float) -> range:
    if bounds is None:
        return range(0)
    extra = round(count * margin)
    return range(max(0, bounds[0] - extra), min(count, bounds[1] + extra))
