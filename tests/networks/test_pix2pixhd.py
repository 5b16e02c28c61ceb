"""The pix2pixHD networks: sizes of the paper, the published weight format, the options of the compact generator."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.networks.patch_pyramid import PatchPyramid
from common.networks.pix2pixhd import GlobalGenerator, LocalEnhancer
from common.networks.pix2pixhd_weights import initialize_generator, load_generator
from common.weights import save_weights


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"), [(3, 3, 182_443_267), (1, 3, 182_436_995), (1, 1, 182_430_721)]
)
def test_global_generator_has_the_papers_size(inputs, outputs, expected):
    with torch.device("meta"):
        assert count(GlobalGenerator(inputs, outputs)) == expected


@pytest.mark.parametrize(("downsamplings", "millions"), [(4, 182.7), (3, 45.9)])
def test_local_enhancer_has_the_papers_size(downsamplings, millions):
    with torch.device("meta"):
        network = LocalEnhancer(3, 3, base_channels=32, num_downsamplings=downsamplings)
    assert round(count(network) / 1e6, 1) == millions


def test_discriminator_has_the_papers_size_and_shapes():
    with torch.device("meta"):
        network = PatchPyramid()
        outputs = network(torch.zeros(1, 6, 512, 512))
    assert count(network) == 5_535_618
    assert [[tuple(layer.shape[1:]) for layer in scale] for scale in outputs] == [
        [(64, 257, 257), (128, 129, 129), (256, 65, 65), (512, 66, 66), (1, 67, 67)],
        [(64, 129, 129), (128, 65, 65), (256, 33, 33), (512, 34, 34), (1, 35, 35)],
    ]


def published_generator(channels=8, downsamplings=2, blocks=2):
    """The layers in the order in which NVIDIA's format numbers them, as plain torch modules."""

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
            again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
            self.conv_block = nn.Sequential(*half, nn.ReLU(), *again)

        def forward(self, x):
            return x + self.conv_block(x)

    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7), nn.InstanceNorm2d(channels), nn.ReLU()]
    width = channels
    for _ in range(downsamplings):
        layers += [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU()]
        width *= 2
    layers += [Block(width) for _ in range(blocks)]
    for _ in range(downsamplings):
        layers += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1), nn.InstanceNorm2d(width // 2), nn.ReLU()]
        width //= 2
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh()]
    network = nn.Module()
    network.model = nn.Sequential(*layers)
    return network


def test_published_weights_give_the_published_output(tmp_path):
    torch.manual_seed(0)
    theirs = published_generator()
    torch.save(theirs.state_dict(), tmp_path / "latest_net_G.pth")
    ours = load_generator(GlobalGenerator(3, 3, 8, 2, 2), tmp_path / "latest_net_G.pth")
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.allclose(ours(image), theirs.model(image), atol=1e-6)


def test_published_weights_of_another_size_are_refused(tmp_path):
    torch.save(published_generator(blocks=3).state_dict(), tmp_path / "g.pth")
    with pytest.raises(InputError, match="do not fit"):
        load_generator(GlobalGenerator(3, 3, 8, 2, 2), tmp_path / "g.pth")


def test_own_weights_come_back(tmp_path):
    network = GlobalGenerator(1, 2, 8, 1, 1, "interpolate", affine=True, residual=True, change_range=2.0)
    nn.init.normal_(network.head[1].weight)
    save_weights(network, tmp_path / "model.pt", half=False)
    other = load_generator(GlobalGenerator(1, 2, 8, 1, 1, "interpolate", True, True, 2.0), tmp_path / "model.pt")
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(network(image), other(image))


@pytest.mark.parametrize("kind", [GlobalGenerator, LocalEnhancer])
def test_residual_generator_starts_as_identity_and_keeps_its_bound(kind):
    network = kind(1, 3, 4, 1, 1, upsampling="interpolate", residual=True, change_range=0.5)
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(image), image.expand(-1, 3, -1, -1))
        nn.init.normal_(network.head[1].weight, 0, 10)
        assert (network(image) - image).abs().max() <= 0.5 + 1e-6


def test_one_channel_feeds_a_network_of_three():
    network = GlobalGenerator(3, 3, 4, 1, 1)
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(network(image), network(image.expand(-1, 3, -1, -1)))


def test_generator_starts_from_one_whose_head_does_not_see_the_image(tmp_path):
    plain = GlobalGenerator(1, 3, 4, 1, 1, residual=True)
    nn.init.normal_(plain.head[1].weight)
    save_weights(plain, tmp_path / "model.pt", half=False)
    wider = initialize_generator(
        GlobalGenerator(1, 3, 4, 1, 1, residual=True, image_to_head=True), tmp_path / "model.pt"
    )
    image = torch.rand(1, 1, 16, 16)
    assert torch.allclose(plain(image), wider(image), atol=1e-6)
    with pytest.raises(InputError, match="do not fit"):
        load_generator(GlobalGenerator(1, 3, 4, 1, 1, residual=True, image_to_head=True), tmp_path / "model.pt")
