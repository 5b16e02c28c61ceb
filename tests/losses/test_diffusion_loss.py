import pytest
import torch

from common.engines.prepare import DiffusionPrepareBatch
from common.errors import InputError
from common.losses.diffusion import WeightedLoss


class Scheduler:
    class config:
        prediction_type = "epsilon"

    @staticmethod
    def add_noise(latent, noise, timesteps):
        return latent + noise


def test_weighted_error_by_hand():
    prediction, wanted = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    weight = torch.tensor([[[[1.0, 4.0]]]])
    assert WeightedLoss("l2")(prediction, (wanted, weight)) == (1 * 1 + 4 * 4) / 2
    assert WeightedLoss("l1")(prediction, (wanted, weight)) == (1 * 1 + 4 * 2) / 2
    with pytest.raises(InputError, match="loss_kind=l3"):
        WeightedLoss("l3")


def test_weight_follows_the_lesions_of_the_condition():
    condition = torch.zeros(2, 6, 16, 16)
    condition[0, 3, 4:8, 4:8] = 1  # one latent pixel whole
    condition[0, 4, 8:12, 4:6] = 1  # half of the next
    condition[1] = -1  # dropped
    batch = {"latent": torch.zeros(2, 3, 4, 4), "noise": torch.ones(2, 3, 4, 4), "timestep": torch.tensor([1, 2])}
    _, (target, weight), _, _ = DiffusionPrepareBatch(Scheduler(), region_weight=5.0)(batch | {"condition": condition})
    assert torch.equal(target, batch["noise"])
    expected = torch.ones(2, 1, 4, 4)
    expected[0, 0, 1, 1], expected[0, 0, 2, 1] = 5, 3
    assert torch.equal(weight, expected)
    _, target, _, _ = DiffusionPrepareBatch(Scheduler())(batch | {"condition": condition})
    assert isinstance(target, torch.Tensor)
