import pytest
import torch

from common.errors import InputError
from common.networks.mammogram_reader import MammogramReader, OneHead

HEADS = {"view": 2, "vendor": 3}


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return MammogramReader(HEADS).eval()


def test_logits_by_head_and_size(reader):
    logits = reader(torch.rand(2, 1, 64, 48) * 2 - 1)
    assert {name: tuple(values.shape) for name, values in logits.items()} == {"view": (2, 2), "vendor": (2, 3)}
    assert 100_000 < sum(p.numel() for p in reader.parameters()) < 200_000
    assert reader.features(torch.zeros(1, 1, 64, 48)).shape == (1, 64, 8, 6)
    assert MammogramReader(HEADS, downsamplings=4).features(torch.zeros(1, 1, 64, 64)).shape == (1, 64, 4, 4)


def test_state_dict_goes_through_a_strict_load(reader):
    other = MammogramReader(HEADS).eval()
    image = torch.rand(1, 1, 32, 32)
    assert not torch.equal(other(image)["view"], reader(image)["view"])
    other.load_state_dict(reader.state_dict())
    assert torch.equal(other(image)["view"], reader(image)["view"])


def test_absolute_grey_values_reach_the_heads(reader):
    """A normalised first layer would make the two images alike."""
    image = torch.rand(1, 1, 32, 32) * 0.5
    assert not torch.allclose(reader(image)["view"], reader(image - 0.5)["view"], atol=1e-3)


def test_it_learns_a_small_bright_spot_and_the_overall_brightness_at_once():
    torch.manual_seed(1)
    reader = MammogramReader({"spot": 2, "bright": 2}, channels=(8, 8, 16), groups=4)
    optimizer = torch.optim.AdamW(reader.parameters(), 3e-3)

    def batch(count):
        spot, bright = torch.randint(0, 2, (count,)), torch.randint(0, 2, (count,))
        images = torch.randn(count, 1, 32, 32) * 0.1 - 0.5 + 0.3 * bright.view(-1, 1, 1, 1)
        for index in range(count):
            x, y = torch.randint(0, 28, (2,)).tolist()
            images[index, 0, y : y + 4, x : x + 4] += 0.8 * spot[index]
        return images, {"spot": spot, "bright": bright}

    for _ in range(40):
        images, truth = batch(32)
        logits = reader(images)
        loss = sum(torch.nn.functional.cross_entropy(logits[name], truth[name]) for name in truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, truth = batch(200)
    logits = reader.eval()(images)
    for name in truth:
        assert (logits[name].argmax(1) == truth[name]).float().mean() > 0.95


def test_one_head_is_that_head(reader):
    image = torch.rand(3, 1, 32, 32)
    assert torch.equal(OneHead(reader, "vendor")(image), reader(image)["vendor"])
    assert "reader.features" in dict(OneHead(reader, "vendor").named_modules())
    with pytest.raises(InputError, match="head laterality: the reader has view, vendor"):
        OneHead(reader, "laterality")


def test_places_are_read_where_they_are():
    torch.manual_seed(0)
    reader = MammogramReader(HEADS, places=3).eval()
    image = torch.full((1, 1, 64, 64), -0.5)
    logits = reader(image)
    assert list(logits) == ["view", "vendor", "places"] and logits["places"].shape == (1, 3, 8, 8)
    assert reader(torch.zeros(1, 1, 60, 44))["places"].shape == (1, 3, 8, 6)
    with pytest.raises(InputError, match="head places"):
        OneHead(reader, "places")


@pytest.mark.parametrize(("pooling", "size"), [("mean", 64), ("max", 64), ("both", 128)])
def test_pooling_is_what_the_heads_see(pooling, size):
    torch.manual_seed(0)
    reader = MammogramReader(HEADS, pooling=pooling).eval()
    assert reader.heads["view"].in_features == size
    image = torch.rand(1, 1, 32, 32)
    features = reader.features(image)
    mean, largest = features.mean((2, 3)), features.amax((2, 3))
    pooled = {"mean": mean, "max": largest, "both": torch.cat([mean, largest], 1)}[pooling]
    assert torch.allclose(reader(image)["view"], reader.heads["view"](pooled))


@pytest.mark.parametrize(
    "options",
    [
        {"heads": {}},
        {"heads": {"view": 1}},
        {"heads": {"places": 2}},
        {"pooling": "median"},
        {"channels": (10, 20)},
        {"channels": (8,), "downsamplings": 2},
    ],
)
def test_sizes_that_do_not_fit_are_refused(options):
    with pytest.raises(InputError):
        MammogramReader(**{"heads": HEADS, **options})
