import numpy as np
import pytest

from common.errors import InputError
from common.transforms.mammogram_frame import MammogramFrame
from common.transforms.resampling import axis_overlaps, axis_weights

SIZES = [(97, 64), (300, 211), (128, 128), (61, 90), (40, 33)]


def smooth_image(shape):
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    return (0.5 + 0.3 * np.sin(5 * x + 1) * np.cos(4 * y)).astype(np.float32)


def box_mask(shape, x0, y0, x1, y1):
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def extent(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("place", ["letterbox", "crop", (10.0, -7.0, 50.0), (-3.0, 5.0, 39.0)])
def test_a_drawn_box_and_a_mapped_box_agree_within_a_pixel(shape, flip, place):
    options = {"fit": place} if isinstance(place, str) else {"box": place}
    frame = MammogramFrame(shape, 64, flip, **options)
    box = (11, 17, 24, 31)
    mapped = np.array(frame.box_to_network(*box))
    assert mapped[0] < mapped[2] and mapped[1] < mapped[3]
    drawn = frame.mask_to_network(box_mask(shape, *box))
    cut = np.clip(mapped, 0, 64)
    if (cut[2] - cut[0] > 0) and (cut[3] - cut[1] > 0):
        np.testing.assert_allclose(extent(drawn), cut, atol=1)
    else:
        assert not drawn.any()


def test_mirroring_swaps_the_ends_of_a_box():
    left = MammogramFrame((100, 80), 50, flip=False)
    right = MammogramFrame((100, 80), 50, flip=True)
    assert left.box_to_network(10, 20, 30, 60) == (5, 10, 15, 30)
    assert right.box_to_network(50, 20, 70, 60) == (5, 10, 15, 30)
    image = smooth_image((100, 80))
    np.testing.assert_array_equal(left.to_network(image), right.to_network(image[:, ::-1]))


def test_letterbox_keeps_the_chest_wall_at_the_left_edge_and_the_aspect():
    seen = MammogramFrame((128, 96), 64, flip=False).to_network(np.ones((128, 96)))
    assert (seen[:, :48] == 1).all() and (seen[:, 48:] == 0).all()
    wide = MammogramFrame((64, 128), 64, flip=True).to_network(np.ones((64, 128)))
    assert (wide[16:48] == 1).all() and wide.sum() == 32 * 64


def test_crop_keeps_the_middle_of_the_longer_side():
    image = np.repeat(np.arange(128.0)[:, None], 64, axis=1)
    seen = MammogramFrame((128, 64), 64, flip=False, fit="crop").to_network(image)
    np.testing.assert_allclose(seen[:, 5], np.arange(32, 96))


def test_a_close_up_shows_its_square_alone_and_nothing_beside_the_image():
    image = smooth_image((200, 100))
    seen = MammogramFrame((200, 100), 64, flip=False, box=(50, 20, 64)).to_network(image)
    np.testing.assert_allclose(seen, image[50:114, 20:84], atol=1e-6)
    beside = MammogramFrame((200, 100), 64, flip=False, box=(170, -20, 64)).to_network(image)
    np.testing.assert_allclose(beside[:30, 20:], image[170:, :44], atol=1e-6)
    assert (beside[30:] == 0).all() and (beside[:, :20] == 0).all()
    mirrored = MammogramFrame((200, 100), 64, flip=True, box=(50, 20, 64)).to_network(image)
    np.testing.assert_allclose(mirrored, image[50:114, 20:84][:, ::-1], atol=1e-6)


@pytest.mark.parametrize("offset", range(16))
def test_no_pixel_of_a_mask_ever_vanishes(offset):
    mask = np.zeros((512, 384), np.uint8)
    mask[100 + offset, 200 + offset] = 3
    small = MammogramFrame((512, 384), 32, flip=bool(offset % 2)).mask_to_network(mask)
    assert np.unique(small).tolist() == [0, 3]
    assert np.count_nonzero(small) == 1  # 16 divides the scale: one pixel is in one pixel


def test_of_two_regions_on_one_pixel_the_smaller_is_kept():
    mask = np.zeros((64, 64), np.uint8)
    mask[:40, :40], mask[10, 10] = 1, 2
    small = MammogramFrame((64, 64), 8, flip=False).mask_to_network(mask)
    assert small[1, 1] == 2 and small[0, 0] == 1 and small[7, 7] == 0


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_there_and_back_gives_a_smooth_image_again(shape, flip, kernel):
    image = smooth_image(shape)
    frame = MammogramFrame(shape, 96, flip)
    back = frame.to_file(frame.to_network(image), kernel)
    assert back.shape == shape and back.dtype == np.float32 and np.isfinite(back).all()
    inner = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(back[inner], image[inner], atol=0.01)


def test_a_close_up_goes_back_to_its_place_and_leaves_the_rest_empty():
    image = smooth_image((150, 90))
    frame = MammogramFrame((150, 90), 64, flip=True, box=(40, 30, 32))
    back = frame.to_file(frame.to_network(image))
    shown = frame.shown()
    assert shown.sum() == 32 * 32 and shown[40:72, 30:62].all()
    assert (back[~shown] == 0).all()
    np.testing.assert_allclose(back[44:68, 34:58], image[44:68, 34:58], atol=0.005)


def test_letterboxes_show_everything_and_crops_the_middle():
    assert MammogramFrame((101, 64), 32, flip=False).shown().all()
    shown = MammogramFrame((128, 64), 32, flip=False, fit="crop").shown()
    assert shown[32:96].all() and shown.sum() == 64 * 64


def test_fine_patterns_do_not_alias():
    stripes = np.tile(np.array([0.0, 1.0]), (512, 256))
    seen = MammogramFrame((512, 512), 100, flip=False).to_network(stripes)
    np.testing.assert_allclose(seen[:, 2:-2], 0.5, atol=0.06)


def test_pixel_size_follows_the_scale():
    assert MammogramFrame((1000, 800), 500, flip=False).network_pixel_mm((0.07, 0.08)) == pytest.approx((0.14, 0.16))
    assert MammogramFrame((1000, 800), 500, False, box=(0, 0, 250)).network_pixel_mm((0.07, 0.07))[0] == 0.035


def test_weights_are_means_and_overlaps_are_complete():
    for scale, offset in ((0.13, 0.0), (0.5, 2.25), (3.7, -11.0), (1.0, 0.0)):
        for kernel in ("linear", "cubic"):
            sums = axis_weights(40, 50, scale, offset, kernel).sum(axis=1)
            assert np.all(np.isclose(sums, 0, atol=1e-6) | np.isclose(sums, 1, atol=1e-6))
        overlaps = axis_overlaps(40, 50, scale, offset).toarray()
        for i in range(40):
            low, high = (i - offset) / scale, (i + 1 - offset) / scale
            expected = [min(high, k + 1) - max(low, k) > 1e-4 for k in range(50)]
            np.testing.assert_array_equal(overlaps[i] > 0, expected)


def test_what_does_not_fit_is_refused():
    frame = MammogramFrame((40, 30), 16, flip=False)
    with pytest.raises(InputError, match="40 x 30"):
        frame.to_network(np.zeros((30, 40)))
    with pytest.raises(InputError, match="fit=squeeze"):
        MammogramFrame((40, 30), 16, flip=False, fit="squeeze")
    with pytest.raises(InputError, match="beside the image"):
        MammogramFrame((40, 30), 16, flip=False, box=(41, 0, 10))
