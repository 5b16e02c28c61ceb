"""Strokes on a picture, on the mammogram's own pixels; and what is written for download."""

from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from PIL import Image

from common.apps.downloads import write_painted
from common.apps.mammogram_model import Painted
from common.apps.strokes import SIDE, canvas_picture, lesion_mask, strokes_to_file
from common.errors import InputError
from common.io.mammograms import Mammogram
from common.transforms.mammogram_painting import MammogramPainting
from common.transforms.pixel_window import PixelWindow


def breast(shape):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = ((rows / shape[0] - 0.5) / 0.45) ** 2 + (columns / shape[1] / 0.7) ** 2 < 1
    return np.where(inside, 0.6, 0.0).astype(np.float32)


@pytest.mark.parametrize("shape", [(2100, 1680), (1403, 1000), (333, 250), (700, 700)])
def test_a_native_pixel_is_set_where_a_painted_one_lies_on_it(shape):
    strokes = np.zeros((SIDE, round(SIDE * shape[1] / shape[0])), bool)
    strokes[100, 50] = strokes[300:303, 200:210] = strokes[-1, -1] = True
    found = strokes_to_file(strokes, shape)
    expected = np.zeros(shape, bool)
    height, width = (length / seen for length, seen in zip(shape, strokes.shape, strict=True))
    for row, column in np.argwhere(strokes):
        rows = slice(int(np.floor(row * height + 1e-6)), int(np.ceil((row + 1) * height - 1e-6)))
        columns = slice(int(np.floor(column * width + 1e-6)), int(np.ceil((column + 1) * width - 1e-6)))
        expected[rows, columns] = True
    assert np.array_equal(found, expected)


def test_a_picture_has_the_mammograms_aspect():
    assert canvas_picture(breast((2100, 1680))).shape == (700, 560)
    small = canvas_picture(breast((100, 200)))
    assert small.shape == (350, 700) and small.dtype == np.uint8 and small.max() == 153 and small.min() == 0


def layer(shape, box, strength=255):
    found = np.zeros((*shape, 4), np.uint8)
    found[box[0] : box[1], box[2] : box[3], 3] = strength
    return found


def test_strokes_become_a_mask_within_the_breast():
    display = breast((1400, 1120))
    size = canvas_picture(display).shape
    both = [layer(size, (340, 360, 100, 120)), layer(size, (340, 360, 520, 540))]  # in the breast, and in air
    mask, dropped = lesion_mask(both, display, breast_only=True)
    assert mask.sum() == 40 * 40 and mask[680:720, 200:240].all() and dropped == pytest.approx(0.5)
    assert lesion_mask(both, display, breast_only=False)[0].sum() == 2 * 40 * 40
    for layers, told in (
        ([], "nothing is painted"),
        ([layer(size, (340, 360, 100, 120), strength=90)], "nothing is painted"),
        ([both[1]], "outside the breast"),
        ([layer((700, 700), (340, 360, 100, 120))], "no longer that of the mammogram"),
    ):
        with pytest.raises(InputError, match=told):
            lesion_mask(layers, display, breast_only=True)


@pytest.mark.parametrize(
    ("kind", "inverted", "names"),
    [
        ("uint16", False, ["mammogram_painted_seed7.png"]),
        ("uint8", False, ["mammogram_painted_seed7.png", "mammogram_painted_seed7_8bit.png"]),
        ("uint8", True, ["mammogram_painted_seed7.png", "mammogram_painted_seed7_8bit.png"]),
        ("float32", False, ["mammogram_painted_seed7.nii.gz"]),
    ],
)
def test_downloads_hold_the_painted_values(tmp_path, kind, inverted, names):
    shape = (120, 90)
    top = 255 if kind == "uint8" else 4095
    window = PixelWindow.linear(0, top, inverted=inverted)
    pixels = window.stored(breast(shape)).astype(kind)
    mammogram = Mammogram(pixels, window, None, "L", "CC", None, tmp_path / "x.png", None, 8, "MONOCHROME2", None)
    mask = np.zeros(shape, bool)
    mask[50:70, 20:40] = True
    painting = MammogramPainting(mammogram, mask, 64)
    after = painting.paint(np.ones((64, 64), np.float32))
    painted = Painted(painting, after, window.display(after))
    model = SimpleNamespace(identity=lambda **knobs: str(sorted(knobs)), software=("bundle", "1"))
    paths, missing = write_painted(tmp_path, painted, model, {"seed": 7})
    assert [path.name for path in paths] == names
    assert len(missing) == (kind == "float32") and all(
        "no whole numbers" in told and "say" not in told for told in missing
    )
    shown = top - after.astype(int) if inverted else after.astype(int)
    if kind == "float32":
        assert np.array_equal(nibabel.load(paths[0]).get_fdata()[..., 0].T, after)
        return
    for path in paths:
        found = np.asarray(Image.open(path))
        wide = kind == "uint8" and "8bit" not in path.name
        assert found.dtype == (np.uint8 if "8bit" in path.name else np.uint16)
        assert np.array_equal(found, shown * (257 if wide else 1))
