"""`paper.json` builds the published networks, runs forward and takes one training step, within 16 GB."""

import subprocess
import sys

import pytest

from tests.conftest import BREAST_DCE

CODE = """
import resource, sys, torch
sys.path.insert(0, {bundle!r})
from monai.bundle import ConfigParser
parser = ConfigParser()
parser.read_config([{bundle!r} + "/configs/" + name for name in ("train.json", "paper.json")])
parser["device"] = "cpu"
torch.manual_seed(0)
generator, discriminator = parser.get_parsed_content("network_def"), parser.get_parsed_content("discriminator_def")
assert sum(p.numel() for p in generator.parameters()) == 182_443_267
assert sum(p.numel() for p in discriminator.parameters()) == 5_535_618
from scripts.common.engines.translation import TranslationTrainer
trainer = TranslationTrainer.__new__(TranslationTrainer)
trainer.adversarial_weight, trainer.feature_weight = parser["adversarial_weight"], parser["feature_weight"]
optimizer = parser.get_parsed_content("optimizer")
trainable = parser.get_parsed_content("trainable")
assert optimizer.param_groups[0]["lr"] == 2e-4 and tuple(optimizer.param_groups[0]["betas"]) == (0.5, 0.999)
image, phases = torch.rand(1, 1, 512, 512) * 2 - 1, torch.rand(1, 3, 512, 512) * 2 - 1
before = trainable.head[1].weight.detach().clone()
prediction = trainable(image)
assert prediction.shape == (1, 3, 512, 512) and prediction.abs().max() <= 1
fake, real = (trainer.discriminator_input(image, part) for part in (prediction, phases))
terms = trainer.generator_terms(discriminator, fake, real)
sum(terms.values()).backward()
optimizer.step()
assert not torch.equal(before, trainable.head[1].weight)
loss = trainer.discriminator_loss(discriminator(torch.cat([fake.detach(), real])))
loss.backward()
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.paper
def test_one_step_at_full_size():
    code = CODE.format(bundle=str(BREAST_DCE))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=3000, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split("PEAK")[1]) < 16
