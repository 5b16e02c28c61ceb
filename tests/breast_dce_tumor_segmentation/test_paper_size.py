"""`paper.json` over `train.json` is the network, patch and optimisation that nnU-Net planned for Osuala et al. 2024."""

import pytest
import torch
from monai.bundle import ConfigParser

from common.networks.nnunet import NnunetEnsemble
from common.segmentation.plans_file import read_plans
from common.segmentation.training_items import patch_of, single_fold
from tests.conftest import SEGMENTATION


@pytest.fixture(scope="module")
def config():
    parser = ConfigParser()
    parser.read_config([str(SEGMENTATION / "configs" / name) for name in ("train.json", "paper.json")])
    return parser


@pytest.fixture(scope="module")
def network(config):
    return NnunetEnsemble(single_fold(config["plans"]), deep_supervision=True)


def test_recipe_is_the_published_one(config):
    content = read_plans(config["plans"])
    architecture = content["plans"]["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert architecture["features_per_stage"] == [32, 64, 128, 256, 320, 320]
    assert architecture["strides"] == [[1, 1, 1], *([[2, 2, 2]] * 4), [1, 2, 2]]
    assert patch_of(single_fold(content)) == [80, 224, 128]
    expected = {"learning_rate": 0.01, "momentum": 0.99, "weight_decay": 3e-5, "phase": 1}
    assert {key: config[key] for key in expected} == expected
    config["optimizer#params"] = [torch.nn.Parameter(torch.zeros(1))]
    group = config.get_parsed_content("optimizer").param_groups[0]
    assert {key: group[key] for key in ("lr", "momentum", "weight_decay", "nesterov")} == {
        "lr": 0.01,
        "momentum": 0.99,
        "weight_decay": 3e-5,
        "nesterov": True,
    }
    # A case gives as many patches in a step as nnU-Net's batch holds.
    assert config["batch_size"] * config["patches_per_case"] == 2


def test_network_has_its_parameters_and_resolutions(network):
    assert 30.7e6 < sum(parameter.numel() for parameter in network.parameters()) < 30.9e6
    with torch.no_grad():
        outputs = network.train()(torch.randn(1, 1, 16, 64, 32))
    assert [tuple(output.shape[2:]) for output in outputs] == [
        (16, 64, 32),
        (8, 32, 16),
        (4, 16, 8),
        (2, 8, 4),
        (1, 4, 2),
    ]
    assert all(output.shape[:2] == (1, 2) for output in outputs)


@pytest.mark.paper
def test_one_step_at_full_size(network, config):
    from common.losses.segmentation import DeepSupervisedDiceCE

    image = torch.randn(1, 1, *patch_of(single_fold(config["plans"])))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99, nesterov=True)
    before = network.folds[0].decoder.seg_layers[-1].weight.detach().clone()
    loss = DeepSupervisedDiceCE()(network.train()(image), (image > 1).float())
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert not torch.equal(before, network.folds[0].decoder.seg_layers[-1].weight)
