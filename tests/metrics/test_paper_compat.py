import numpy as np
import pytest
import torch
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from common.errors import InputError
from common.metrics.paper_compat import published_errors, published_slice


def images(shape=(40, 30, 3)):
    rng = np.random.default_rng(2)
    second = rng.gamma(2, 300, shape)
    return torch.from_numpy(second + rng.normal(0, 60, shape)), torch.from_numpy(second)


def resized(image, size):
    """Stretch and half-pixel bilinear resize with NumPy alone."""
    stretched = np.rint((image - image.min()) / (image.max() - image.min()) * 255)
    for axis in (0, 1):
        side = stretched.shape[axis]
        at = (np.arange(size) + 0.5) * side / size - 0.5
        stretched = np.apply_along_axis(
            lambda line, at=at, side=side: np.interp(at, np.arange(side), line), axis, stretched
        )
    return np.rint(stretched).astype(np.uint8)


@pytest.mark.parametrize("size", [64, 23])
def test_against_numpy_with_eight_bit_arithmetic(size):
    first, second = images()
    found = published_errors(first, second, size)
    for z in range(3):
        a, b = resized(first[..., z].numpy(), size), resized(second[..., z].numpy(), size)
        assert np.array_equal(published_slice(first[..., z], size).numpy(), a)
        wide = (a.astype(int) - b.astype(int)) % 256
        mse = (wide * wide % 256).mean()
        assert float(found.mae[z]) == pytest.approx(wide.mean())
        assert float(found.mse[z]) == pytest.approx(mse)
        span = int(b.max()) - int(b.min())
        assert float(found.psnr[z]) == pytest.approx(10 * np.log10(span**2 / mse))


def test_by_hand():
    # 8 bits: (0, 255, 51, 51) and (0, 255, 54, 31): differences 0, 0, 253, 20; squares 0, 0, 9, 400 mod 256 = 144.
    first, second = torch.tensor([[0.0, 255], [51, 51]]), torch.tensor([[0.0, 255], [54, 31]])
    found = published_errors(first, second, 2)
    assert found.mae.tolist() == [(253 + 20) / 4]
    assert found.mse.tolist() == [(9 + 144) / 4]
    assert found.psnr.tolist() == pytest.approx([10 * np.log10(255**2 / 38.25)])
    assert published_errors(second, first, 2).mae.tolist() == [(3 + 236) / 4]


def test_both_orders_add_up_to_the_share_of_different_pixels():
    first, second = images()
    both = published_errors(first, second, 40).mae + published_errors(second, first, 40).mae
    for z in range(3):
        share = (published_slice(first[..., z], 40) != published_slice(second[..., z], 40)).double().mean()
        assert float(both[z]) == pytest.approx(256 * float(share))


def test_torchmetrics_wraps_alike():
    first, second = (published_slice(image[..., 0], 32) for image in images())
    ours = published_errors(*(image[..., 0] for image in images()), 32)
    if (first < second).any() and MeanAbsoluteError()(first, second) == (first.double() - second).abs().mean():
        pytest.skip("this version of torchmetrics casts before it subtracts")
    assert float(MeanAbsoluteError()(first, second)) == pytest.approx(float(ours.mae[0]))
    assert float(MeanSquaredError()(first, second)) == pytest.approx(float(ours.mse[0]))


def test_equal_and_constant_slices():
    image = images()[0]
    found = published_errors(image, image, 16)
    assert found.mae.tolist() == found.mse.tolist() == [0, 0, 0]
    assert torch.isinf(found.psnr).all()
    assert not published_slice(torch.full((4, 4), 7), 8).any()


@pytest.mark.parametrize(
    ("first", "second", "size", "message"),
    [
        (torch.ones(3, 3), torch.ones(3, 4), 512, "two slices"),
        (torch.ones(1, 3, 3, 3), torch.ones(1, 3, 3, 3), 512, "two slices"),
        (torch.ones(3, 3), torch.ones(3, 3), 0, "size=0"),
        (torch.full((3, 3), float("nan")), torch.ones(3, 3), 8, "NaN"),
    ],
)
def test_wrong_images_are_refused(first, second, size, message):
    with pytest.raises(InputError, match=message):
        published_errors(first, second, size)
