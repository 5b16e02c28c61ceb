"""The stages see the same exams, the judging reader is the trained one, and the paper's sampler is on its grid."""

import json
import subprocess
import sys

from tests.conftest import BREAST_MIP


def load(name):
    return json.loads((BREAST_MIP / "configs" / name).read_text())


def test_both_stages_prepare_exams_alike():
    first, second = load("train_autoencoder.json")["train"], load("train_diffusion.json")["encode"]
    assert first["random_transforms"] == second["random_transforms"]
    without = [{k: v for k, v in t.items() if k != "required"} for t in first["deterministic_transforms"]]
    assert without == [{k: v for k, v in t.items() if k != "required"} for t in second["deterministic_transforms"]]


def test_the_judging_reader_is_the_trained_one():
    assert load("evaluate.json")["reader_def"] == load("train_reader.json")["reader_def"]
    assert load("evaluate.json")["reader_channels"] == load("train_reader.json")["reader_channels"]


def test_paper_learning_rate_and_time_grid():
    code = f"""
import sys
sys.path.insert(0, {str(BREAST_MIP)!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config([{str(BREAST_MIP)!r} + "/configs/" + name for name in ("inference.json", "paper.json")])
sampler = parser.get_parsed_content("inferer")
sampler.scheduler.set_timesteps(sampler.num_steps)
print(sampler.num_steps, sampler.eta, sampler.guidance_scale, *sampler.scheduler.timesteps.tolist())
for config, stage in (("train_autoencoder.json", "first"), ("train_diffusion.json", "second")):
    parser = ConfigParser()
    parser.read_config([{str(BREAST_MIP)!r} + "/configs/" + name for name in (config, "paper.json")])
    print(*(parser.get_parsed_content(key) for key in ("learning_rate", "batch_size", "weight_decay", "max_epochs")))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    sampler, first, second = (line.split() for line in result.stdout.strip().splitlines()[-3:])
    assert sampler[:3] == ["200", "1.0", "1.0"]
    assert list(map(int, sampler[3:])) == list(range(996, 0, -5))
    assert first == ["7.2e-05", "16", "0.0", "189"]
    assert second == ["0.000288", "24", "0.01", "1000"]
