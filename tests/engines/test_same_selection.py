import csv
import json
import logging

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from common.engines.same_selection import SameSelection
from common.errors import InputError
from common.weights import load_weights, read_state

METRICS = {"ssim": "higher", "mae": "lower"}
# SAMe of epochs 2, 4, 6: (0.5, 1), (0, 0.25), (1, 0) -> 0.75, 0.125, 0.5
VALUES = {2: (0.7, 8.0), 4: (0.8, 5.0), 6: (0.6, 4.0)}


def training(folder, values=VALUES, validate_every=2, start=0, epochs=6, **options):
    """A trainer whose network's weight is the epoch's number, as far as validator and selection can see."""
    network = nn.Linear(1, 1, bias=False)
    validator = Engine(lambda engine, batch: None)

    @validator.on(Events.COMPLETED)
    def measure(engine):
        engine.state.metrics.update(zip(METRICS, values[engine.state.epoch], strict=True))

    trainer = Engine(lambda engine, batch: network.weight.data.fill_(engine.state.epoch))

    @trainer.on(Events.EPOCH_COMPLETED(every=validate_every))
    def validate(engine):
        validator.state.max_epochs = None
        validator.state.epoch = engine.state.epoch - 1
        validator.run([0], max_epochs=engine.state.epoch)

    options = {"metrics": METRICS, "interval": 2, "prefix": "generator."} | options
    SameSelection(str(folder), network, validator, path=str(folder / "model.pt"), **options).attach(trainer)

    @trainer.on(Events.STARTED)
    def restore(engine):  # attached last, as a checkpoint handler may be
        engine.state.epoch = start

    trainer.run([0], max_epochs=epochs)
    return network


def rows(folder):
    with (folder / "candidates" / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def chosen(folder):
    return float(read_state(folder / "model.pt")["generator.weight"])


def test_best_candidate_becomes_the_weights(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        training(tmp_path)
    assert [row["candidate"] for row in rows(tmp_path)] == ["epoch_0002", "epoch_0004", "epoch_0006"]
    report = json.loads((tmp_path / "same.json").read_text())
    assert report["best"] == "epoch_0004"
    assert report["scores"] == pytest.approx({"epoch_0002": 0.75, "epoch_0004": 0.125, "epoch_0006": 0.5})
    assert report["ranges"]["mae"] == {"min": 4.0, "max": 8.0}
    assert chosen(tmp_path) == 4
    assert read_state(tmp_path / "model.pt")["generator.weight"].dtype == torch.float16
    assert "SAMe chooses epoch 4 of 3 candidates (0.125" in caplog.text
    network = load_weights(nn.Linear(1, 1, bias=False), tmp_path / "candidates" / "epoch_0006.pt", "generator.")
    assert network.weight.item() == 6


def test_a_continued_run_rewrites_what_came_after_its_checkpoint(tmp_path):
    training(tmp_path, {**VALUES, 6: (0.9, 1.0)})
    assert chosen(tmp_path) == 6
    training(tmp_path, start=4)
    assert [row["mae"] for row in rows(tmp_path)] == ["8.0", "5.0", "4.0"]
    assert chosen(tmp_path) == 4
    training(tmp_path, start=6)  # nothing left to train
    assert len(rows(tmp_path)) == 3
    assert chosen(tmp_path) == 4
    training(tmp_path, start=3, epochs=5, values={4: (0.1, 9.0)})
    assert [row["candidate"] for row in rows(tmp_path)] == ["epoch_0002", "epoch_0004"]
    assert not (tmp_path / "candidates" / "epoch_0006.pt").exists()
    assert chosen(tmp_path) == 2


def test_candidates_of_another_training_are_not_mixed_in(tmp_path):
    training(tmp_path)
    with pytest.raises(InputError, match="candidates of another training.*--overwrite True"):
        training(tmp_path, fingerprint={"learning_rate": 2})
    training(tmp_path)  # the same one, killed before its first checkpoint
    assert len(rows(tmp_path)) == 3
    training(tmp_path, {2: (1, 1), 4: (2, 0)}, epochs=4, overwrite=True)
    assert [row["candidate"] for row in rows(tmp_path)] == ["epoch_0002", "epoch_0004"]


def test_fewer_than_two_candidates_give_the_last_epoch(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        training(tmp_path, epochs=3)
    assert "1 candidates (one every 2 epochs)" in caplog.text
    assert chosen(tmp_path) == 3
    assert not (tmp_path / "same.json").exists()


def test_candidates_that_are_not_finite_or_deleted_are_left_out(tmp_path, caplog):
    training(tmp_path, {**VALUES, 4: (float("nan"), 5.0)})
    assert json.loads((tmp_path / "same.json").read_text())["scaling_set"] == ["epoch_0002", "epoch_0006"]
    assert "epoch_0004 is left out" in caplog.text
    (tmp_path / "candidates" / "epoch_0002.pt").unlink()
    training(tmp_path, start=6)
    assert not (tmp_path / "same.json").exists()


def test_other_ranks_write_nothing(tmp_path):
    training(tmp_path, rank=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validate_every": 4}, "epoch 2 is a candidate but was not validated: validate every 2"),
        ({"metrics": {"lpips": "lower"}}, "no metric lpips; it has ssim, mae"),
        ({"metrics": {"ssim": "up"}}, "metrics ssim=up: use lower or higher"),
        ({"metrics": {}}, "at least one"),
        ({"interval": 0}, "interval=0"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        training(tmp_path, **options)
