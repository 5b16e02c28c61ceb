"""`paper.json` has the paper's sizes, runs forward and takes one training step of each stage, within 16 GB."""

import subprocess
import sys

import pytest

from tests.conftest import BREAST_MIP

CODE = """
import resource, sys, torch
sys.path.insert(0, {bundle!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config([{bundle!r} + "/configs/" + name for name in ({config!r}, "paper.json")])
parser["device"] = "cpu"
torch.manual_seed(0)
count = lambda network: sum(p.numel() for p in network.parameters())
{body}
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
AUTOENCODER = """
network, loss = parser.get_parsed_content("network_def"), parser.get_parsed_content("loss")
discriminator, hinge = parser.get_parsed_content("discriminator_def"), parser.get_parsed_content("adversarial_loss")
assert count(network) == 3_362_748 and count(discriminator) == 2_763_585
image = torch.rand(2, 1, 256, 256) * 2 - 1
first, last = network.encoder.blocks[0].conv.weight, network.last_layer.weight
before = first.detach().clone(), last.detach().clone()
optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
prediction = network.train()(image)
assert prediction[0].shape == image.shape and prediction[2].shape == (2, 64, 64)
terms = loss(prediction, (image, None))
assert set(terms) == {{"l1", "codebook"}}  # without a file the perceptual term is off
fake = hinge(discriminator(prediction[0])[-1], target_is_real=True, for_discriminator=False)
(sum(terms.values()) + 0.75 * fake).backward()
optimizer.step()
assert not torch.equal(before[0], first) and not torch.equal(before[1], last)
"""
DIFFUSION = """
network = parser.get_parsed_content("network_def")
unet = network.denoiser.unet
assert count(unet) == 215_229_315 and count(network.denoiser.conditioner) == 3
network.latent_shift.zero_(), network.latent_scale.fill_(1)
condition = torch.zeros(1, 6, 256, 256)
condition[:, 3, 100:120, 60:80] = 1
with torch.no_grad():
    assert network.eval()(condition).shape == (1, 1, 256, 256)
latent, timesteps = torch.randn(1, 3, 64, 64), torch.tensor([500])
optimizer = torch.optim.SGD(network.denoiser.parameters(), lr=1e-4)
prediction = network.denoiser.train()(latent, timesteps, condition)
assert prediction.shape == latent.shape
torch.nn.functional.l1_loss(prediction, torch.randn_like(latent)).backward()
last = unet.out[-1].conv.weight  # starts at zero, so that the first step moves it alone
assert not last.any() and last.grad.abs().sum() > 0
optimizer.step()
assert last.any()
"""


@pytest.mark.paper
@pytest.mark.parametrize(
    ("config", "body"), [("train_autoencoder.json", AUTOENCODER), ("train_diffusion.json", DIFFUSION)]
)
def test_one_step_at_full_size(config, body):
    code = CODE.format(bundle=str(BREAST_MIP), config=config, body=body.format())
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=3000, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split("PEAK")[1]) < 16
