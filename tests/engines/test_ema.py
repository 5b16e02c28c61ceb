"""Averaged weights: the original's growing decay on one part, ignite's constant one, and a training that was killed."""

import copy

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from common.engines.checkpointing import ResumableCheckpoint
from common.engines.ema import CurrentWeights, UpdateEma, make_ema
from common.errors import InputError


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.unet, self.conditioner = nn.Linear(2, 2), nn.Linear(2, 2)
        self.unet.register_buffer("steps", torch.zeros(1))


def training(model, ema, handlers=()):
    """An engine that moves all weights by amounts that depend on the iteration."""

    def step(engine, batch):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(engine.state.iteration**0.5)
            model.unet.steps += 1

    engine = Engine(step)
    UpdateEma(ema).attach(engine)
    for handler in handlers:
        handler.attach(engine)
    return engine


def equal(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_decay_grows_as_in_the_original_and_only_the_named_part_is_averaged():
    torch.manual_seed(0)
    model = Model()
    expected = model.unet.weight.detach().double()
    current = expected.clone()
    ema = make_ema(model, 0.3, warmup=True, only="unet")
    training(model, ema).run(range(12), max_epochs=1)
    decays = []
    for n in range(1, 13):
        current = current + n**0.5
        decays.append(min(0.3, (1 + n) / (10 + n)))
        expected = decays[-1] * expected + (1 - decays[-1]) * current
    assert decays[0] == 2 / 11
    assert decays[-1] == 0.3
    assert torch.allclose(ema.ema_model.unet.weight.double(), expected, atol=1e-5)
    assert not torch.allclose(ema.ema_model.unet.weight, model.unet.weight, atol=0.1)
    assert torch.equal(ema.ema_model.conditioner.weight, model.conditioner.weight)
    assert ema.ema_model.conditioner.weight is not model.conditioner.weight
    assert float(ema.ema_model.unet.steps) == 12
    assert not any(parameter.requires_grad for parameter in ema.ema_model.parameters())


def test_decay_after_the_papers_best_epoch():
    ema = make_ema(Model(), 0.9999, warmup=True)
    engine = training(ema.model, ema)
    engine.state.iteration = 6400
    engine.fire_event(Events.ITERATION_COMPLETED)
    assert 1 - engine.state.ema_momentum == pytest.approx(0.9986, abs=5e-5)


def test_defaults_are_ignites_handler():
    torch.manual_seed(0)
    first = Model()
    second = copy.deepcopy(first)
    ours, theirs = make_ema(first, 0.9), EMAHandler(second, momentum=1 - 0.9)
    training(first, ours).run(range(5), max_epochs=2)
    training(second, theirs).run(range(5), max_epochs=2)
    assert type(ours) is EMAHandler
    assert equal(ours.ema_model, theirs.ema_model)
    none = make_ema(first, 0.0, warmup=True, only="unet")
    assert isinstance(none, CurrentWeights)
    assert none.ema_model is first


def test_part_can_be_averaged_with_a_constant_decay():
    model = Model()
    ema = make_ema(model, 0.5, only="conditioner")
    before = model.conditioner.bias.detach().clone()
    training(model, ema).run(range(1), max_epochs=1)
    assert torch.allclose(ema.ema_model.conditioner.bias, before + 0.5)
    assert torch.equal(ema.ema_model.unet.bias, model.unet.bias)


def test_killed_training_continues_to_the_same_average(tmp_path):
    def run(folder, epochs):
        torch.manual_seed(0)
        model = Model()
        ema = make_ema(model, 0.9, warmup=True, only="unet")
        objects = {"network": model, "ema": ema.ema_model}
        training(model, ema, [ResumableCheckpoint(str(folder), objects, {})]).run(range(4), max_epochs=epochs)
        return ema.ema_model

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "killed", 1)
    assert equal(run(tmp_path / "killed", 3), whole)


def test_wrong_knobs_are_named():
    with pytest.raises(InputError, match="ema_decay=1.0"):
        make_ema(Model(), 1.0)
    with pytest.raises(InputError, match="ema_only=denoiser.*unet, conditioner"):
        make_ema(Model(), 0.9, only="denoiser")


def test_accumulated_gradients_are_averaged_once_a_step():
    """Batches 1 to 5 in steps of 2: the weights after 2, 4 and, as an epoch's rest, 5 are averaged."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = make_ema(model, decay=0.5)

    def step(engine, batch):
        with torch.no_grad():
            model.weight.fill_(float(engine.state.iteration))

    engine = Engine(step)
    UpdateEma(ema, every=2).attach(engine)
    engine.run(range(5))
    assert ema.ema_model.weight.item() == ((0 + 2) / 2 / 2 + 4 / 2) / 2 + 5 / 2
