"""LPIPS as a metric: both kinds of file, scales, volumes, regions."""

import pytest
import torch

from common.errors import InputError
from common.io.files import sha256_of_file
from common.metrics.learned_distance import LearnedDistance, learned_distance
from common.metrics.slicewise import slice_learned_distance
from tests.networks.test_lpips import AUTHORS, images, published_files


class Difference(torch.nn.Module):
    """In place of LPIPS: mean absolute difference of what it is shown."""

    def forward(self, first, second):
        return (first - second).abs().flatten(1).mean(1)


@pytest.fixture
def difference(tmp_path):
    torch.jit.save(torch.jit.script(Difference()), str(tmp_path / "net.ts"))
    return learned_distance(str(tmp_path / "net.ts"), sha256_of_file(tmp_path / "net.ts"))


def test_published_files_by_hash_give_the_authors_distances(tmp_path):
    backbone, heads = published_files("alex", tmp_path)
    hashes = sha256_of_file(backbone), sha256_of_file(heads)
    distance = LearnedDistance(str(backbone), hashes[0], str(heads), hashes[1], batch=1)
    assert distance(*images()).tolist() == pytest.approx(AUTHORS["alex"], rel=1e-5)
    assert distance.sha256 == "+".join(hashes)
    assert distance.name == "LPIPS 0.1 (alex)"
    with pytest.raises(InputError, match="another file than the one meant"):
        LearnedDistance(str(backbone), hashes[0], str(heads), "0" * 64)
    with pytest.raises(InputError, match="state that hash"):
        LearnedDistance(str(backbone))


def test_missing_heads_say_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ONCOSYNTH_WEIGHTS", str(tmp_path / "weights"))
    backbone, _ = published_files("vgg16", tmp_path)
    with pytest.raises(InputError, match="vgg.pth: no such weight file; get it from https"):
        LearnedDistance(str(backbone), sha256_of_file(backbone))


def test_torchscript_of_the_whole_network(tmp_path, difference):
    backbone, heads = published_files("alex", tmp_path)
    plain = LearnedDistance(str(backbone), sha256_of_file(backbone), str(heads), sha256_of_file(heads))
    traced = torch.jit.trace(plain.network, tuple(part.repeat(1, 3, 1, 1) for part in images()))
    torch.jit.save(traced, str(tmp_path / "lpips.ts"))
    scripted = LearnedDistance(str(tmp_path / "lpips.ts"), sha256_of_file(tmp_path / "lpips.ts"))
    assert scripted(*images()).tolist() == pytest.approx(AUTHORS["alex"], rel=1e-5)
    assert learned_distance(None, None) is None


def test_images_go_in_from_minus_one_to_one_and_volumes_by_slices(difference):
    zeros = torch.zeros(2, 1, 4, 4)
    assert difference(zeros, zeros + 0.5).tolist() == [1.0, 1.0]
    volumes = torch.zeros(2, 1, 4, 4, 3)
    other = volumes.clone()
    other[1, ..., 2] = 1.0  # one of three slices is off by 2
    assert difference(volumes, other).tolist() == pytest.approx([0.0, 2 / 3])


def test_region_is_shown_on_the_references_scale(difference):
    reference, region = torch.zeros(1, 4, 4, 2), torch.zeros(4, 4, 2, dtype=torch.bool)
    region[:2, :, 0] = True
    reference[0, 0, :, 0] = 1.0  # the region holds 0 and 1, so that -1 and 1 are shown
    image = reference.clone()
    image[0, 0, 0, 0] = 0.5  # shown as 0 in place of 1: one of 16 pixels is off by 1
    image[0, 3] = 9.0  # outside
    assert float(slice_learned_distance(difference, image, reference, region)) == pytest.approx(1 / 16, abs=1e-3)
