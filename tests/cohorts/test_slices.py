"""Slices drawn from cached volumes: what is eligible, what is random, what is done once."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd

from common.cohorts.slices import SliceDataset
from common.errors import InputError

CALLS = []


def prepare(item):
    CALLS.append(item["case"])
    z = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 4, 4)
    label = torch.zeros(20, 1, 4, 4)
    if item["tumor"]:
        label[8:10, :, 1, 1] = 2
    return {"image": z + 100 * item["case"], "phases": torch.cat([z, z + 0.5], 1), "label": label}


ITEMS = [{"case": 0, "tumor": True}, {"case": 1, "tumor": False}]


def dataset(folder, items=ITEMS, **knobs):
    return SliceDataset(items, prepare, "facts", str(folder), **knobs)


def positions(found):
    return [int(item["phases"][0, 0, 0]) for item in found]


def test_all_slices_once(tmp_path):
    found = dataset(tmp_path)
    assert len(found) == 40
    assert positions(found[i] for i in range(20)) == list(range(20))
    assert found[25]["image"].shape == (1, 4, 4)
    assert found[25]["phases"].shape == (2, 4, 4)
    assert float(found[25]["image"][0, 0, 0]) == 105


def test_tumour_slices_with_the_papers_margin(tmp_path):
    found = dataset(tmp_path, tumor_share=1.0, margin=0.05)
    assert positions(found[i] for i in range(len(found))) == [7, 8, 9, 10]  # 5 % of 20 slices is one


def test_no_tumour_anywhere_is_refused(tmp_path):
    with pytest.raises(InputError, match="no slice holds tumour"):
        dataset(tmp_path, items=[ITEMS[1]], tumor_share=1.0)


def test_drawn_slices_depend_on_seed_epoch_and_index_alone(tmp_path):
    first, second = (dataset(tmp_path, slices_per_volume=50, tumor_share=0.8, margin=0.0) for _ in range(2))
    drawn = positions(first[i] for i in range(50))
    assert drawn == positions(second[i] for i in reversed(range(50)))[::-1]
    assert np.mean([p in (8, 9) for p in drawn]) == pytest.approx(0.82, abs=0.15)
    first.set_epoch(1)
    assert drawn != positions(first[i] for i in range(50))


def test_random_transforms_are_seeded(tmp_path):
    flip = Compose([RandFlipd("label", spatial_axis=0, prob=0.5)])
    found = dataset(tmp_path, slice_transform=flip)
    sums = [found[i % 20]["label"][0, 1, 1].item() for i in (8, 9) for _ in range(5)]
    assert sums[:5] == [sums[0]] * 5


def test_volumes_are_prepared_once(tmp_path):
    CALLS.clear()
    dataset(tmp_path)
    dataset(tmp_path)
    assert sorted(CALLS) == [0, 1]
    next(tmp_path.glob("*.json")).unlink()  # killed before the facts were written
    dataset(tmp_path)
    assert len(CALLS) == 3
    assert len(list(tmp_path.glob("*.npy"))) == 2
