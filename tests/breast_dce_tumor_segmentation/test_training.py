"""Training at a tiny size: it learns, fits inference, resumes to the same result, starts from the shipped weights."""

import json

import pytest
import torch
from monai.bundle import ConfigParser

from common.losses.segmentation import DeepSupervisedDiceCE
from common.networks.nnunet import NnunetEnsemble
from tests.conftest import SEGMENTATION, error_line, run_bundle
from tests.trainings import check_continuing, check_two_processes, curve, same_weights

PLANS, WEIGHTS = SEGMENTATION / "models" / "nnunet.json", SEGMENTATION / "models" / "model.pt"
PATCH = [8, 24, 24]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Plans of a network of 4 to 16 channels at the phantoms' spacing, without N4, and few steps."""
    content = json.loads(PLANS.read_text())
    configuration = content["plans"]["configurations"][content["configuration"]]
    configuration |= {"patch_size": PATCH, "spacing": [9.0, 5.3, 5.3]}
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": 3,
        "features_per_stage": [4, 8, 16],
        "kernel_sizes": [[3, 3, 3]] * 3,
        "strides": [[1, 1, 1], [2, 2, 2], [1, 2, 2]],
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
    }
    path = tmp_path_factory.mktemp("plans") / "nnunet.json"
    path.write_text(json.dumps({**content, "bias_correction": False}))
    return {"plans": path, "max_epochs": 3, "val_interval": 2, "precision": "fp32", "device": "cpu"}


def train(folder, datalist, check=True, **knobs):
    return run_bundle("train.json", bundle=SEGMENTATION, input=datalist, output_dir=folder, check=check, **knobs)


@pytest.fixture(scope="module")
def trained(dce_datalist, short, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(folder, dce_datalist, **short)
    return folder


def test_training_learns_and_leaves_files_that_inference_takes(trained, dce_datalist, tmp_path):
    rows = curve(trained)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert [bool(row["validation_dice"]) for row in rows] == [False, True, False]
    assert 0 <= float(rows[1]["validation_dice"]) <= 1
    assert any(b"train_loss" in path.read_bytes() for path in (trained / "tensorboard").iterdir())
    assert all(value.dtype == torch.float16 for value in torch.load(trained / "model.pt", weights_only=True).values())
    content = json.loads((trained / "nnunet.json").read_text())
    assert content["num_folds"] == 1
    assert "source_sha256" not in content
    assert content["plans"]["configurations"][content["configuration"]]["patch_size"] == PATCH
    knobs = {
        "weights": trained / "model.pt",
        "plans": trained / "nnunet.json",
        "mirroring": False,
        "device": "cpu",
        "precision": "bf16",
    }
    run_bundle(
        "inference.json", bundle=SEGMENTATION, input=dce_datalist, sections="['test']", output_dir=tmp_path, **knobs
    )
    (case,) = tmp_path.iterdir()
    record = json.loads((case / "provenance.json").read_text())
    assert (case / f"{case.name}_mask.nii.gz").is_file()
    assert record["bias_correction"] is False  # what the training's plans say


def test_killed_training_continues_to_the_result_of_an_uninterrupted_one(trained, dce_datalist, short, tmp_path):
    options = {"input": dce_datalist, "output_dir": tmp_path, **short}
    check_continuing(SEGMENTATION, "train.json", "model.pt", trained, **options)


def test_training_with_other_settings_is_refused_in_the_same_folder(trained, dce_datalist, short):
    line = error_line(train(trained, dce_datalist, check=False, **{**short, "learning_rate": 0.5}))
    assert "other settings" in line


def test_fine_tuning_starts_from_a_fold_of_the_shipped_weights(dce_datalist, tmp_path):
    """With a learning rate of 0 the fold comes out as it went in."""
    shipped = torch.load(WEIGHTS, weights_only=True)
    fold = json.loads(PLANS.read_text())["num_folds"] - 1
    content = json.loads(PLANS.read_text())
    (tmp_path / "nnunet.json").write_text(json.dumps({**content, "bias_correction": False}))
    knobs = {"plans": tmp_path / "nnunet.json", "init_from": WEIGHTS, "fold": fold, "learning_rate": 0}
    knobs |= {"patch_size": "[8,24,24]", "max_epochs": 1, "val_interval": 9, "precision": "fp32", "device": "cpu"}
    train(tmp_path / "out", dce_datalist, **knobs)
    tuned = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    prefix = f"folds.{fold}."
    chosen = {f"folds.0.{key[len(prefix) :]}": value for key, value in shipped.items() if key.startswith(prefix)}
    assert tuned.keys() == chosen.keys()
    assert all(torch.equal(tuned[key].half(), value.half()) for key, value in chosen.items())


def dice_ce(logits, target):
    """Soft Dice of the foreground over the batch, and cross-entropy, of one resolution."""
    probability = logits.softmax(1)[:, 1]
    truth = target[:, 0]
    soft = (2 * (probability * truth).sum() + 1e-5) / (probability.sum() + truth.sum() + 1e-5)
    likelihood = torch.where(truth > 0, probability, 1 - probability)
    return 1 - soft - likelihood.log().mean()


def test_loss_weights_resolutions_as_nnunet():
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(2, 1, 8, 8, 8, generator=generator) > 0.7).float()
    outputs = [torch.randn(2, 2, side, side, side, generator=generator) for side in (8, 4, 2)]
    loss = DeepSupervisedDiceCE()
    expected = (dice_ce(outputs[0], target) + 0.5 * dice_ce(outputs[1], target[..., ::2, ::2, ::2])) / 1.5
    assert float(loss(outputs, target)) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss(outputs[0], target)) == pytest.approx(float(dice_ce(outputs[0], target)), rel=1e-5)
    assert loss([output.bfloat16() for output in outputs], target).dtype == torch.float32


def test_learning_rate_falls_by_nnunets_polynomial():
    parser = ConfigParser()
    parser.read_config(SEGMENTATION / "configs" / "train.json")
    parser["max_epochs"] = 10
    parser["optimizer#params"] = [torch.nn.Parameter(torch.zeros(1))]
    optimizer, scheduler = (parser.get_parsed_content(name) for name in ("optimizer", "lr_scheduler"))
    assert optimizer.defaults["nesterov"] is True
    for epoch in range(10):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * (1 - epoch / 10) ** 0.9)
        optimizer.step()
        scheduler.step()


def test_ensemble_averages_the_logits_of_its_folds():
    torch.manual_seed(0)
    content = {**json.loads(PLANS.read_text()), "num_folds": 3}
    network = NnunetEnsemble(content).eval()
    image = torch.randn(1, 1, 8, 24, 24)
    with torch.no_grad():
        single = [fold(image) for fold in network.folds]
        assert torch.allclose(network(image), torch.stack(single).mean(0), atol=1e-5)
    assert (single[0] - single[1]).abs().max() > 1e-3


@pytest.mark.slow
def test_two_processes_train_together(dce_datalist, short, tmp_path):
    options = {"input": dce_datalist, "output_dir": tmp_path, **short}
    check_two_processes(SEGMENTATION, "train.json", "model.pt", **options)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert not same_weights(tmp_path / "model.pt", WEIGHTS)
    assert all(key.startswith("folds.0.") for key in content)
