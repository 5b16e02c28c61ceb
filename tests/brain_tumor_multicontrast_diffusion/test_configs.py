"""The two stages of the brain bundle see the same images, and its segmenter is one network."""

import json

from tests.conftest import BRAIN


def load(name):
    return json.loads((BRAIN / "configs" / name).read_text())


def test_both_stages_prepare_images_alike():
    files = {name: load(name) for name in ("train_autoencoder.json", "train_diffusion.json")}
    assert (
        files["train_autoencoder.json"]["train"]["deterministic_transforms"]
        == files["train_diffusion.json"]["encode"]["deterministic_transforms"]
    )
    assert (
        files["train_autoencoder.json"]["train"]["random_transforms"]
        == files["train_diffusion.json"]["encode"]["random_transforms"]
    )


def test_the_evaluating_segmenter_is_the_trained_one():
    assert load("evaluate.json")["segmenter_def"] == load("train_segmenter.json")["segmenter_def"]
