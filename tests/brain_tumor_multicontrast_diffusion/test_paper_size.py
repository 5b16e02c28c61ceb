"""`paper.json` builds, runs forward and takes one training step of each stage at full size, within 16 GB."""

import subprocess
import sys

import pytest

from tests.conftest import BRAIN

CODE = """
import resource, sys, torch
sys.path.insert(0, {bundle!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config([{bundle!r} + "/configs/" + name for name in ({config!r}, "paper.json")])
parser["device"], parser["use_checkpoint"] = "cpu", True
parser["base_channels"] = {base}
torch.manual_seed(0)
{body}
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
AUTOENCODER = """
network, loss = parser.get_parsed_content("network_def"), parser.get_parsed_content("loss")
assert sum(p.numel() for p in network.parameters()) == 21_010_724
image = torch.randn(1, 4, 128, 128, 64)
before = next(network.parameters()).detach().clone()
optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
with torch.autocast("cpu", torch.bfloat16):
    prediction = network.train()(image)
assert prediction[0].shape == image.shape and prediction[1].shape == (1, 8, 32, 32, 16)
terms = loss(prediction, (image, torch.zeros(1, 1, 128, 128, 64)))
sum(terms.values()).backward()
optimizer.step()
assert not torch.equal(before, next(network.parameters()))
"""
DIFFUSION = """
from torch.utils.checkpoint import checkpoint
network = parser.get_parsed_content("network_def")
unet = network.denoiser.unet
assert abs(sum(p.numel() for p in unet.parameters()) / {expected} - 1) < 1e-4
network.autoencoder.requires_grad_(False)
network.latent_shift.zero_(), network.latent_scale.fill_(1)
for module in [*unet.down_blocks, unet.middle_block, *unet.up_blocks]:
    forward = module.forward
    module.forward = lambda *a, forward=forward, **k: checkpoint(forward, *a, use_reentrant=False, **k)
condition = torch.zeros(1, 4, 128, 128, 64)
condition[:, :2, 40:60, 40:60, 20:30] = 1
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    assert network.eval()(condition).shape == (1, 4, 128, 128, 64)
latent, timesteps = torch.randn(1, 8, 32, 32, 16), torch.tensor([500])
optimizer = torch.optim.SGD(network.denoiser.parameters(), lr=1e-4)
with torch.autocast("cpu", torch.bfloat16):
    prediction = network.denoiser.train()(latent, timesteps, condition)
assert prediction.shape == latent.shape
torch.nn.functional.mse_loss(prediction.float(), torch.randn_like(latent)).backward()
last = unet.out[-1].conv.weight  # starts at zero, so that the first step moves it alone
assert not last.any() and last.grad.abs().sum() > 0
optimizer.step()
assert last.any()
"""


@pytest.mark.paper
@pytest.mark.parametrize(
    ("config", "body", "base", "expected"),
    [
        ("train_autoencoder.json", AUTOENCODER, 352, 0),
        ("train_diffusion.json", DIFFUSION, 256, 522.9e6),
        ("train_diffusion.json", DIFFUSION, 352, 986.5e6),
    ],
)
def test_one_step_at_full_size(config, body, base, expected):
    code = CODE.format(bundle=str(BRAIN), config=config, base=base, body=body.format(expected=expected))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=3000, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split("PEAK")[1]) < 16
