"""`paper.json` has Stable Diffusion's sizes, runs forward and takes one training step, within 16 GB."""

import subprocess
import sys

import pytest

from tests.conftest import MAMMOGRAM

CODE = """
import resource, sys, torch
sys.path.insert(0, {bundle!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config([{bundle!r} + "/configs/" + name for name in ("train_diffusion.json", "paper.json")])
parser["device"], parser["task"], parser["pretrained"] = "cpu", {task!r}, "none"
torch.manual_seed(0)
count = lambda network: sum(p.numel() for p in network.parameters())
network = parser.get_parsed_content("network_def")
assert count(network.denoiser.unet) == {unet}
assert count(network.denoiser.text_encoder) == 123_060_480
assert count(network.autoencoder) == 83_653_863
assert network.autoencoder.factor == 8 and network.image_size == 512
parser["initial_network"] = None
assert parser.get_parsed_content("learning_rate") == 1e-6
batch = parser.get_parsed_content("batch_size") * parser.get_parsed_content("accumulation_steps")
assert batch == {batch}
assert parser.get_parsed_content("caption_dropout") == 0
network.latent_shift.zero_(), network.latent_scale.fill_(1 / 0.18215)
inputs = torch.cat([torch.rand(1, 1, 512, 512) * 2 - 1, torch.ones(1, 1, 512, 512)], 1)
with torch.no_grad():
    assert network.eval()(inputs).shape == (1, 1, 512, 512)
    plane = network.plane(inputs)
assert plane.shape == (1, {plane}, 64, 64)
unet = network.denoiser.unet
unet.enable_gradient_checkpointing()
denoiser = network.denoiser.train()
scheduler = parser.get_parsed_content("noise_scheduler")
assert abs(float(scheduler.alphas_cumprod[-1]) - 0.0047) < 1e-4
latent, noise, timesteps = torch.randn(1, 4, 64, 64), torch.randn(1, 4, 64, 64), torch.tensor([500])
from scripts.common.engines.optimizers import make_optimizer
optimizer = make_optimizer(denoiser.parameters(), "adafactor", lr=1e-3, weight_decay=0.0)
before = unet.conv_in.weight.detach().clone(), denoiser.text_encoder.get_parameter({text!r}).detach().clone()
prediction = denoiser(scheduler.add_noise(latent, noise, timesteps), timesteps, plane, network.tokens)
torch.nn.functional.mse_loss(prediction, noise).backward()
optimizer.step()
assert not torch.equal(before[0], unet.conv_in.weight)
assert not torch.equal(before[1], denoiser.text_encoder.get_parameter({text!r}))
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
TEXT = "encoder.layers.0.self_attn.q_proj.weight"


@pytest.mark.paper
@pytest.mark.parametrize(
    ("task", "unet", "batch", "plane"), [("generate", 859_520_964, 256, 0), ("inpaint", 859_535_364, 8, 5)]
)
def test_one_step_at_full_size(task, unet, batch, plane):
    code = CODE.format(bundle=str(MAMMOGRAM), task=task, unet=unet, batch=batch, plane=plane, text=TEXT)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=3000, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split("PEAK")[1]) < 16
