"""The best validation's weights: kept, saved with a checkpoint, exported in the end."""

import copy

import pytest
import torch
from ignite.engine import Engine
from monai.engines import Evaluator
from torch import nn

from common.engines.best_weights import BestWeights, KeepBest
from common.engines.checkpointing import ExportWeights, ResumableCheckpoint


class Whole(nn.Module):
    """A composite network with one trained part and one that is not."""

    def __init__(self):
        super().__init__()
        self.autoencoder, self.denoiser = nn.Linear(2, 2), nn.Linear(2, 1)


def fill(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def training(model, losses, handlers=()):
    """An engine whose epoch k sets all weights to k and then validates with the k-th loss."""

    def validate(engine, batch):
        engine.state.metrics["loss"] = torch.tensor(losses[engine.state.epoch - 1])

    validator = Evaluator(torch.device("cpu"), [0], iteration_update=validate)
    best = BestWeights(model, "loss")
    KeepBest(best).attach(validator)

    def step(engine, batch):
        fill(model, engine.state.epoch)
        validator.run(engine.state.epoch)

    engine = Engine(step)
    for handler in handlers:
        handler(best).attach(engine)
    return engine, best


def values(state):
    return {float(value) for tensor in state.values() for value in tensor.unique()}


def test_the_lowest_metric_wins_and_the_copy_does_not_move():
    model = nn.Linear(2, 2)
    engine, best = training(model, [0.5, 0.2, 0.4, 0.2])
    engine.run([0], max_epochs=4)
    assert (best.epoch, best.value) == (2, pytest.approx(0.2))  # among equals the first
    assert values(best.weights()) == {2.0}
    assert values(model.state_dict()) == {4.0}
    assert not any(tensor.requires_grad for tensor in best.weights().values())


def test_without_a_validation_the_current_weights_stand_in():
    model = nn.Linear(2, 2)
    best = BestWeights(model, "loss")
    fill(model, 7)
    assert values(best.weights()) == {7.0}
    best.offer(float("nan"), 1)  # a validation that failed is never the best
    fill(model, 8)
    assert values(best.weights()) == {8.0}
    best.offer(3.0, 2)
    best.offer(float("nan"), 3)
    assert (best.epoch, best.value) == (2, 3.0)


def test_what_is_kept_survives_a_killed_run(tmp_path):
    losses = [0.5, 0.2, 0.4, 0.3]

    def run(folder, epochs):
        model = nn.Linear(2, 2)
        checkpoint = lambda best: ResumableCheckpoint(str(folder), {"network": model, "best": best}, {})  # noqa: E731
        engine, best = training(model, losses, [checkpoint])
        engine.run([0], max_epochs=epochs)
        return best

    run(tmp_path / "killed", 3)
    whole, resumed = run(tmp_path / "whole", 4), run(tmp_path / "killed", 4)
    assert (resumed.epoch, resumed.value) == (whole.epoch, whole.value) == (2, pytest.approx(0.2))
    assert values(resumed.weights()) == {2.0}
    # And a run that was killed before any validation.
    empty = BestWeights(nn.Linear(2, 2), "loss")
    empty.load_state_dict(copy.deepcopy(empty.state_dict()))
    assert empty.kept is None
    empty.offer(1e9, 1)
    assert empty.epoch == 1


def test_exports_take_the_best_of_a_part_and_leave_the_rest(tmp_path, caplog):
    network = Whole()
    fill(network.autoencoder, 9)
    ema = copy.deepcopy(network.denoiser)  # what is validated is an averaged copy
    path = tmp_path / "model.pt"
    engine, best = training(
        ema, [0.5, 0.25, 0.75], [lambda best: ExportWeights(network, str(path), {"denoiser": best})]
    )
    with caplog.at_level("INFO"):
        engine.run([0], max_epochs=3)
    state = torch.load(path, weights_only=True)
    assert {key: values({key: tensor}) for key, tensor in state.items()} == {
        "autoencoder.weight": {9.0}, "autoencoder.bias": {9.0}, "denoiser.weight": {2.0}, "denoiser.bias": {2.0},
    }  # fmt: skip
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert "chosen: epoch 2, loss 0.25" in caplog.text
    assert values(ema.state_dict()) == {3.0}


def test_exports_take_plain_modules_and_other_ranks_write_nothing(tmp_path):
    network, part = Whole(), nn.Linear(2, 1)
    fill(part, 5)
    for rank in (1, 0):
        path = tmp_path / f"{rank}.pt"
        ExportWeights(network, str(path), {"denoiser": part}, prefix="first.", rank=rank)(Engine(lambda e, b: None))
        assert path.exists() == (rank == 0)
    state = torch.load(path, weights_only=True)
    assert set(state) == {f"first.{name}" for name in network.state_dict()}
    assert values({"w": state["first.denoiser.weight"]}) == {5.0}
