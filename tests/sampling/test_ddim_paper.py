"""The sampler with the settings of Kapsner et al. 2024 against DDIM's update (Song et al. 2020, eq. 12) in float64."""

import types

import numpy as np
import torch
from diffusers import DDIMScheduler

from common.sampling.latent_sampler import LatentDiffusionSampler

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0015,
    "beta_end": 0.0205,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
ALPHA_BAR = np.cumprod(1 - np.linspace(0.0015**0.5, 0.0205**0.5, 1000) ** 2)
TIMESTEPS = range(996, 0, -5)
SHAPE = (3, 6, 4)


def noise_estimate(latent, t, condition):
    """Best estimate for latents of mean `condition` and deviation 0.5, and a ripple; float64."""
    a = ALPHA_BAR[t]
    best = (1 - a) ** 0.5 * (latent - a**0.5 * condition) / (0.25 * a + 1 - a)
    return best + 0.1 * np.sin(3 * latent)


class Stub:
    """What the sampler asks of a composite network; latents and images are the same."""

    latent_scale = torch.ones(1)
    autoencoder = types.SimpleNamespace(latent_channels=SHAPE[0])

    def __init__(self):
        self.timesteps = []
        self.condition = lambda mask, guided=False: (mask, None)

    def denoise(self, latent, timesteps, features):
        t = int(timesteps.unique())  # one for the whole batch
        self.timesteps.append(t)
        return torch.from_numpy(noise_estimate(latent.double().numpy(), t, features[0].double().numpy())).float()

    def decode(self, latent):
        return latent


def ddim(seed, condition, eta):
    """One sample by the formula, from the same draws: the start, then one for each step."""
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn(SHAPE, generator=generator).double().numpy()

    x = draw()
    for t in TIMESTEPS:
        a = ALPHA_BAR[t]
        before = ALPHA_BAR[t - 5] if t > 5 else ALPHA_BAR[0]  # not 1: the last step leaves this much noise
        sigma = eta * np.sqrt((1 - before) / (1 - a)) * np.sqrt(1 - a / before)
        epsilon = noise_estimate(x, t, condition)
        clean = (x - np.sqrt(1 - a) * epsilon) / np.sqrt(a)
        x = np.sqrt(before) * clean + np.sqrt(1 - before - sigma**2) * epsilon
        if eta:
            x = x + sigma * draw()
    return x


def compare(eta):
    network, condition = Stub(), torch.linspace(-1, 1, 24).view(1, 1, 6, 4).repeat(2, 1, 1, 1)
    scheduler = DDIMScheduler.from_config(SCHEDULE)
    sampler = LatentDiffusionSampler(scheduler, num_steps=200, eta=eta, progress=False)
    found = sampler(inputs=condition, network=network, seeds=[23, 24])
    assert network.timesteps == list(TIMESTEPS)
    assert len(network.timesteps) == 200
    expected = np.stack([ddim(seed, condition[0].double().numpy(), eta) for seed in (23, 24)])
    assert np.abs(expected - condition.numpy()).max() < 4  # samples of the distribution that the stub knows
    assert np.abs(found.numpy() - expected).max() < 1e-4
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_200_steps_with_eta_1_follow_the_formula():
    compare(eta=1.0)


def test_200_steps_without_noise_follow_the_formula():
    compare(eta=0.0)


def test_last_step_leaves_the_noise_of_the_first_training_step():
    scheduler = DDIMScheduler.from_config(SCHEDULE)
    assert float(scheduler.final_alpha_cumprod) == float(scheduler.alphas_cumprod[0]) < 1
    assert abs(float(scheduler.alphas_cumprod[-1]) - 9.69e-5) < 1e-7
    assert np.allclose(scheduler.alphas_cumprod.numpy(), ALPHA_BAR, rtol=1e-4)
