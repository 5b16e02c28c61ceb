import numpy as np
import pytest
import torch
from torch import nn

from common.errors import InputError
from common.metrics.heat_maps import METHODS, energy_in, grad_cam, heat_maps, occlusion, pointing_game, saliency
from common.networks.mammogram_reader import MammogramReader, OneHead

LESION = (20, 34, 26, 40)  # x0, y0, x1, y1


def breast(size=64):
    """Tissue at -0.4 on the left half, air at -1 on the right, a bright lesion."""
    image = torch.full((1, size, size), -1.0)
    image[:, :, : size // 2] = -0.4
    x0, y0, x1, y1 = LESION
    image[:, y0:y1, x0:x1] = 0.6
    return image


class BrightSpots(nn.Module):
    """Logit of class 1: how much lies above 0, by one convolution that passes the image and one that smooths it."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ReLU())
        nn.init.constant_(self.features[0].weight, 1 / 9)
        nn.init.constant_(self.features[0].bias, 0.0)

    def forward(self, image):
        found = self.features(image).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(found), found], dim=1)


@pytest.fixture
def model():
    return BrightSpots()


def test_all_methods_point_at_what_the_network_looks_at(model):
    maps = heat_maps(model, breast(), 1, layer="features")
    assert tuple(maps) == METHODS
    for values in maps.values():
        assert values.shape == (64, 64) and values.dtype == np.float32
        assert values.min() >= 0 and values.max() == 1
        assert pointing_game(values, LESION, tolerance=1)
    assert energy_in(maps["grad_cam"], LESION) > 0.5
    assert energy_in(saliency(model, breast(), 1, num_samples=0), LESION) > 0.5


def test_saliency_is_the_gradient_worked_by_hand(model):
    """Each 3 x 3 window of stride 2 whose mean is above 0 gives 1/9 to the gradient of its pixels."""
    image = breast()
    gradient = np.zeros((64, 64))
    padded = np.pad(image[0].numpy(), 1)
    for row in range(0, 64, 2):
        for column in range(0, 64, 2):
            if padded[row : row + 3, column : column + 3].sum() > 0:
                gradient[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] += 1 / 9
    found = saliency(model, image, 1, num_samples=0)
    np.testing.assert_allclose(found, gradient / gradient.max(), atol=1e-6)


def test_grad_cam_is_the_feature_map_where_its_gradient_is_even(model):
    features = model.features(breast()[None]).detach()
    wide = nn.functional.interpolate(features, (64, 64), mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(grad_cam(model, breast(), 1, "features"), wide / wide.max(), atol=1e-6)


def test_grad_cam_of_a_reader_that_pools_the_largest_value_is_its_head_at_each_place():
    torch.manual_seed(0)
    reader = MammogramReader({"pathology": 2}, channels=(8, 8), groups=4, downsamplings=2, pooling="max").eval()
    found = grad_cam(OneHead(reader, "pathology"), breast(), 1)
    with torch.no_grad():
        weight = reader.heads["pathology"].weight[1].view(1, -1, 1, 1)
        told = (reader.features(breast()[None]) * weight).sum(1, keepdim=True).relu()
    wide = nn.functional.interpolate(told, (64, 64), mode="bilinear")[0, 0].numpy()
    assert wide.max() > 0
    np.testing.assert_allclose(found, wide / wide.max(), atol=1e-5)


def test_occlusion_worked_by_hand():
    """A network whose log-odds are the sum of one pixel: only squares over it matter, and all of them alike."""

    class OnePixel(nn.Module):
        def forward(self, image):
            found = image[:, :, 10, 21].sum(1)
            return torch.stack([torch.zeros_like(found), found], dim=1)

    image = breast()
    image[0, 10, 21] = 0.9
    found = occlusion(OnePixel(), image, 1, patch=4, overlap=0.0)
    expected = np.zeros((64, 64), np.float32)
    expected[8:12, 20:24] = 1
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # The other class gains where this one loses: nothing speaks for it.
    assert not occlusion(OnePixel(), image, 0, patch=4, overlap=0.0).any()


def test_occlusion_does_not_paint_into_the_air(model):
    """Covering air with tissue would lower nothing here; painting it would, had the network a liking for black."""

    class Dark(nn.Module):
        def forward(self, image):
            found = -image[:, 0, :, 32:].mean((1, 2))
            return torch.stack([torch.zeros_like(found), found], dim=1)

    assert not occlusion(Dark(), breast(), 1).any()
    everywhere = occlusion(Dark(), breast(), 1, region=np.ones((64, 64), bool))
    assert everywhere[:, 40:].min() > 0


def test_a_sure_classifier_still_has_an_occlusion_map(model):
    """At probabilities of exactly 1 in float32, log-odds still move."""

    class Sure(BrightSpots):
        def forward(self, image):
            return super().forward(image) + torch.tensor([0.0, 60.0])

    assert Sure()(breast()[None]).softmax(1)[0, 1] == 1.0
    assert pointing_game(occlusion(Sure(), breast(), 1), LESION)


def test_maps_are_the_same_each_time_and_leave_the_network_and_the_generator_alone():
    torch.manual_seed(0)
    reader = MammogramReader({"pathology": 2}, channels=(8, 8), groups=4, downsamplings=2)
    model = OneHead(reader, "pathology").train()
    model.requires_grad_(False)
    image, state = breast(), torch.get_rng_state()
    with torch.inference_mode():
        first = heat_maps(model, image, 1)
    second = heat_maps(model, image, 1)
    assert all(np.array_equal(first[name], second[name]) for name in METHODS)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and not any(p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert torch.equal(image, breast()) and not image.requires_grad
    other = saliency(model, image, 1, seed=1)
    assert not np.array_equal(other, saliency(model, image, 1, seed=2))


def test_pointing_game_by_hand():
    heat, mask = np.zeros((8, 8)), np.zeros((8, 8), bool)
    mask[2:4, 5:7] = True
    heat[3, 6] = 1.0
    assert pointing_game(heat, mask) and pointing_game(heat, (5, 2, 7, 4))
    heat[0, 6] = 2.0
    assert not pointing_game(heat, mask) and not pointing_game(heat, mask, tolerance=1.9)
    assert pointing_game(heat, mask, tolerance=2)
    # The last row and column of a box are excluded.
    assert not pointing_game(heat, (6, 1, 7, 3)) and pointing_game(heat, (6, 0, 7, 1))
    assert not pointing_game(np.zeros((8, 8)), np.ones((8, 8), bool))


def test_energy_by_hand():
    heat = np.array([[1.0, 3.0], [0.0, 4.0]])
    assert energy_in(heat, np.array([[False, True], [False, False]])) == pytest.approx(3 / 8)
    assert energy_in(heat, (1, 0, 2, 2)) == pytest.approx(7 / 8)
    assert energy_in(heat, (-5, -5, 99, 99)) == 1.0
    assert energy_in(np.zeros((2, 2)), (0, 0, 1, 1)) == 0.0


def test_what_does_not_fit_is_refused(model):
    heat = np.ones((8, 8))
    with pytest.raises(InputError, match="empty"):
        pointing_game(heat, np.zeros((8, 8), bool))
    with pytest.raises(InputError, match="empty"):
        energy_in(heat, (9, 9, 12, 12))
    with pytest.raises(InputError, match="another shape"):
        energy_in(heat, np.ones((4, 4), bool))
    with pytest.raises(InputError, match="classes 0 to 1"):
        saliency(model, breast(), 2)
    with pytest.raises(InputError, match=r"\(1, H, W\)"):
        occlusion(model, breast()[None], 1)
    with pytest.raises(InputError, match="layer reader"):
        grad_cam(model, breast(), 1)
    with pytest.raises(InputError, match="no pixel"):
        occlusion(model, torch.full((1, 64, 64), -1.0), 1)
