"""The FID network against torch-fidelity's, with the same seeded weights."""

import pytest
import torch
from torch.nn import functional

from common.networks.fid_inception import LAYERS, FidInception, resize_like_tensorflow_1

from .seeded_weights import seeded_state

# torch-fidelity 0.4.0 on torch 2.13.0, its weight file holding seeded_state(FidInception().state_dict()), x as below:
# FeatureExtractorInceptionV3("x", ["64", "192", "768", "2048"], feature_extractor_weights_path=file)(x.to(torch.uint8))
# first three features of the second image, mean of all.
TORCH_FIDELITY = {
    64: ([0.39491, 0.127445, 0.21349], 0.3284312),
    192: ([0.000924, 0.887492, 0.621336], 0.5971845),
    768: ([3.994057, 0.0, 0.000965], 0.9849883),
    2048: ([1.81674, 0.0, 0.149476], 1.8069872),
}


@pytest.fixture(scope="module")
def state():
    return seeded_state(FidInception().state_dict())


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 1, 40, 57), generator=generator).float().repeat(1, 3, 1, 1)


def features(layer, state, images):
    network = FidInception(layer).eval()
    network.load_state_dict(state)
    with torch.no_grad():
        return network(images)


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_equals_torch_fidelity(layer, state, images):
    found = features(layer, state, images)
    first, mean = TORCH_FIDELITY[layer]
    assert found.shape == (2, layer)
    assert found[1, :3].tolist() == pytest.approx(first, rel=1e-5, abs=2e-6)
    assert float(found.double().mean()) == pytest.approx(mean, rel=1e-6)


def test_equals_torch_fidelity_where_it_is_installed(state, images, tmp_path):
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", exc_type=ImportError)
    torch.save(state, tmp_path / "weights.pth")
    names = [str(layer) for layer in LAYERS]
    extractor = theirs.FeatureExtractorInceptionV3("x", names, feature_extractor_weights_path=tmp_path / "weights.pth")
    for layer, expected in zip(LAYERS, extractor(images.to(torch.uint8)), strict=True):
        assert torch.allclose(features(layer, state, images), expected, rtol=1e-5, atol=1e-6)


def test_resize_by_hand():
    row = torch.tensor([0.0, 10.0, 20.0, 40.0]).view(1, 1, 1, 4).repeat(1, 1, 4, 1)
    # Pixel i lies at i * 4 / 6: 0, 2/3, 4/3, 2, 8/3, 10/3, the last beyond the last pixel's centre.
    expected = torch.tensor([0.0, 20 / 3, 40 / 3, 20.0, 100 / 3, 40.0])
    assert torch.allclose(resize_like_tensorflow_1(row, 6)[0, 0, 3], expected, atol=1e-5)
    usual = functional.interpolate(row, (6, 6), mode="bilinear")
    assert not torch.allclose(resize_like_tensorflow_1(row, 6), usual, atol=0.5)


def test_layers_are_those_of_the_graph():
    with pytest.raises(ValueError, match="layer 100"):
        FidInception(100)
