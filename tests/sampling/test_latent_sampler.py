import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import nn

from common.errors import InputError
from common.networks.latent_diffusion import MaskConditionedDenoiser, MaskConditionedLatentDiffusion
from common.sampling.latent_sampler import LatentDiffusionSampler
from common.sampling.plan import sample_seed

SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}


class Autoencoder(nn.Module):
    latent_channels = 2

    def decode(self, latent):
        return latent

    def encode(self, image):
        return image, torch.ones_like(image)


class Conditioner(nn.Module):
    def forward(self, mask):
        return nn.functional.avg_pool3d(mask, 2), mask.mean((2, 3, 4))[:, None]


class Unet(nn.Module):
    """A smooth, condition-dependent stand-in whose output can be computed again by hand."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x, timesteps, context):
        latent, condition = x[:, :2], x[:, 2:]
        time = (timesteps.float() / 1000).view(-1, 1, 1, 1, 1)
        return torch.tanh(
            self.weight * latent + condition.mean(1, keepdim=True) + time + context.mean((1, 2)).view(-1, 1, 1, 1, 1)
        )


def network(prediction_type="epsilon", measured=True):
    scheduler = DDPMScheduler.from_config(SCHEDULE, prediction_type=prediction_type)
    net = MaskConditionedLatentDiffusion(
        Autoencoder(), MaskConditionedDenoiser(Conditioner(), Unet()), scheduler
    ).eval()
    if measured:
        net.latent_shift.fill_(0.1)
        net.latent_scale.fill_(2.0)
    return net


def sampler(kind=DDIMScheduler, num_steps=10, prediction_type="epsilon", scheduler_options=None, **kwargs):
    options = {"timestep_spacing": "leading", "steps_offset": 1, **(scheduler_options or {})}
    if kind is not DPMSolverMultistepScheduler:
        options["clip_sample"] = False
    scheduler = kind.from_config(SCHEDULE, prediction_type=prediction_type, **options)
    return LatentDiffusionSampler(scheduler, num_steps=num_steps, progress=False, **kwargs)


CONDITION = torch.zeros(3, 4, 8, 8, 4)
CONDITION[:, 0, 2:6, 2:6, 1:3] = 1


@pytest.mark.parametrize(("prediction_type", "guidance"), [("epsilon", 1.0), ("v_prediction", 1.0), ("epsilon", 3.0)])
def test_ddim_equals_a_plain_recomputation(prediction_type, guidance):
    net = network(prediction_type)
    options = {"set_alpha_to_one": False}
    ours = sampler(prediction_type=prediction_type, scheduler_options=options, guidance_scale=guidance)(
        inputs=CONDITION[:1], network=net, seeds=[5]
    )
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    x = torch.randn((2, 4, 4, 2), generator=torch.Generator().manual_seed(5))[None].double()

    def predict(latent, t, condition):
        with torch.no_grad():
            return net.denoiser(latent.float(), torch.tensor([t]), condition).double()

    for t in range(901, 0, -100):  # 10 leading steps with offset 1: 901, 801, ..., 1
        prediction = predict(x, t, CONDITION[:1])
        if guidance != 1:
            empty = predict(x, t, torch.full_like(CONDITION[:1], -1.0))
            prediction = empty + guidance * (prediction - empty)
        a = float(alphas[t])
        before = float(alphas[t - 100]) if t > 100 else float(alphas[0])
        if prediction_type == "epsilon":
            x0, epsilon = (x - math.sqrt(1 - a) * prediction) / math.sqrt(a), prediction
        else:
            x0 = math.sqrt(a) * x - math.sqrt(1 - a) * prediction
            epsilon = math.sqrt(a) * prediction + math.sqrt(1 - a) * x
        x = math.sqrt(before) * x0 + math.sqrt(1 - before) * epsilon
    assert torch.allclose(ours.double(), x * 2.0 + 0.1, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "eta"),
    [(DDIMScheduler, 0.0), (DDIMScheduler, 1.0), (DDPMScheduler, 0.0), (DPMSolverMultistepScheduler, 0.0)],
)
def test_a_sample_depends_on_its_seed_alone(kind, eta):
    net, draw = network(), sampler(kind, eta=eta)
    together = draw(inputs=CONDITION, network=net, seeds=[7, 8, 9])
    alone = draw(inputs=CONDITION[:1], network=net, seeds=[8])
    assert torch.allclose(together[1:2], alone, atol=1e-4)
    assert torch.equal(together, draw(inputs=CONDITION, network=net, seeds=[7, 8, 9]))
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_eta_adds_noise_and_steps_count_network_calls():
    net = network()
    plain, noisy = (sampler(eta=eta)(inputs=CONDITION[:1], network=net, seeds=[1]) for eta in (0.0, 1.0))
    assert not torch.allclose(plain, noisy, atol=1e-2)
    calls = []
    net.denoiser.unet.register_forward_hook(lambda *_: calls.append(1))
    sampler(num_steps=7)(inputs=CONDITION, network=net)
    assert len(calls) == 7


def test_nothing_is_sampled_without_latent_statistics_or_beyond_the_schedule():
    with pytest.raises(InputError, match="latent statistics"):
        sampler()(inputs=CONDITION, network=network(measured=False))
    with pytest.raises(InputError, match="num_steps=1001"):
        sampler(num_steps=1001)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_forward_is_the_one_step_estimate_from_zero_noise(prediction_type):
    net = network(prediction_type)
    a = float(torch.cumprod(1 - torch.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2, 0)[-1])
    with torch.no_grad():
        prediction = net.denoiser(torch.zeros(3, 2, 4, 4, 2), torch.full((3,), 999), CONDITION)
        x0 = -math.sqrt(1 - a) * prediction / (math.sqrt(a) if prediction_type == "epsilon" else 1)
        assert torch.allclose(net(CONDITION), x0 * 2.0 + 0.1, rtol=1e-3, atol=1e-3)


def test_seeds_differ_by_run_case_and_sample():
    seeds = {sample_seed(s, c, k) for s in range(3) for c in "ab" for k in range(3)}
    assert len(seeds) == 18
    assert all(0 <= seed < 2**63 for seed in seeds)
