"""Extractors: what they do to images, that both kinds of file agree, and what they refuse."""

import pytest
import torch

from common.errors import InputError
from common.io.files import sha256_of_file
from common.metrics.features import FeatureExtractor
from common.metrics.pretrained_features import MedicalNetFeatures, load_extractor
from common.networks.fid_inception import FidInception
from common.networks.medicalnet import standardize_volumes
from common.networks.radimagenet import FROM_KERAS, subtract_means
from common.networks.residual_backbone import ResidualBackbone, ResidualLayout
from tests.networks.seeded_weights import seeded_state

SMALL = ResidualLayout(3, 1, (1, 1, 1, 1), bottleneck=False, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """By extractor: network, state-dict file, and TorchScript of the same network."""
    folder = tmp_path_factory.mktemp("weights")
    made = {}
    for name, network, shape in (
        ("inception", FidInception(64), (2, 3, 40, 48)),
        ("radimagenet", ResidualBackbone(FROM_KERAS), (2, 3, 40, 48)),
        ("medicalnet", ResidualBackbone(SMALL), (1, 1, 20, 24, 16)),
    ):
        network.load_state_dict(seeded_state(network.state_dict()))
        network.eval()
        torch.save(network.state_dict(), folder / f"{name}.pth")
        with torch.no_grad():
            torch.jit.save(torch.jit.trace(network, torch.rand(shape)), str(folder / f"{name}.ts"))
        made[name] = (network, folder / f"{name}.pth", folder / f"{name}.ts")
    return made


def extractor(files, name, kind=0, **arguments):
    path = files[name][1 + kind]
    return load_extractor(name, path, sha256_of_file(path), **arguments)


def images(name, count=3):
    shape = (20, 24, 16) if name == "medicalnet" else (40, 48)
    return torch.rand(count, 1, *shape, generator=torch.Generator().manual_seed(0))


def prepared(name, batch):
    if name == "inception":
        return (batch * 255).round().repeat(1, 3, 1, 1)
    return subtract_means(batch) if name == "radimagenet" else standardize_volumes(batch)


@pytest.mark.parametrize(
    ("name", "layer", "features", "dims"),
    [("inception", 64, 64, 2), ("radimagenet", None, 2048, 2), ("medicalnet", None, 512, 3)],
)
def test_state_dict_and_torchscript_give_the_networks_features(files, name, layer, features, dims):
    first, second = extractor(files, name, layer=layer), extractor(files, name, kind=1)
    batch = images(name, 2)
    found = first(batch)
    with torch.no_grad():
        expected = files[name][0](prepared(name, batch))
    expected = expected.flatten(2).mean(-1) if expected.ndim > 2 else expected
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(second(batch), found, rtol=1e-4, atol=1e-5)
    assert torch.equal(first(batch), found)
    for one in (first, second):
        assert isinstance(one, FeatureExtractor)
        assert (one.num_features, one.spatial_dims) == (features, dims)
        assert "pretrained on" in one.name
    assert first.sha256 == sha256_of_file(files[name][1])
    assert second.sha256 == sha256_of_file(files[name][2])


def test_batches_larger_than_the_extractors_own_give_the_same(files):
    found = extractor(files, "inception", layer=64)
    batch = images("inception", 5)
    together = found(batch)
    found.batch = 2
    assert found(batch).shape == (5, 64)
    assert torch.allclose(found(batch), together, rtol=1e-5, atol=1e-6)


def test_inception_sees_what_eight_bits_hold(files):
    found = extractor(files, "inception", layer=64)
    batch = images("inception", 1)
    assert torch.equal(found(batch + 3), found(torch.ones_like(batch)))  # beyond the scale: clipped
    eight = (batch * 255).round() / 255
    assert torch.equal(found(batch), found(eight))


def test_medicalnet_does_not_see_the_scale(files):
    found = extractor(files, "medicalnet")
    batch = images("medicalnet", 2)
    assert isinstance(found, MedicalNetFeatures)
    assert torch.allclose(found(batch), found(0.2 * batch + 0.5), rtol=1e-3, atol=1e-4)
    assert torch.allclose(found(batch)[1:], found(batch[1:]), rtol=1e-5, atol=1e-6)


def test_stylegans_file_is_asked_for_features_of_bytes(tmp_path):
    class Like(torch.nn.Module):
        """With the signature of StyleGAN's file."""

        def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            if img.dtype != torch.uint8:
                raise RuntimeError("bytes are expected")
            return img.flatten(1)[:, :5].float() if return_features else img.float()

    torch.jit.save(torch.jit.script(Like()), str(tmp_path / "inception.pt"))
    path, sha256 = tmp_path / "inception.pt", sha256_of_file(tmp_path / "inception.pt")
    batch = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).view(1, 1, 1, 5)
    assert load_extractor("inception", path, sha256)(batch).tolist() == [[0.0, 64.0, 128.0, 191.0, 255.0]]
    with pytest.raises(InputError, match="gives 5 features, layer 2048"):
        load_extractor("inception", path, sha256, layer=2048)(batch)


def test_random_is_taken_only_where_it_is_asked_for():
    found = load_extractor("random", seed=4)
    assert "not pretrained" in found.name
    assert (found.num_features, found.spatial_dims) == (32, 2)
    assert load_extractor("random", spatial_dims=3).spatial_dims == 3
    assert found(torch.rand(2, 1, 32, 32)).shape == (2, 32)


def test_any_torchscript_is_taken_by_hash_only(files):
    path = files["radimagenet"][2]
    found = load_extractor("torchscript", path, sha256_of_file(path), spatial_dims=2)
    assert found.num_features is None
    assert found(images("radimagenet", 2)).shape == (2, 2048)
    assert (found.num_features, found.spatial_dims) == (2048, 2)
    with pytest.raises(InputError, match="state that hash"):
        load_extractor("torchscript", path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "inceptoin"}, "choose one of inception, radimagenet"),
        ({"name": "random", "path": "net.pth"}, "takes no weight file"),
        ({"name": "radimagenet", "layer": 64}, "has no layers"),
        ({"name": "inception", "layer": 100}, "64, 192, 768, 2048"),
        ({"name": "torchscript"}, "name one by its path"),
    ],
)
def test_wrong_arguments_are_told(arguments, message):
    with pytest.raises(InputError, match=message):
        load_extractor(**arguments)


def test_images_of_other_dimensions_are_told(files):
    with pytest.raises(InputError, match="take slices"):
        extractor(files, "inception")(images("medicalnet"))
    with pytest.raises(InputError, match=r"\(B, 1, X, Y, Z\)"):
        extractor(files, "medicalnet")(images("inception"))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["inception", "radimagenet", "medicalnet"])
def test_cuda_gives_the_same_features(files, name):
    batch = images(name, 2)
    on_cpu, on_cuda = extractor(files, name)(batch), extractor(files, name, device="cuda")(batch)
    assert on_cuda.device.type == "cpu"
    assert float((on_cpu - on_cuda).abs().max() / on_cpu.abs().max()) < 1e-4
