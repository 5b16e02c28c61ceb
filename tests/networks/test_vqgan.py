"""The VQ-GAN: sizes of the paper, the quantiser against a plain computation, the interface of a first stage."""

import pytest
import torch
from torch import nn

from common.networks import vector_quantizer
from common.networks.vector_quantizer import VectorQuantizer
from common.networks.vqgan import VQGAN

TINY = {"channels": (8, 16), "norm_num_groups": 4, "num_embeddings": 32, "num_res_blocks": 1}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_network_has_the_papers_size_and_shapes():
    with torch.device("meta"):
        network = VQGAN()
        latent, deviation = network.encode(torch.zeros(1, 1, 256, 256))
        assert network.decode_quantized(latent).shape == (1, 1, 256, 256)
    assert count(network.encoder) == 1_336_483
    assert count(network.decoder) == 2_001_665
    assert count(network.quantizer) == 24_576
    assert count(network) == 3_362_748
    assert latent.shape == deviation.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_interface_of_a_first_stage(patch_size):
    torch.manual_seed(0)
    network = VQGAN(patch_size=patch_size, **TINY)
    image = torch.rand(2, 1, 16, 24)
    latent, deviation = network.encode(image)
    grid = (16 // (2 * patch_size), 24 // (2 * patch_size))
    assert latent.shape == (2, network.latent_channels, *grid)
    assert not deviation.any()
    reconstruction, loss, indices = network(image)
    assert reconstruction.shape == image.shape
    assert loss.shape == ()
    assert indices.shape == (2, *grid)
    assert torch.equal(network.decode(latent), reconstruction)
    assert not torch.equal(network.decode_quantized(latent), reconstruction)
    assert network.last_layer.weight.shape[0] == patch_size**2


def test_patches_are_folded_and_unfolded_in_the_same_order():
    network = VQGAN(patch_size=2, **TINY)
    network.encoder, network.quant_conv = nn.Identity(), nn.Identity()
    network.decoder, network.post_quant_conv = nn.Identity(), nn.Identity()
    image = torch.rand(2, 1, 8, 8)
    folded = network.encode(image)[0]
    assert torch.equal(folded[:, 1], image[:, 0, ::2, 1::2])
    assert torch.equal(network.decode_quantized(folded), image)


def test_middle_has_two_residual_blocks_and_no_attention():
    # Two levels of one block (decoder: two) and two blocks in the middle, two norms each; one more norm at the end.
    network = VQGAN(**TINY)
    for half, blocks in ((network.encoder, 2 * 1 + 2), (network.decoder, 2 * 2 + 2)):
        norms = [m for m in half.modules() if isinstance(m, nn.GroupNorm)]
        assert len(norms) == 2 * blocks + 1
        assert {norm.eps for norm in norms} == {1e-6}
        assert not any("ttention" in type(m).__name__ for m in half.modules())
        assert [type(block) for block in half.blocks[-3:-1]] == [nn.GroupNorm, nn.SiLU]


def test_nearest_entry_by_brute_force_whatever_the_chunks(monkeypatch):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(50, 3)
    nn.init.normal_(quantizer.embedding.weight, 5.0)
    latent = 5 + torch.randn(2, 3, 5, 7)
    distances = (latent.double()[:, :, None] - quantizer.embedding.weight.double().T[None, :, :, None, None]).norm(
        dim=1
    )
    expected = distances.argmin(1)
    quantized, _, indices = quantizer(latent)
    assert torch.equal(indices, expected)
    assert torch.allclose(quantized, quantizer.embedding.weight[expected].permute(0, 3, 1, 2), atol=1e-6)
    monkeypatch.setattr(vector_quantizer, "DISTANCES_AT_ONCE", 130)  # two vectors at a time
    assert torch.equal(quantizer.nearest(latent), expected)


def test_codebook_starts_within_the_originals_range():
    weight = VectorQuantizer(100, 3).embedding.weight
    assert 0.009 < weight.abs().max() <= 0.01


def test_gradients_pass_straight_through_and_beta_lies_on_the_codebooks_part():
    quantizer = VectorQuantizer(2, 1)
    with torch.no_grad():
        quantizer.embedding.weight.copy_(torch.tensor([[0.0], [5.0]]))
    latent = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2).requires_grad_()
    quantized, loss, indices = quantizer(latent)
    assert indices.flatten().tolist() == [0, 0]
    assert float(loss.detach()) == pytest.approx(1.25 * (1 + 4) / 2)
    loss.backward()
    assert latent.grad.flatten().tolist() == pytest.approx([1.0, 2.0])
    assert quantizer.embedding.weight.grad.flatten().tolist() == pytest.approx([-0.25 * 3.0, 0.0])
    latent.grad = quantizer.embedding.weight.grad = None
    (3 * quantizer(latent)[0]).sum().backward()
    assert latent.grad.flatten().tolist() == [3.0, 3.0]
    assert quantizer.embedding.weight.grad is None


def test_quantiser_stays_in_full_precision_under_autocast():
    torch.manual_seed(0)
    network = VQGAN(**TINY)
    with torch.autocast("cpu", torch.bfloat16):
        latent, _ = network.encode(torch.rand(1, 1, 16, 16))
        quantized, loss, indices = network.quantize(latent)
        reconstruction, *_ = network(torch.rand(1, 1, 16, 16))
    assert latent.dtype == reconstruction.dtype == torch.bfloat16
    assert quantized.dtype == loss.dtype == torch.float32
    assert torch.equal(indices, network.quantize(latent.float())[2])
