import pytest
import torch

from common.errors import InputError
from common.io.files import sha256_of_file
from common.losses.autoencoder import AutoencoderLoss, PerceptualTerm, kl_divergence
from common.metrics.features import FeatureExtractor, RandomConvolutionFeatures, TorchScriptFeatures


@pytest.fixture
def network_file(tmp_path):
    path = tmp_path / "features.pt"
    torch.manual_seed(0)
    torch.jit.save(torch.jit.trace(torch.nn.Conv3d(1, 5, 3), torch.rand(1, 1, 8, 8, 8)), str(path))
    return path


def test_random_extractor_is_seeded_fulfils_the_protocol_and_says_what_it_is():
    first, second = RandomConvolutionFeatures(3, seed=1), RandomConvolutionFeatures(3, seed=1)
    volumes = torch.rand(2, 1, 16, 16, 16)
    assert isinstance(first, FeatureExtractor)
    assert torch.equal(first(volumes), second(volumes))
    assert first.sha256 == second.sha256 != RandomConvolutionFeatures(3, seed=2).sha256
    assert "not pretrained" in first.name


def test_network_file_is_taken_by_hash_only(network_file):
    extractor = TorchScriptFeatures(str(network_file), sha256_of_file(network_file), "test network")
    assert extractor(torch.rand(2, 1, 8, 8, 8)).shape == (2, 5)
    with pytest.raises(InputError, match="SHA-256"):
        TorchScriptFeatures(str(network_file), "0" * 64, "test network")
    with pytest.raises(InputError, match="no such network file"):
        TorchScriptFeatures("missing.pt", "0" * 64, "test network")


def test_perceptual_term_is_zero_for_equal_volumes_only_and_differentiable(network_file):
    term = PerceptualTerm(str(network_file), sha256_of_file(network_file))
    image = torch.rand(1, 4, 8, 8, 8)
    other = torch.rand(1, 4, 8, 8, 8, requires_grad=True)
    assert float(term(image, image)) == 0
    loss = term(other, image)
    loss.backward()
    assert float(loss) > 0
    assert other.grad.abs().sum() > 0


def test_perceptual_term_off_is_said(caplog):
    with caplog.at_level("INFO"):
        loss = AutoencoderLoss(perceptual=0.1, ssim=0)
    assert "perceptual term is off" in caplog.text
    image, mean, std = torch.rand(1, 4, 8, 8, 8), torch.zeros(1, 8, 2, 2, 2), torch.ones(1, 8, 2, 2, 2)
    assert set(loss((image, mean, std), (image, None))) == {"l1", "kl"}


def test_kl_and_region_weights_by_hand():
    assert float(kl_divergence(torch.tensor([1.0]), torch.tensor([2.0]))) == pytest.approx(
        0.5 * (1 + 4 - 1.3862944 - 1)
    )
    loss = AutoencoderLoss(l1=1.0, ssim=0, kl=0, region_weights={"3": 4.0})
    image = torch.zeros(1, 1, 2, 2, 2)
    mask = torch.zeros_like(image)
    mask[..., 0] = 3
    terms = loss((image + 1, torch.zeros(1), torch.ones(1)), (image, mask))
    assert float(terms["l1"]) == pytest.approx((4 * 4 + 4 * 1) / 8)
