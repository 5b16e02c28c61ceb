import torch
from monai.transforms import Compose, RandGaussianNoised

from common.engines.seeding import SeededPersistentDataset, SeededSampler, derive_seed


def test_order_depends_on_seed_and_epoch_and_is_shared_out_whole():
    sampler = SeededSampler(10, seed=1)
    sampler.set_epoch(3)
    order = list(sampler)
    assert sorted(order) == list(range(10))
    assert order == list(sampler)
    sampler.set_epoch(4)
    assert order != list(sampler)
    shares = []
    for rank in range(3):
        part = SeededSampler(10, seed=1, rank=rank, world_size=3)
        part.set_epoch(3)
        shares.append(list(part))
    assert [len(share) for share in shares] == [4, 4, 4]
    assert {index for share in shares for index in share} == set(range(10))


def test_random_transforms_depend_on_seed_epoch_and_index_alone(tmp_path):
    data = [{"image": torch.zeros(1, 2, 2)} for _ in range(2)]
    data[1]["name"] = "another"
    draws = {}
    for run, folder in (("a", None), ("b", str(tmp_path))):
        dataset = SeededPersistentDataset(data, Compose([RandGaussianNoised("image", prob=1.0)]), folder, seed=5)
        for epoch in (2, 1):
            dataset.set_epoch(epoch)
            draws[run] = draws.get(run, {}) | {(epoch, i): torch.as_tensor(dataset[i]["image"]) for i in (1, 0)}
    assert all(torch.equal(draws["a"][key], draws["b"][key]) for key in draws["a"])
    assert len({tuple(value.flatten().tolist()) for value in draws["a"].values()}) == 4


def test_seeds_are_mixed():
    seeds = {derive_seed(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
