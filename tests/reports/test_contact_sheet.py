"""Real and synthetic images are shown on one window, under their titles, each in its place."""

import numpy as np
import pytest
from PIL import Image

from common.reports.contact_sheet import contact_sheet, save_contact_sheet
from common.reports.pictures import CAPTION, MARGIN


def tile(sheet, row, column, side=20):
    y, x = (2 * CAPTION + MARGIN + row * (side + MARGIN)), MARGIN + column * (side + MARGIN)
    return sheet[y : y + side, x : x + side, 0]


def flat(value, shape=(20, 20)):
    return np.full(shape, value)


def test_every_image_is_in_its_place():
    real, made = [flat(v) for v in (0.1, 0.2, 0.3)], [flat(v) for v in (0.6, 0.7, 0.8, 0.9, 1.0)]
    sheet = contact_sheet(real, made, columns=2, side=20)
    assert sheet.shape == (2 * CAPTION + 3 * 20 + 4 * MARGIN, 4 * 20 + 5 * MARGIN, 3)
    values = [[int(tile(sheet, row, column).mean().round()) for column in range(4)] for row in range(3)]
    expected = [[0.1, 0.2, 0.6, 0.7], [0.3, 0, 0.8, 0.9], [0, 0, 1.0, 0]]
    assert values == np.rint(np.array(expected) * 255).astype(int).tolist()


def test_the_titles_differ():
    one, other = contact_sheet([flat(0.5)], [], side=20), contact_sheet([], [flat(0.5)], side=20)
    assert one.shape == other.shape
    assert np.array_equal(one[2 * CAPTION :], other[2 * CAPTION :])
    assert not np.array_equal(one[: 2 * CAPTION], other[: 2 * CAPTION])
    assert np.array_equal(one[:CAPTION], other[:CAPTION])  # the window


def test_one_window_for_all_images():
    sheet = contact_sheet([flat(0.25)], [flat(0.5), flat(0.1)], window=(0.2, 0.6), side=20)
    assert [int(tile(sheet, 0, k)[10, 10]) for k in range(3)] == [32, 191, 0]
    assert not np.array_equal(sheet[:CAPTION], contact_sheet([flat(0)], [flat(0), flat(0)], side=20)[:CAPTION])


def test_aspect_is_kept():
    sheet = contact_sheet([flat(1.0, (40, 10))], [flat(1.0, (5, 10))], side=20)
    assert (tile(sheet, 0, 0) > 0).sum(1).max() == 5 and (tile(sheet, 0, 0) > 0).sum(0).max() == 20
    assert (tile(sheet, 0, 1) > 0).sum(1).max() == 20 and (tile(sheet, 0, 1) > 0).sum(0).max() == 10


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.full((4, 4), np.nan), {}, "outside"),
        (np.full((4, 4), 1.5), {}, "outside"),
        (np.zeros((1, 4, 4)), {}, "shape"),
        (np.zeros((4, 4)), {"window": (0.5, 0.5)}, "window"),
        (np.zeros((4, 4)), {"window": (-1, 1)}, "window"),
    ],
)
def test_what_cannot_be_shown_is_refused(image, options, words):
    with pytest.raises(ValueError, match=words):
        contact_sheet([image], [], **options)
    with pytest.raises(ValueError, match="needs an image"):
        contact_sheet([], [])


def test_the_file_says_what_it_shows_and_is_the_same_each_time(tmp_path):
    images = [np.random.default_rng(0).random((30, 20))]
    for name in ("a.png", "b.png"):
        save_contact_sheet(tmp_path / name, images, images, side=20)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    save_contact_sheet(tmp_path / "c.png", [], images, side=20)
    save_contact_sheet(tmp_path / "d.png", images, [], side=20)
    told = [Image.open(tmp_path / f"{name}.png").text["Description"] for name in "acd"]
    assert told == ["left: real images; right: SYNTHETIC images", "SYNTHETIC", "real"]
