import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandScaleIntensityd

from common.engines.seeding import SeededPersistentDataset
from common.latents.cache import LatentCache, LatentDataset, cached_conditions, measure_latents


class Network(torch.nn.Module):
    null_condition = -1.0

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("latent_shift", torch.full((1, 2, 1, 1, 1), float("nan")))
        self.register_buffer("latent_scale", torch.full((1, 2, 1, 1, 1), float("nan")))
        self.calls = 0

    def encode(self, image):
        self.calls += 1
        latent = torch.nn.functional.avg_pool3d(image, 2)
        return latent, 0.5 * torch.ones_like(latent)


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    data = []
    for _ in range(5):
        image = torch.randn(2, 8, 8, 4, generator=generator) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) + 1
        label = torch.zeros(1, 8, 8, 4)
        label[:, 2:4, 2:4, 1:3] = 3
        data.append({"image": image, "label": label})
    return SeededPersistentDataset(data, Compose([RandScaleIntensityd("image", prob=1.0, factors=0.2)]), seed=1)


def test_cache_is_made_once_and_again_only_for_other_content(dataset, tmp_path):
    network = Network()
    cache = LatentCache(str(tmp_path / "latents"), dataset, network, num_encodings=3, fingerprint="a", batch_size=2)
    assert cache.mean.shape == (5, 3, 2, 4, 4, 2)
    assert cache.mask.shape == (5, 3, 8, 8, 4)
    assert not np.array_equal(cache.mean[0, 0], cache.mean[0, 1])
    calls = network.calls
    LatentCache(str(tmp_path / "latents"), dataset, network, 3, "a", 2)
    assert network.calls == calls
    LatentCache(str(tmp_path / "latents"), dataset, network, 3, "b", 2)
    assert network.calls == 2 * calls
    assert [p.name for p in tmp_path.iterdir()] == ["latents"]


def test_statistics_are_those_of_sampled_latents(dataset, tmp_path):
    network = Network()
    cache = LatentCache(str(tmp_path / "latents"), dataset, network, 2, "a")
    measure_latents(network, cache)
    mean, std = (np.asarray(a, np.float64) for a in (cache.mean, cache.std))
    shift = mean.mean((0, 1, 3, 4, 5))
    scale = np.sqrt((mean**2 + std**2).mean((0, 1, 3, 4, 5)) - shift**2)
    assert network.latent_shift.flatten().tolist() == pytest.approx(shift.tolist(), rel=1e-4)
    assert network.latent_scale.flatten().tolist() == pytest.approx(scale.tolist(), rel=1e-4)
    network.latent_scale.fill_(7.0)  # weights that are fine-tuned keep theirs
    assert measure_latents(network, cache).latent_scale.unique().tolist() == [7.0]


def test_items_are_normalised_seeded_and_drop_conditions_at_the_rates_asked_for(dataset, tmp_path):
    network = Network()
    cache = LatentCache(str(tmp_path / "latents"), dataset, network, 2, "a")
    measure_latents(network, cache)
    latents = LatentDataset(cache, network, seed=3, region_dropout=0.5, condition_dropout=0.25, repeats=80)
    assert len(latents) == 400
    items = [latents[i] for i in range(400)]
    stacked = torch.stack([item["latent"] for item in items])
    assert torch.allclose(stacked.mean((0, 2, 3, 4)), torch.zeros(2), atol=0.1)
    assert torch.allclose(stacked.std((0, 2, 3, 4)), torch.ones(2), atol=0.1)
    dropped = np.mean([float(item["condition"].min()) == -1 for item in items])
    whole_only = np.mean([float(item["condition"][1:].max()) == 0 for item in items])
    assert dropped == pytest.approx(0.25, abs=0.07)
    assert whole_only == pytest.approx(0.5 * 0.75, abs=0.08)
    assert all(0 <= int(item["timestep"]) < 1000 for item in items)
    assert all(torch.equal(latents[7][key], items[7][key]) for key in items[7])
    latents.set_epoch(1)
    assert not torch.equal(latents[7]["noise"], items[7]["noise"])


def test_conditions_of_the_first_cases(dataset, tmp_path):
    cache = LatentCache(str(tmp_path / "latents"), dataset, Network(), 1, "a")
    conditions = cached_conditions(cache, 2)
    assert conditions.shape == (2, 4, 8, 8, 4)
    assert torch.equal(conditions[:, 0], conditions[:, 3])
