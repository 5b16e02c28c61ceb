import collections
import json
import subprocess
import sys

import pytest

from tests.conftest import BRAIN

CONFIGS = sorted(path.name for path in (BRAIN / "configs").glob("*.json"))
COMPLETE = ["inference.json", "train_autoencoder.json", "train_diffusion.json", "train_segmenter.json"]


def load(name):
    def without_repeats(pairs):
        repeated = [key for key, count in collections.Counter(key for key, _ in pairs).items() if count > 1]
        assert not repeated, f"{name}: {repeated}"
        return dict(pairs)

    return json.loads((BRAIN / "configs" / name).read_text(), object_pairs_hook=without_repeats)


def run_python(code, cwd="/"):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.parametrize("name", CONFIGS)
def test_config_keeps_the_rules(name):
    content = load(name)
    text = json.dumps(content)
    assert "initialize" not in content
    assert '"_target_": "common.' not in text
    assert "$from" not in text
    assert "#" not in "".join(s for s in text.split('"') if not s.startswith(("$", "@")))


def test_definitions_and_their_sizes_are_equal_in_all_configs():
    files = {name: load(name) for name in [*COMPLETE, "evaluate.json"]}
    for key in (
        "autoencoder_def",
        "conditioner_def",
        "unet_def",
        "network_def",
        "segmenter_def",
        "noise_schedule",
        "noise_scheduler",
    ):
        found = {
            json.dumps(f[key])
            for n, f in files.items()
            if key in f and not (key == "network_def" and n in COMPLETE[1::2])
        }
        assert len(found) == 1, key
    for key in load("paper.json").keys() - {
        "base_channels",
        "max_epochs",
        "batch_size",
        "learning_rate",
        "warmup_steps",
        "sampler",
        "num_steps",
    }:
        found = {json.dumps(f[key]) for f in files.values() if key in f}
        assert len(found) == 1, key
    assert (
        files["train_autoencoder.json"]["train"]["deterministic_transforms"]
        == files["train_diffusion.json"]["encode"]["deterministic_transforms"]
    )
    assert (
        files["train_autoencoder.json"]["train"]["random_transforms"]
        == files["train_diffusion.json"]["encode"]["random_transforms"]
    )


def test_metadata_has_what_the_schema_asks_for():
    metadata = load("metadata.json")
    texts = (
        "schema",
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "task",
        "description",
        "authors",
        "copyright",
    )
    assert all(isinstance(metadata[key], str) for key in texts)
    assert isinstance(metadata["required_packages_version"], dict)
    assert next(iter(metadata["changelog"])) == metadata["version"]
    assert all(isinstance(reference, str) for reference in metadata["references"])
    for key in (key for key in metadata if key.endswith("_data_format")):
        for io in ("inputs", "outputs"):
            for tensor in (value for value in metadata[key][io].values() if isinstance(value, dict)):
                assert isinstance(tensor["num_channels"], int)
                assert all(isinstance(size, (int, str)) for size in tensor["spatial_shape"])
                assert all(isinstance(value, (int, float)) for value in tensor["value_range"])
                assert {"type", "format", "dtype"} <= tensor.keys()


@pytest.mark.parametrize("name", COMPLETE)
def test_check_properties_reports_nothing_missing(name, tmp_path):
    kind = "infer" if name == "inference.json" else "train"
    code = f"""
import sys
sys.path.insert(0, {str(BRAIN)!r})
from monai.bundle import ConfigWorkflow
workflow = ConfigWorkflow(
    config_file={str(BRAIN / "configs" / name)!r}, workflow_type={kind!r}, output_dir={str(tmp_path)!r}, device="cpu"
)
workflow.initialize()
print("MISSING", workflow.check_properties())
"""
    assert "MISSING []" in run_python(code)


def test_network_fits_its_metadata_and_every_weight_counts():
    command = [sys.executable, "-m", "monai.bundle", "verify_net_in_out", "--net_id", "network_def"]
    command += ["--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json", "--device", "cpu"]
    result = subprocess.run(command, cwd=BRAIN, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "is verified with no error" in result.stdout + result.stderr
    code = f"""
import sys, torch
sys.path.insert(0, {str(BRAIN)!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config({str(BRAIN / "configs" / "inference.json")!r})
parser["device"] = "cpu"
network = parser.get_parsed_content("network")
torch.manual_seed(0)
image = torch.rand(1, 4, 64, 64, 32)
output = network(image)
assert output.shape == (1, 4, 64, 64, 32) and torch.isfinite(output).all()
assert torch.equal(output, network(image))
output.square().mean().backward()
idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
idle = [n for n in idle if "encoder" not in n and "quant_conv" not in n]
print("IDLE", idle)
"""
    assert "IDLE []" in run_python(code)
