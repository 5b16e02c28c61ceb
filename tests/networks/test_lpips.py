"""LPIPS against the authors' package and torchmetrics, with the same seeded weights."""

import pytest
import torch

from common.errors import InputError
from common.networks.lpips import Lpips, load_heads, load_lpips

from .seeded_weights import seeded_state

# lpips 0.1.4 and torchmetrics 1.9.0 (both give these digits) on torch 2.13.0, backbone and heads as below:
# lpips.LPIPS(net=kind, pnet_rand=True)(first.repeat(1, 3, 1, 1), second.repeat(1, 3, 1, 1), normalize=True)
AUTHORS = {
    "alex": [0.21741384267807007, 0.2225179672241211],
    "vgg16": [0.1866132915019989, 0.1883866935968399],
}


def published_files(kind, folder):
    """Backbone and heads in the published layouts, seeded."""
    network = Lpips(kind)
    features = {key: value for key, value in network.state_dict().items() if key.startswith("features")}
    backbone = {**seeded_state(features), "classifier.1.weight": torch.zeros(1)}
    shapes = {f"lin{n}.model.1.weight": head.shape for n, head in enumerate(network.heads)}
    heads = {key: value.abs() for key, value in seeded_state(shapes, seed=1).items()}
    torch.save(backbone, folder / f"{kind}.pth")
    torch.save(heads, folder / f"{kind}_heads.pth")
    return folder / f"{kind}.pth", folder / f"{kind}_heads.pth"


def images():
    generator = torch.Generator().manual_seed(2)
    return [torch.rand(2, 1, 64, 72, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("kind", ["alex", "vgg16"])
def test_distances_equal_the_authors_package(kind, tmp_path):
    backbone, heads = published_files(kind, tmp_path)
    network = load_heads(load_lpips(backbone), heads)
    first, second = (2 * part.repeat(1, 3, 1, 1) - 1 for part in images())
    assert network.kind == kind
    assert network(first, second).tolist() == pytest.approx(AUTHORS[kind], rel=1e-5)
    assert network(first, first).tolist() == [0.0, 0.0]


def test_equals_torchmetrics_where_torchvision_works(tmp_path):
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    from torchmetrics.functional.image.lpips import _LPIPS

    backbone, heads = published_files("alex", tmp_path)
    theirs = _LPIPS(pretrained=False, net="alex", pnet_rand=True).eval()
    weights = torch.load(backbone)
    theirs.net.load_state_dict({key: weights["features." + key.split(".", 1)[1]] for key in theirs.net.state_dict()})
    theirs.load_state_dict(torch.load(heads), strict=False)
    first, second = (2 * part.repeat(1, 3, 1, 1) - 1 for part in images())
    ours = load_heads(load_lpips(backbone), heads)(first, second)
    assert torch.allclose(ours, theirs(first, second).flatten(), rtol=1e-5)


def test_other_backbones_and_other_heads_are_refused(tmp_path):
    backbone, _ = published_files("alex", tmp_path)
    _, heads = published_files("vgg16", tmp_path)
    with pytest.raises(InputError, match="do not fit"):
        load_heads(load_lpips(backbone), heads)
    with pytest.raises(InputError, match="neither torchvision's AlexNet"):
        load_lpips(heads)
