"""Seeds of samples that are asked for without a plan."""

import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.sampling.latent_sampler import LatentDiffusionSampler
from common.sampling.plan import sample_seed
from common.sampling.requested_sample import RequestedSampler


class Schedule:
    """As much of a scheduler as a sampler's constructor reads."""

    class config:
        num_train_timesteps = 10


@pytest.fixture
def seeds_of(monkeypatch):
    """The seeds that reach the sampler proper."""

    def call(inputs, seeds=None, **options):
        passed = {}
        monkeypatch.setattr(LatentDiffusionSampler, "__call__", lambda self, *a, seeds=None: passed.update(seeds=seeds))
        RequestedSampler(Schedule, num_steps=2, **options)(inputs, None, seeds=seeds)
        return passed["seeds"]

    return call


def test_the_file_s_name_gives_the_seed_that_a_plan_gives(seeds_of):
    image = MetaTensor(torch.zeros(1, 4, 2, 2, 2), meta={"filename_or_obj": "/studies/BraTS_7_seg.nii.gz"})
    assert seeds_of(image, seed=5) == [sample_seed(5, "BraTS_7", 0)]
    assert seeds_of(image, seed=5, sample=3) == [sample_seed(5, "BraTS_7", 3)]
    assert seeds_of(image, seeds=[11], seed=5) == [11]


def test_without_a_name_the_sampler_chooses(seeds_of):
    assert seeds_of(torch.zeros(1, 4, 2, 2, 2)) is None
    assert seeds_of(MetaTensor(torch.zeros(2, 4, 2, 2, 2))) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [({"seed": "x"}, "seed=x"), ({"sample": -1}, "first_sample=-1"), ({"guidance_scale": "high"}, "guidance_scale")],
)
def test_values_of_requests_are_checked(options, told):
    with pytest.raises(InputError, match=told):
        RequestedSampler(Schedule, **options)
    with pytest.raises(InputError, match="num_steps=0"):
        RequestedSampler(Schedule, num_steps=0)
