import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandScaleIntensityd

from common.engines.seeding import SeededPersistentDataset
from common.latents.cache import LatentCache, LatentDataset, cached_conditions, measure_latents
from common.transforms.lesions import lesion_channels


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
    assert cache.mask.shape == (5, 3, 1, 8, 8, 4)
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


class Network2d(torch.nn.Module):
    null_condition = -1.0

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        for name in ("latent_shift", "latent_scale"):
            self.register_buffer(name, torch.full((1, 1, 1, 1), float("nan")))

    def encode(self, image):
        latent = torch.nn.functional.avg_pool2d(image, 4)
        return latent, torch.zeros_like(latent)


def cache_of_planes(folder, labels):
    """A cache of 2D images, 16 x 16, with the labels given."""
    generator = torch.Generator().manual_seed(0)
    data = [{"image": torch.randn(1, 16, 16, generator=generator) + 3, "label": label} for label in labels]
    dataset = SeededPersistentDataset(data, Compose([RandScaleIntensityd("image", prob=1.0, factors=0.2)]), seed=1)
    network = Network2d()
    return LatentCache(str(folder / "latents"), dataset, network, 2, "a"), network


def test_lesion_masks_become_the_condition_that_channels_makes_of_them(tmp_path):
    labels = torch.zeros(3, 1, 16, 16, dtype=torch.uint8)
    labels[0, :, 4:8, 4:8], labels[1, :, 2, 2] = 6, 2  # the third has no lesion
    cache, network = cache_of_planes(tmp_path, labels)
    assert cache.mask.dtype == np.uint8
    assert cache.mask.shape == (3, 2, 1, 16, 16)
    measure_latents(network, cache)
    options = {"region_dropout": 0, "condition_dropout": 0, "channels": lesion_channels}
    latents = LatentDataset(cache, network, **options)
    for case in range(3):
        assert torch.equal(latents[case]["condition"], lesion_channels(labels[case]))
    assert torch.equal(cached_conditions(cache, 3, lesion_channels), lesion_channels(labels))
    assert cached_conditions(cache, 3, lesion_channels)[:, 0].amax((1, 2)).tolist() == [0, 0, 1]
    dropped = LatentDataset(cache, network, **options | {"condition_dropout": 1})
    assert dropped[2]["condition"].shape == (6, 16, 16)
    assert dropped[2]["condition"].unique().tolist() == [-1]
    rates = [LatentDataset(cache, network, repeats=100, **options | {"condition_dropout": 0.3})[i] for i in range(300)]
    assert np.mean([float(item["condition"].min()) == -1 for item in rates]) == pytest.approx(0.3, abs=0.08)


def test_soft_masks_survive_the_cache_as_fractions(tmp_path):
    generator = torch.Generator().manual_seed(1)
    shares = torch.rand(3, 5, 16, 16, generator=generator) / 5
    shares[0, :, 0, 0] = torch.tensor([1 / 3, 2 / 3, 0, 0, 0])
    cache, network = cache_of_planes(tmp_path, shares)
    assert cache.mask.dtype == np.float16
    measure_latents(network, cache)
    latents = LatentDataset(cache, network, region_dropout=0, condition_dropout=0, channels=lesion_channels)
    for case in range(3):
        condition = latents[case]["condition"]
        assert condition.dtype == torch.float32
        assert torch.allclose(condition[1:], shares[case], atol=1e-3)
        assert not condition[0].any()
    assert torch.allclose(cached_conditions(cache, 3, lesion_channels)[:, 1:], shares, atol=1e-3)


def test_latents_can_be_diffused_as_they_are(tmp_path):
    cache, network = cache_of_planes(tmp_path, torch.zeros(3, 1, 16, 16, dtype=torch.uint8))
    measured = measure_latents(network, cache, normalize=False)
    assert measured.latent_shift.flatten().tolist() == [0]
    assert measured.latent_scale.flatten().tolist() == [1]
    item = LatentDataset(cache, network, region_dropout=0, channels=lesion_channels)[1]
    encodings = torch.from_numpy(cache.mean[1].astype(np.float32))
    assert any(torch.equal(item["latent"], encoding) for encoding in encodings)
    # Weights that are fine-tuned keep theirs here, too.
    network.latent_scale.fill_(2.0)
    assert measure_latents(network, cache, normalize=False).latent_scale.flatten().tolist() == [2]
