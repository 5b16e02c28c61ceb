"""Codebook entries that nothing chooses move to latents; those in use, and later epochs, are left alone."""

import os
import subprocess
import sys

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from common.engines.codebook import ReviveCodes
from common.networks.vector_quantizer import VectorQuantizer
from tests.conftest import ROOT


class Network(nn.Module):
    """The latent is the image itself."""

    def __init__(self, entries=16):
        super().__init__()
        self.quantizer = VectorQuantizer(entries, 2)

    def encode(self, image):
        return image, torch.zeros_like(image)


def loader(batches=6):
    """Latents around (10, 0) and (0, 10), four images of 4 x 4 a batch."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for number in range(batches):
        image = torch.randn(4, 2, 4, 4, generator=generator) * 0.1
        image[:, number % 2] += 10
        images.append({"image": image})
    return images


def start():
    """A network with two entries in use, at the latents' centres, and the others far away."""
    network = Network()
    with torch.no_grad():
        network.quantizer.embedding.weight[:] = -100 - torch.arange(16)[:, None]
        network.quantizer.embedding.weight[3] = torch.tensor([10.0, 0])
        network.quantizer.embedding.weight[7] = torch.tensor([0, 10.0])
    return network


def run(network, data, epochs, **options):
    """Train for some epochs without changing anything; the codebook after each."""
    seen = []
    engine = Engine(lambda engine, batch: None)
    ReviveCodes(network, data, **options).attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda e: seen.append(network.quantizer.embedding.weight.detach().clone())
    )
    engine.run([0], max_epochs=epochs)
    return seen


def test_dead_entries_move_to_latents_and_used_ones_stay():
    network = start()
    (codes,) = run(network, loader(), 1)
    assert codes[3].tolist() == [10, 0]
    assert codes[7].tolist() == [0, 10]
    vectors = torch.cat([batch["image"] for batch in loader()[:4]]).movedim(1, -1).reshape(-1, 2)
    for number in set(range(16)) - {3, 7}:
        assert (vectors == codes[number]).all(1).any()
    assert len(codes.unique(dim=0)) > 12
    assert network.quantizer.embedding.weight.requires_grad
    # All of them are in use from now on, or nearly.
    latents = torch.cat([batch["image"] for batch in loader()])
    assert len(network.quantizer.nearest(latents).unique()) > 12


def test_only_the_first_batches_are_encoded():
    data = loader()
    data[1]["image"] += 1000
    (codes,) = run(start(), data, 1, batches=1)
    assert codes[7].max() < 12  # the entry that only the second batch chooses has moved to the first
    assert codes[7].min() >= -1
    (codes,) = run(start(), data, 1, batches=2)
    assert codes.max() > 900


def test_the_draw_follows_from_seed_and_epoch_alone():
    first, second = (run(start(), loader(), 1, seed=5)[0] for _ in range(2))
    torch.rand(7)
    assert torch.equal(first, second)
    assert not torch.equal(first, run(start(), loader(), 1, seed=6)[0])

    def second_epoch():
        network = start()
        engine = Engine(lambda engine, batch: None)
        engine.state.epoch = 2
        ReviveCodes(network, loader(), seed=5)(engine)
        return network.quantizer.embedding.weight.detach()

    assert torch.equal(second_epoch(), second_epoch())
    assert not torch.equal(second_epoch(), first)


@pytest.mark.parametrize("epochs", [0, 2])
def test_after_the_first_epochs_nothing_moves(epochs):
    network = start()
    before = network.quantizer.embedding.weight.detach().clone()
    engine = Engine(lambda engine, batch: None)
    ReviveCodes(network, loader(), epochs=epochs).attach(engine)

    def abandon(engine):
        """Entries die anew in every epoch."""
        with torch.no_grad():
            network.quantizer.embedding.weight.copy_(before)

    moved = []
    engine.add_event_handler(
        Events.EPOCH_STARTED, lambda e: moved.append(network.quantizer.embedding.weight[0, 0] > -1)
    )
    engine.add_event_handler(Events.EPOCH_COMPLETED, abandon)
    engine.run([0], max_epochs=4)
    assert moved == [epoch <= epochs for epoch in range(1, 5)]


def test_a_codebook_in_full_use_stays_as_it_is():
    network = Network(2)
    with torch.no_grad():
        network.quantizer.embedding.weight[:] = torch.tensor([[10.0, 0], [0, 10.0]])
    (codes,) = run(network, loader(), 1)
    assert codes.tolist() == [[10, 0], [0, 10]]


PROCESS = """
import sys, torch
from ignite.engine import Engine
from common.engines.codebook import ReviveCodes
from common.networks.vector_quantizer import VectorQuantizer
folder, rank = sys.argv[1], int(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
network, engine = torch.nn.Module(), Engine(lambda engine, batch: None)
network.quantizer, network.encode = VectorQuantizer(16, 2), lambda image: (image, None)
network.load_state_dict(torch.load(f"{folder}/start.pt"))
engine.state.epoch = 1
ReviveCodes(network, torch.load(f"{folder}/data.pt")[rank::2], batches=1)(engine)
torch.save(network.quantizer.embedding.weight.detach(), f"{folder}/{rank}.pt")
"""


def test_processes_of_one_training_keep_one_codebook(tmp_path):
    torch.save(start().state_dict(), tmp_path / "start.pt")
    torch.save(loader(), tmp_path / "data.pt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), str(rank)], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first, second)
    # Each process uses one of the two entries, none uses the others.
    assert first[3].tolist() == [10, 0]
    assert first[7].tolist() == [0, 10]
    assert first.min() > -5
