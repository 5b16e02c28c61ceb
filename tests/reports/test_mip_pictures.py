"""MIPs are shown front up with the patient's right on the left; classes have their colours; 16-bit values are exact."""

import numpy as np
import pytest
from PIL import Image

from common.cohorts.lesion_annotations import read_annotation
from common.reports.mip_pictures import CLASS_COLORS, class_picture, display, legend, mip_picture, outlined
from common.reports.pictures import save_gray16


def test_front_is_up_and_the_patients_right_is_on_the_left():
    plane = np.zeros((6, 4))
    plane[5, 3] = 1  # in RAS the last of X is the right, the last of Y the front
    plane[5, 0] = 2  # right, back
    plane[0, 3] = 3  # left, front
    shown = display(plane)
    assert shown.shape == (4, 6)
    assert (shown[0, 0], shown[-1, 0], shown[0, -1]) == (1, 2, 3)
    assert shown.flags.c_contiguous
    assert display(np.zeros((6, 4, 3))).shape == (4, 6, 3)


def test_grey_values_run_from_black_to_white():
    image = np.array([[-1.0, -0.5], [0.0, 1.0], [-3.0, 3.0]])
    assert mip_picture(image).tolist() == display(np.array([[0, 63], [127, 255], [0, 255]])).tolist()
    assert mip_picture(image).dtype == np.uint8


def test_classes_have_their_colours_on_black():
    assert sorted(CLASS_COLORS) == [2, 3, 4, 5, 6]
    assert len(set(CLASS_COLORS.values())) == 5
    classes = np.zeros((7, 3), np.uint8)
    classes[1:6, 1] = range(2, 7)
    picture = class_picture(classes)
    assert picture.shape == (3, 7, 3)
    for birads, color in CLASS_COLORS.items():
        assert tuple(picture[1, 6 - (birads - 1)]) == color
    assert not picture[0].any()


def test_outlines_are_one_pixel_wide_and_leave_the_inside_alone():
    image, classes = np.full((12, 10), -0.2), np.zeros((12, 10), np.uint8)
    classes[2:7, 3:7], classes[9, 1], classes[10:12, 8:10] = 4, 6, 2
    picture = outlined(image, classes)
    grey = np.repeat(mip_picture(image)[..., None], 3, axis=-1)
    rim = classes == 4
    rim[3:6, 4:6] = False
    for where, color in ((rim, CLASS_COLORS[4]), (classes == 6, CLASS_COLORS[6]), (classes == 2, CLASS_COLORS[2])):
        assert (picture[display(where)] == color).all()
    untouched = display(~rim & (classes != 6) & (classes != 2))
    np.testing.assert_array_equal(picture[untouched], grey[untouched])


def test_neighbours_of_different_classes_keep_an_outline_each():
    classes = np.zeros((10, 10), np.uint8)
    classes[2:5, 2:8], classes[5:8, 2:8] = 3, 5
    shown = outlined(np.full((10, 10), -1.0), classes)[::-1, ::-1].swapaxes(0, 1)  # X, Y again
    assert tuple(shown[4, 4]) == CLASS_COLORS[3]
    assert tuple(shown[5, 4]) == CLASS_COLORS[5]
    assert not shown[3, 4].any()
    assert not shown[6, 4].any()


@pytest.mark.parametrize(
    ("classes", "words"),
    [([], "BI-RADS 1, no lesion"), ([4], "BI-RADS 4"), ([6, 2, 6], "BI-RADS 2, 6")],
)
def test_legends(classes, words):
    assert legend(classes) == words


def test_grey_pictures_of_16_bits_are_exact(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    save_gray16(tmp_path / "a.png", values / 65535, "SYNTHETIC thing")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode.startswith("I;16")
        assert picture.text["Description"] == "SYNTHETIC thing"
        np.testing.assert_array_equal(np.asarray(picture), values)
    save_gray16(tmp_path / "b.png", values / 65535, "SYNTHETIC thing")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    edges = np.array([[-0.5, 0.0, 0.4 / 65535], [0.6 / 65535, 1.0, 7.0]])
    save_gray16(tmp_path / "c.png", edges, "x")
    with Image.open(tmp_path / "c.png") as picture:
        assert np.asarray(picture).tolist() == [[0, 0, 0], [1, 65535, 65535]]
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "c.png"}


def test_a_mask_painted_on_such_a_picture_lies_where_it_was_painted(tmp_path):
    """`display` and the reader of pictures agree on what is front and right."""
    labels = np.zeros((8, 6), np.uint8)
    labels[6:8, 1] = 5
    Image.fromarray(display(labels)).save(tmp_path / "mask.png")
    annotation = read_annotation(tmp_path / "mask.png")
    signs = np.sign(np.diag(annotation.affine)[:2]).astype(int)
    np.testing.assert_array_equal(annotation.class_map()[:: signs[0], :: signs[1]], labels)
