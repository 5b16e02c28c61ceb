"""The MIP bundle's conditioner and denoiser against the same arithmetic done by hand."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn
from torch.nn import functional

from common.networks.latent_diffusion import MaskConditionedDenoiser, MaskConditionedLatentDiffusion
from common.networks.mask_conditioning import PooledConditioner
from common.transforms.lesions import lesion_channels

CLASS_VALUES = [0.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def condition(classes):
    """Class map (X, Y) to a batch of one condition."""
    return lesion_channels(torch.as_tensor(classes)[None, None])


def one_lesion(birads=6, x=8, y=8, edge=3, size=16):
    classes = torch.zeros(size, size, dtype=torch.uint8)
    classes[x : x + edge, y : y + edge] = birads
    return classes


def raw_map(conditioner):
    """A conditioner of one map channel that shows what is pooled: weight 1, no bias."""
    nn.init.ones_(conditioner.layers[-1].weight)
    return conditioner


def test_ordinal_classes_are_pooled_and_weighted_as_by_hand():
    torch.manual_seed(0)
    conditioner = PooledConditioner(6, 3, class_values=CLASS_VALUES, bias=False)
    assert sum(p.numel() for p in conditioner.parameters()) == 3
    classes = torch.randint(0, 7, (16, 24)) * (torch.rand(16, 24) > 0.5)
    classes[classes == 1] = 0
    mask = condition(classes)
    mapped, tokens = conditioner(mask)
    assert tokens is None
    blocks = classes.double().reshape(4, 4, 6, 4).mean((1, 3))
    expected = conditioner.layers[-1].weight.detach().double().view(3, 1, 1) * blocks
    assert mapped.shape == (1, 3, 4, 6)
    np.testing.assert_allclose(mapped[0].detach(), expected, atol=1e-6)
    # The original halves the map twice by bilinear interpolation.
    twice = classes[None, None].float()
    for _ in range(2):
        twice = functional.interpolate(twice, scale_factor=0.5, mode="bilinear")
    np.testing.assert_allclose(twice[0, 0], blocks, atol=1e-5)


def test_a_small_lesion_of_class_6_reads_as_a_lower_class_where_numbers_are_averaged():
    ordinal = raw_map(PooledConditioner(6, 1, class_values=CLASS_VALUES, bias=False))
    inside = ordinal(condition(one_lesion(6)))[0].detach()
    assert float(inside.max()) == pytest.approx(6 * 9 / 16)
    assert int((inside > 0).sum()) == 1
    across = ordinal(condition(one_lesion(6, x=10, y=10)))[0].detach()  # over four blocks
    assert across[0, 0, 2:4, 2:4].tolist() == [
        [pytest.approx(6 * 4 / 16), pytest.approx(6 * 2 / 16)],
        [pytest.approx(6 * 2 / 16), pytest.approx(6 * 1 / 16)],
    ]


def test_channels_keep_classes_apart_at_rims():
    ordinal = raw_map(PooledConditioner(6, 1, class_values=CLASS_VALUES, bias=False))
    # Half a block of class 6 is class 3 to the ordinal map, and none of class 3 to the channels.
    half, whole = one_lesion(6, edge=16, x=10, y=0), one_lesion(3, edge=16, x=8, y=0)
    rim = (0, 0, 2, 1)
    assert ordinal(condition(half))[0][rim].item() == ordinal(condition(whole))[0][rim].item() == 3
    channels = PooledConditioner(6, 6, bias=False)
    nn.init.zeros_(channels.layers[0].weight)
    channels.layers[0].weight.data[:, :, 0, 0] = torch.eye(6)
    assert channels(condition(half))[0][0, :, 2, 1].tolist() == [0, 0, 0, 0, 0, 0.5]
    assert channels(condition(whole))[0][0, :, 2, 1].tolist() == [0, 0, 1, 0, 0, 0]


def test_healthy_and_background_differ_in_channels_and_do_not_as_numbers():
    healthy, lesion = (condition(classes) for classes in (torch.zeros(16, 16), one_lesion(2)))
    ordinal = PooledConditioner(6, 3, class_values=CLASS_VALUES, bias=False)
    assert not ordinal(healthy)[0].any()
    torch.manual_seed(0)
    maps = [PooledConditioner(6, 4)(mask)[0] for mask in (healthy, lesion)]
    assert not torch.allclose(maps[0][..., 0, 0], maps[1][..., 0, 0])  # far from the lesion


def test_the_null_condition_is_none_of_the_masks():
    torch.manual_seed(0)
    conditioner = PooledConditioner(6, 4, hidden_channels=8)
    masks = [condition(torch.zeros(16, 16)), condition(one_lesion(2)), condition(one_lesion(6))]
    null = torch.full_like(masks[0], -1.0)
    mapped = conditioner(null)[0]
    assert torch.allclose(mapped[..., 1:-1, 1:-1], mapped[..., 1:2, 1:2].expand(1, 4, 2, 2), atol=1e-6)
    for mask in masks:
        assert not torch.allclose(conditioner(mask)[0], mapped, atol=1e-2)


def test_hidden_layer_factor_and_saved_weights():
    conditioner = PooledConditioner(6, 4, factor=2, hidden_channels=8)
    assert [layer.kernel_size for layer in conditioner.layers if isinstance(layer, nn.Conv2d)] == [(3, 3), (1, 1)]
    assert conditioner(torch.zeros(2, 6, 16, 8))[0].shape == (2, 4, 8, 4)
    # Class values are a choice of the config, not weights.
    assert "class_values" not in PooledConditioner(6, 1, class_values=CLASS_VALUES).state_dict()
    with pytest.raises(ValueError, match="class_values has 5 entries for 6 mask channels"):
        PooledConditioner(6, 1, class_values=CLASS_VALUES[1:])


class Recorder(nn.Module):
    """Stands for the UNet: a 1x1 convolution that keeps what it was given."""

    def __init__(self, channels, out_channels):
        super().__init__()
        self.layer = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x, timesteps, context):
        self.seen, self.steps, self.context = x, timesteps, context
        return self.layer(x)


def test_patches_are_folded_into_channels_as_by_hand():
    torch.manual_seed(0)
    conditioner = PooledConditioner(6, 2)
    latent, steps, mask = torch.randn(2, 3, 8, 12), torch.tensor([1, 7]), torch.rand(2, 6, 32, 48)
    unet = Recorder(5 * 4, 3 * 4)
    made = MaskConditionedDenoiser(conditioner, unet, patch_size=2)(latent, steps, mask)
    joined = torch.cat([latent, conditioner(mask)[0]], dim=1)
    assert unet.seen.shape == (2, 20, 4, 6)
    # Channel c of pixel (i, j) of a 2 x 2 block comes to 4c + 2i + j.
    by_hand = torch.stack([joined[:, c, i::2, j::2] for c in range(5) for i in range(2) for j in range(2)], dim=1)
    assert torch.equal(unet.seen, by_hand)
    assert torch.equal(unet.steps, steps)
    assert unet.context is None
    folded = unet.layer(by_hand)
    expected = torch.zeros(2, 3, 8, 12)
    for c in range(3):
        for i in range(2):
            for j in range(2):
                expected[:, c, i::2, j::2] = folded[:, 4 * c + 2 * i + j]
    assert torch.allclose(made, expected, atol=1e-6)
    plain = Recorder(5, 3)
    MaskConditionedDenoiser(conditioner, plain)(latent, steps, mask)
    assert torch.equal(plain.seen, joined)


class Autoencoder(nn.Module):
    latent_channels = 3

    def decode(self, latent):
        return functional.interpolate(latent.sum(1, keepdim=True), scale_factor=4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_two_dimensional_network_decodes_its_one_step_estimate(prediction):
    torch.manual_seed(0)
    schedule = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0205, beta_schedule="scaled_linear", prediction_type=prediction
    )
    denoiser = MaskConditionedDenoiser(PooledConditioner(6, 2), Recorder(5, 3))
    network = MaskConditionedLatentDiffusion(Autoencoder(), denoiser, schedule, spatial_dims=2)
    assert network.latent_shift.shape == network.latent_scale.shape == (1, 3, 1, 1)
    assert network.latent_scale.isnan().all()
    network.latent_shift.fill_(0.5)
    network.latent_scale.fill_(2.0)
    mask = condition(one_lesion(4))
    image = network(mask)
    assert image.shape == (1, 1, 16, 16)
    alpha = float(schedule.alphas_cumprod[-1])
    assert alpha == pytest.approx(9.69e-5, rel=1e-3)
    inputs = torch.cat([torch.zeros(1, 3, 4, 4), denoiser.conditioner(mask)[0]], dim=1)
    output = denoiser.unet.layer(inputs)
    start = -((1 - alpha) ** 0.5) * output / (1 if prediction == "v_prediction" else alpha**0.5)
    expected = (start * 2 + 0.5).sum(1, keepdim=True).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(image, expected, rtol=1e-4)
    assert denoiser.unet.steps.tolist() == [999]
