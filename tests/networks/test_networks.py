import pytest
import torch
from monai.networks.nets import DiffusionModelUNet, PatchDiscriminator

from common.networks.mask_conditioning import MaskConditioner
from common.networks.space_to_depth_autoencoder import SpaceToDepthAutoencoderKL, freeze_encoder


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_autoencoder_and_conditioner_have_the_papers_sizes():
    with torch.device("meta"):
        assert parameters(SpaceToDepthAutoencoderKL(4, (64, 128, 256), 8)) == 21_010_724
        assert parameters(MaskConditioner(1)) == 1_633_096
        discriminator = PatchDiscriminator(
            spatial_dims=3, num_layers_d=3, channels=32, in_channels=4, out_channels=1, norm="INSTANCE"
        )
        assert parameters(discriminator) == pytest.approx(2.78e6, rel=0.005)


@pytest.mark.parametrize(("base", "head", "expected"), [(256, 64, 522.9e6), (352, 96, 986.5e6)])
def test_unets_have_the_papers_sizes(base, head, expected):
    with torch.device("meta"):
        unet = DiffusionModelUNet(
            spatial_dims=3, in_channels=16, out_channels=8, num_res_blocks=[2, 2, 2],
            channels=[base, 2 * base, 3 * base],
            attention_levels=[False, True, True], num_head_channels=[0, 64, head], with_conditioning=True,
            cross_attention_dim=256,
        )  # fmt: skip
    assert parameters(unet) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_autoencoder_shapes_and_determinism_in_evaluation(patch_size):
    channels = (8, 8, 8) if patch_size == 1 else (8, 8)
    network = SpaceToDepthAutoencoderKL(4, channels, 3, 1, 4, patch_size=patch_size).eval()
    image = torch.rand(2, 4, 16, 16, 8)
    mean, std = network.encode(image)
    assert mean.shape == std.shape == (2, 3, 4, 4, 2)
    assert network.decode(mean).shape == image.shape
    assert torch.equal(network(image)[0], network(image)[0])


def test_conditioner_gives_map_and_tokens_of_the_papers_grid():
    with torch.device("meta"):
        concatenated, tokens = MaskConditioner(4)(torch.zeros(2, 4, 128, 128, 64))
    assert concatenated.shape == (2, 8, 32, 32, 16)
    assert tokens.shape == (2, 256, 256)


def test_frozen_encoder_keeps_latents_while_the_decoder_learns():
    network = freeze_encoder(SpaceToDepthAutoencoderKL(4, (8, 8), 3, 1, 4, patch_size=2))
    image = torch.rand(1, 4, 16, 16, 8)
    latent, before = network.encode(image)[0], network.decode(network.encode(image)[0])
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    (network(image)[0] - image).square().mean().backward()
    optimizer.step()
    assert torch.equal(network.encode(image)[0], latent)
    assert not torch.equal(network.decode(latent), before)
