"""What stands in several configs of the mammogram bundle is the same; its tokenizer can be made again."""

import json

from common.cohorts.mammogram_prompts import words
from common.networks.prompt_tokenizer import make_tokenizer, save_tokenizer
from tests.conftest import MAMMOGRAM


def load(name):
    return json.loads((MAMMOGRAM / "configs" / name).read_text())


def test_both_uses_share_network_and_sampler():
    painting, drawing = load("inference.json"), load("generate.json")
    shared = [
        key for key in drawing if key.endswith("_def") or key in ("network", "schedulers", "tokenizer", "inferer")
    ]
    assert len(shared) >= 8
    for key in shared:
        assert painting[key] == drawing[key], key


def test_the_tokenizer_can_be_made_again(tmp_path):
    folder = save_tokenizer(make_tokenizer(words(), 32), tmp_path / "tokenizer")
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (MAMMOGRAM / "models" / "tokenizer" / file.name).read_bytes()
    assert load("generate.json")["text_length"] == 32
