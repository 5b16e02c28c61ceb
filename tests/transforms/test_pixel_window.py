import numpy as np
import pytest

from common.errors import InputError
from common.transforms.pixel_window import PixelWindow, window_of_depth, window_of_percentiles


def test_a_line_shows_and_finds_back():
    window = PixelWindow.linear(100, 1100, (0, 4095))
    shown = window.display(np.array([[0, 100, 350], [600, 1100, 4095]]))
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, [[0, 0, 0.25], [0.5, 1, 1]])
    np.testing.assert_allclose(window.stored([0, 0.25, 0.5, 1]), [100, 350, 600, 1100])
    assert window.stored(np.array([0.5])).dtype == np.float64 and not window.inverted


def test_inverted_windows_are_white_where_values_are_small():
    window = PixelWindow.linear(0, 4095, inverted=True)
    np.testing.assert_allclose(window.display([0, 4095]), [1, 0])
    assert window.inverted
    np.testing.assert_allclose(window.stored([1, 0, 1 / 4095]), [0, 4095, 4094])


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", ["line", "sigmoid", "gamma"])
def test_what_is_shown_is_found_back_within_one_value_where_the_window_does_not_saturate(shape, inverted):
    values = np.arange(4096)
    curves = {
        "line": np.clip((values - 300) / 3000, 0, 1),
        "sigmoid": 1 / (1 + np.exp(-4 * (values - 2000) / 3000)),
        "gamma": (values / 4095) ** 2.2,
    }
    shown = 1 - curves[shape] if inverted else curves[shape]
    window = PixelWindow(values, shown, (0, 4095))
    clear = np.abs(np.gradient(shown)) > 3e-7  # display values are floats of 24 bits
    found = window.stored(window.display(values))
    assert np.abs(found - values)[clear].max() <= 1
    np.testing.assert_allclose(window.display(np.rint(found).astype(int)), window.display(values), atol=1e-6)


def test_where_a_table_shows_values_alike_the_middle_is_taken_and_at_its_ends_the_edge_of_the_window():
    window = PixelWindow(np.arange(10), np.array([0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1, 1]), (0, 9))
    np.testing.assert_allclose(window.stored([0, 0.5, 1]), [2, 4, 6])
    np.testing.assert_allclose(window.stored([0.25, 0.75]), [3, 5])


def test_integers_and_floats_are_shown_alike_negative_ones_too():
    window = PixelWindow.linear(-500, 500, (-2048, 2047))
    values = np.arange(-700, 700)
    np.testing.assert_allclose(window.display(values), window.display(values.astype(np.float64)))
    few = np.array([-2048, 2047], np.int16)
    np.testing.assert_allclose(window.display(few), [0, 1])


def test_values_stay_in_the_range_that_the_file_can_hold():
    window = PixelWindow.linear(-1000, 5000, (0, 4095))
    np.testing.assert_allclose(window.stored([0, 1]), [0, 4095])


@pytest.mark.parametrize(
    ("largest", "dtype", "white"),
    [(241, np.uint8, 255), (120, np.uint8, 127), (4000, np.uint16, 4095), (65535, np.uint16, 65535)],
)
def test_without_a_window_the_depth_that_is_in_use_is_shown(largest, dtype, white):
    window = window_of_depth(np.array([0, largest], dtype))
    assert window.values.tolist() == [0, white] and window.stored_range == (0, white)


def test_percentiles_leave_out_single_pixels():
    pixels = np.append(np.linspace(0, 1000, 10000), 60000)
    window = window_of_percentiles(pixels, (0, 65535))
    assert 0 < window.values[0] < 5 and 990 < window.values[1] < 1001
    assert window_of_percentiles(np.append(np.zeros(9999), 7), (0, 9)).values.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("values", "shown", "word"),
    [
        ([0, 0, 1], [0, 0.5, 1], "do not rise"),
        ([0, 1, 2], [0, 0.5, 1.5], "leave 0 to 1"),
        ([0, 1, 2], [0.5, 0.5, 0.5], "alike"),
        ([0, 1, 2], [0, 1, 0.5], "rises and falls"),
    ],
)
def test_windows_that_cannot_be_turned_back_are_refused(values, shown, word):
    with pytest.raises(InputError, match=word):
        PixelWindow(np.array(values), np.array(shown), (0, 2))


def test_constant_images_are_refused():
    with pytest.raises(InputError, match="every pixel is 0"):
        window_of_depth(np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="every pixel is 7"):
        window_of_percentiles(np.full((4, 4), 7), (0, 9))
