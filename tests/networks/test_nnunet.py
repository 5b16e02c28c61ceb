"""nnU-Net's network from its plans: ensembles, leniency, one copy of shared parts, exports that are refused."""

import json

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.networks.nnunet import NnunetEnsemble, build_fold
from common.segmentation.export import export_model
from common.segmentation.plans_file import read_plans
from common.segmentation.training_items import initialize_fold, single_fold
from common.weights import load_weights, save_weights
from tests.conftest import ROOT

PLANS = ROOT / "bundles" / "breast_dce_tumor_segmentation" / "models" / "nnunet.json"


@pytest.fixture
def content():
    """The shipped plans for two folds of a narrow network."""
    found = read_plans(PLANS)
    found["num_folds"] = 2
    network = found["plans"]["configurations"][found["configuration"]]["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [4] * network["n_stages"]
    return found


def test_ensemble_is_the_mean_of_its_folds(content):
    torch.manual_seed(0)
    network = NnunetEnsemble(content).eval()
    image = torch.randn(1, 1, 16, 32, 32)
    with torch.no_grad():
        expected = (network.folds[0](image) + network.folds[1](image)) / 2
        assert torch.allclose(network(image), expected, atol=1e-6)
    assert not torch.allclose(network.folds[0](image), network.folds[1](image))


def test_deep_supervision_in_training_alone(content):
    network = NnunetEnsemble({**content, "num_folds": 1}, deep_supervision=True)
    image = torch.randn(2, 1, 16, 32, 32)
    outputs = network.train()(image)
    assert [tuple(o.shape[2:]) for o in outputs][:2] == [(16, 32, 32), (8, 16, 16)]
    assert torch.equal(network.eval()(image), network.folds[0](image)[0])


def test_missing_folds_are_refused_even_leniently(content):
    single = NnunetEnsemble({**content, "num_folds": 1})
    both = NnunetEnsemble(content)
    with pytest.raises(InputError, match="lack"):
        both.load_state_dict(single.state_dict(), strict=False)
    single.load_state_dict(both.state_dict(), strict=False)
    assert torch.equal(
        single.folds[0].encoder.stages[0][0].convs[0].conv.weight,
        both.folds[0].encoder.stages[0][0].convs[0].conv.weight,
    )


def test_shared_parts_are_stored_once(content, tmp_path):
    network = NnunetEnsemble(content)
    save_weights(network, tmp_path / "model.pt")
    values = sum(parameter.numel() for parameter in network.parameters())
    assert (tmp_path / "model.pt").stat().st_size < 2 * values + 200_000
    loaded = load_weights(NnunetEnsemble(content), tmp_path / "model.pt")
    for old, new in zip(network.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(old.half().float(), new)


def test_a_fold_starts_a_training(content, tmp_path):
    network = NnunetEnsemble(content)
    save_weights(network, tmp_path / "model.pt", half=False)
    started = initialize_fold(NnunetEnsemble(single_fold(content)), str(tmp_path / "model.pt"), 1)
    for old, new in zip(network.folds[1].parameters(), started.folds[0].parameters(), strict=True):
        assert torch.equal(old, new)
    with pytest.raises(InputError, match="has no fold 2"):
        initialize_fold(NnunetEnsemble(single_fold(content)), str(tmp_path / "model.pt"), 2)


def test_plans_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_plans(tmp_path / "nnunet.json")
    (tmp_path / "nnunet.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_plans(tmp_path / "nnunet.json")
    with pytest.raises(InputError, match="has no bias_correction"):
        read_plans({"plans": {}})
    with pytest.raises(InputError, match="no configuration 2d"):
        read_plans({**read_plans(PLANS), "configuration": "2d"})


def _model_folder(folder, content, weights):
    """A folder as nnU-Net leaves it."""
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(content["plans"]))
    (folder / "dataset.json").write_text(json.dumps({**content["dataset_json"], "numTraining": 1}))
    state = {
        "network_weights": weights,
        "init_args": {"configuration": content["configuration"]},
        "trainer_name": "nnUNetTrainer",
        "_best_ema": np.float64(0.5),
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(state, folder / "fold_0" / "checkpoint_final.pth")


def test_export(content, tmp_path):
    fold = build_fold(content)
    _model_folder(tmp_path / "trained", content, fold.state_dict())
    weights, plans = export_model(tmp_path / "trained", tmp_path / "out", crop="none", half=False)
    found = read_plans(plans)
    assert found["num_folds"] == 1 and found["mirror_axes"] == [0, 1, 2] and found["crop"] == "none"
    network = load_weights(NnunetEnsemble(plans), weights)
    for old, new in zip(fold.parameters(), network.parameters(), strict=True):
        assert torch.equal(old, new)
    with pytest.raises(InputError, match="holds a model already"):
        export_model(tmp_path / "trained", tmp_path / "out")


class _Code:
    def __reduce__(self):
        return print, ("code in a checkpoint has run",)


def test_code_in_a_checkpoint_does_not_run(content, tmp_path, capsys):
    _model_folder(tmp_path / "trained", content, {"layer": _Code()})
    with pytest.raises(InputError, match="no checkpoint of nnU-Net"):
        export_model(tmp_path / "trained", tmp_path / "out")
    assert "has run" not in capsys.readouterr().out


def test_exports_that_are_refused(content, tmp_path):
    with pytest.raises(InputError, match="plans.json: no such file"):
        export_model(tmp_path, tmp_path / "out")
    _model_folder(tmp_path / "trained", content, {"foreign": torch.zeros(1)})
    with pytest.raises(InputError, match="does not fit the network"):
        export_model(tmp_path / "trained", tmp_path / "out")
    with pytest.raises(InputError, match="fold_3"):
        export_model(tmp_path / "trained", tmp_path / "out", folds=[3])
    with pytest.raises(InputError, match="crop=half"):
        export_model(tmp_path / "trained", tmp_path / "out", crop="half")
    (tmp_path / "trained" / "fold_0" / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="truncated or no checkpoint"):
        export_model(tmp_path / "trained", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
