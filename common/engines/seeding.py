"""Randomness that derives from (seed, epoch, item) alone, so that a resumed run repeats an uninterrupted one."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import PersistentDataset
from monai.data.utils import pickle_hashing
from monai.utils import convert_to_tensor
from torch.utils.data import Sampler

from ..io.files import write_atomically
from ..io.volumes import volume_suffix


def derive_seed(*parts: int) -> int:
    """A 63-bit seed that is well mixed from whole numbers of 0 or more."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


class SeededPersistentDataset(PersistentDataset):
    """MONAI's `PersistentDataset` whose random transforms are seeded by (seed, epoch, index).

    What comes before the first random transform is computed once and kept in `cache_dir`.

    Args:
        data: datalist items.
        transform: MONAI `Compose`.
        cache_dir: folder of the cache; None computes everything each time.
        seed: of the whole training.
    """

    def __init__(self, data: Sequence[Any], transform: Callable, cache_dir: str | None = None, seed: int = 0) -> None:
        super().__init__(data, transform, cache_dir, hash_transform=pickle_hashing)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random draws the next items get."""
        self.epoch = epoch

    def _cachecheck(self, item_transformed: Any) -> Any:
        """The item up to its first random transform, from the cache where it is there and whole.

        The key covers the files' size and time; the file appears whole, whatever kills the process.
        """
        if self.cache_dir is None:
            return self._pre_transform(copy.deepcopy(item_transformed))
        key = self.hash_func([item_transformed, file_states(item_transformed)]).decode() + self.transform_hash
        path = self.cache_dir / f"{hashlib.sha256(key.encode()).hexdigest()}.pt"
        if path.is_file():
            return torch.load(path, weights_only=True)
        item = self._pre_transform(copy.deepcopy(item_transformed))
        item = convert_to_tensor(item, convert_numeric=False, track_meta=False)
        write_atomically(path, lambda temporary: torch.save(item, temporary))
        return item

    def _transform(self, index: int) -> Any:
        item = self._cachecheck(self.data[index])
        self.transform.set_random_state(seed=derive_seed(self.seed, self.epoch, index) % 2**32)
        return self._post_transform(item)


def file_states(item: Any) -> list[tuple[int, int]]:
    """Size and modification time of every file that an item names, and of a JSON file of the same name beside it."""
    values = item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else [item]
    states = []
    for value in values:
        if isinstance(value, (dict, list, tuple)):
            states += file_states(value)
        elif isinstance(value, str) and os.path.isfile(value):
            beside = value.removesuffix(volume_suffix(value) or os.path.splitext(value)[1]) + ".json"
            found = [os.stat(path) for path in (value, beside) if os.path.isfile(path)]
            states += [(stat.st_size, stat.st_mtime_ns) for stat in found]
    return states


class SeededSampler(Sampler[int]):
    """Shuffled indices that depend on (seed, epoch); in a distributed run each process gets its share of them.

    Args:
        num_items: length of the data set.
        seed: of the whole training.
        rank, world_size: of this process; the order is filled up to a multiple of `world_size` by repeating its start.
        shuffle: False keeps the order.
    """

    def __init__(self, num_items: int, seed: int = 0, rank: int = 0, world_size: int = 1, shuffle: bool = True) -> None:
        self.num_items, self.seed, self.rank, self.world_size, self.shuffle = num_items, seed, rank, world_size, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_items // self.world_size)

    def __iter__(self):
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.num_items, generator=generator) if self.shuffle else torch.arange(self.num_items)
        order = order.tolist()
        order += order[: len(self) * self.world_size - self.num_items]
        return iter(order[self.rank :: self.world_size])


class SeedEpochs:
    """Handler: at each epoch's start, seed torch and tell data set and sampler the epoch.

    Args:
        seed: of the whole training.
        data_loader: its data set and sampler have `set_epoch`.
        rank: of this process, so that processes draw different noise.
    """

    def __init__(self, seed: int, data_loader: Any, rank: int = 0) -> None:
        self.seed, self.data_loader, self.rank = seed, data_loader, rank

    def attach(self, engine: Engine) -> None:
        """Run at `EPOCH_STARTED`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        torch.manual_seed(derive_seed(self.seed, epoch, self.rank))
        for part in (self.data_loader.dataset, self.data_loader.sampler):
            part.set_epoch(epoch)
