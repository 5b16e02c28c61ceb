"""Where bilateral volumes are cut, and the bias field that is taken out before."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.phantoms.breast_dce import make_breast_dce
from common.transforms.bias_field import CorrectBiasFieldd, correct_bias_field
from common.transforms.breast_sides import breast_sides

SPACING = (2.65, 2.65, 4.0)


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("phase", [0, 1])
def test_the_cut_lies_between_the_breasts(seed, phase):
    phantom = make_breast_dce(seed)
    image, breast = (array[::-1, ::-1] for array in (phantom.image[phase], phantom.breast))
    sides = breast_sides(image, SPACING)
    assert list(sides) == ["R", "L"]
    (first, cut), (start, end) = sides.values()
    assert (first, start, end) == (0, cut, image.shape[0])
    # Fewer breast voxels at the cut than anywhere else near it, and both breasts on their own side.
    columns = breast.sum(axis=(1, 2))
    assert columns[cut] <= 0.2 * columns.max()
    assert min(columns[:cut].sum(), columns[cut:].sum()) > 0.35 * columns.sum()


def test_one_breast_stays_whole():
    phantom = make_breast_dce(11)
    image = phantom.image[0][::-1, ::-1]
    assert breast_sides(image[:62], SPACING) == {"B": (0, 62)}


def test_bias_field_is_taken_out():
    rng = np.random.default_rng(0)
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (48, 40, 24)], indexing="ij"))
    inside = (points**2).sum(0) < 0.8
    clean = inside * (100.0 + 20.0 * (points[0] > 0.2)) + rng.normal(0, 1, inside.shape).clip(0)
    field = np.exp(0.4 * points[0] * points[1] + 0.3 * points[2])
    corrected = correct_bias_field(clean * field, (2, 2, 3))
    flat = inside & (points[0] < 0)

    def spread(image):
        return image[flat].std() / image[flat].mean()

    assert spread(clean * field) > 0.12
    assert spread(corrected) < 0.4 * spread(clean * field)
    assert corrected.dtype == np.float32
    assert np.array_equal(corrected, correct_bias_field(clean * field, (2, 2, 3)))


def test_images_without_a_field_stay_as_they_are():
    for image in (np.full((8, 8, 8), 3.0), np.random.default_rng(0).random((8, 8, 2))):
        assert np.array_equal(correct_bias_field(image, (1, 1, 1)), image.astype(np.float32))
    volume = MetaTensor(torch.rand(1, 12, 12, 8), affine=torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0])))
    kept = CorrectBiasFieldd("image", enabled=False)({"image": volume})["image"]
    assert torch.equal(kept, volume)
    changed = CorrectBiasFieldd("image")({"image": volume.clone()})["image"]
    assert changed.shape == volume.shape and torch.equal(changed.affine, volume.affine)
