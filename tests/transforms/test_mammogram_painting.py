import numpy as np
import pytest
from scipy import ndimage

from common.errors import InputError
from common.io.mammograms import Mammogram
from common.transforms.mammogram_painting import MammogramPainting, painting_facts, soft_mask
from common.transforms.pixel_window import PixelWindow

SHAPE = (120, 90)


def breast(flip=False):
    """Display values of a half disc on the left, with noise in it."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    inside = ((rows - 60) / 50) ** 2 + (columns / 70) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 0.03, SHAPE)
    image = np.where(inside, 0.5 + noise, 0.0)
    return image[:, ::-1] if flip else image


def mammogram(kind="uint16", flip=False, inverted=False, bits=12):
    top = (1 << bits) - 1
    display = breast(flip)
    window = PixelWindow.linear(0, top, inverted=inverted)
    pixels = window.stored(display)
    pixels = pixels.astype(kind) if kind == "float32" else np.rint(pixels).astype(kind)
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    laterality = "R" if flip else "L"
    return Mammogram(pixels, window, (0.5, 0.5), laterality, "CC", None, "x.png", None, bits, photometric, None)


def mask(row=60, column=30, radius=9, flip=False):
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    found = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return found[:, ::-1] if flip else found


@pytest.mark.parametrize("kind", ["uint16", "uint8", "float32"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("crop", [False, True])
def test_every_stored_value_outside_the_mask_stays(kind, flip, inverted, crop):
    original = mammogram(kind, flip, inverted, 8 if kind == "uint8" else 12)
    marked = mask(flip=flip)
    painting = MammogramPainting(original, marked, 64, crop=crop)
    result = painting.paint(np.ones((64, 64), np.float32))
    assert result.dtype == original.pixels.dtype and result.shape == SHAPE
    assert np.array_equal(result[~marked], original.pixels[~marked])
    assert (result[marked] != original.pixels[marked]).mean() > 0.9
    shown = original.window.display(result)
    middle = (60, SHAPE[1] - 1 - 30) if flip else (60, 30)
    assert shown[middle] > 0.9  # white was drawn


def test_what_the_network_drew_lands_where_it_was_drawn():
    """A bright spot of the network's grid is at the same place of the breast in the file, mirrored or not."""
    for flip in (False, True):
        options = {"soft_edge": 0.0, "keep_detail": False}
        painting = MammogramPainting(mammogram(flip=flip), mask(radius=22, flip=flip), 60, **options)
        drawn = painting.inputs()[0].numpy()
        drawn[26:29, 18:21] = 1.0  # half of the file's resolution: rows 52 to 58, columns 36 to 42
        difference = np.abs(painting.mammogram.window.display(painting.paint(drawn)) - painting.display)
        row, column = ndimage.center_of_mass(difference > 0.2)
        column = SHAPE[1] - 1 - column if flip else column
        assert row == pytest.approx(54.5, abs=1) and column == pytest.approx(38.0, abs=1.5)


def test_detail_finer_than_the_network_is_kept():
    original, marked = mammogram(), mask(radius=15)
    inside = ndimage.binary_erosion(marked, iterations=6)
    results = {}
    for keep in (True, False):
        painting = MammogramPainting(original, marked, 32, keep_detail=keep)
        drawn = painting.frame.to_network(painting.display) * 2 - 1
        results[keep] = original.window.display(painting.paint(drawn))
    assert np.abs(results[True] - painting.display)[inside].max() < 2e-3
    assert np.abs(results[False] - painting.display)[inside].max() > 0.03


def test_the_network_sees_image_and_mask():
    painting = MammogramPainting(mammogram(), mask(), 60)
    inputs = painting.inputs()
    assert inputs.shape == (2, 60, 60)
    assert inputs[0].min() == -1 and inputs[0, 30, 10] == pytest.approx(0.0, abs=0.1)
    assert set(inputs[1].unique().tolist()) == {0.0, 1.0}
    assert mask().sum() / 4 <= inputs[1].sum() <= 1.3 * mask().sum() / 4  # any pixel that it touches
    closer = MammogramPainting(mammogram(), mask(), 60, crop=True)
    assert closer.inputs()[1].sum() > 1.5 * inputs[1].sum()
    facts = painting_facts(closer)
    assert facts["close_up"]["side"] == pytest.approx(3.5 * 19) and facts["painted_pixels"] == mask().sum()
    assert "close_up" not in painting_facts(painting)


def test_a_close_up_stays_within_the_image():
    painting = MammogramPainting(mammogram(), mask(row=16, column=12, radius=6), 64, crop=True)
    row, column, side = painting.box
    assert row == 0 and column == 0 and side == pytest.approx(3.5 * 13)
    assert painting.inputs()[1].any()


def test_the_edge_is_soft_inside_the_mask_alone():
    marked = mask(radius=12)
    soft = soft_mask(marked, 0.5)
    assert soft[~marked].max() == 0 and soft[marked].min() > 0 and soft.max() == 1
    profile = soft[60, 30:43]
    assert (np.diff(profile) <= 1e-6).all() and (profile[8:12] < 0.8).all()
    assert np.array_equal(soft_mask(marked, 0.0), marked.astype(np.float32))


def test_saturated_pixels_do_not_step_at_the_edge():
    """Where the window shows several stored values alike, the blend begins from the stored value that is there."""
    display = breast()
    window = PixelWindow.linear(1000, 3000, (0, 4095))
    pixels = np.rint(window.stored(display)).astype(np.uint16)
    pixels[40:80, 15:45] = 4000  # shown white, like 3000
    original = Mammogram(pixels, window, None, "L", "CC", None, "x.png", None, 12, "MONOCHROME2", None)
    marked = mask()
    result = MammogramPainting(original, marked, 64, soft_edge=1.0).paint(np.ones((64, 64), np.float32))
    rim = marked & ~ndimage.binary_erosion(marked)
    assert np.abs(result[rim].astype(int) - 4000).max() < 100


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        (np.zeros(SHAPE, bool), "mask is empty"),
        (np.ones((10, 10), bool), "10 x 10 pixels, the mammogram 120 x 90"),
        (mask(row=8, column=80, radius=5), "outside the breast"),
    ],
)
def test_masks_that_cannot_be_painted_are_refused(marked, message):
    with pytest.raises(InputError, match=message):
        MammogramPainting(mammogram(), marked, 64)


@pytest.mark.parametrize("name", ["mdb005.pgm", "R-CC"])
def test_real_mammograms_keep_what_is_not_painted(real_data, name):
    from common.io.mammograms import load_mammogram
    from common.transforms.breast_area import breast_mask

    folder = real_data / "mammography"
    path = folder / "mini_mias" / name if name.endswith("pgm") else folder / "nyu_gmic_exam0" / f"0_{name}.png"
    original = load_mammogram(path, quiet=True)
    inside = breast_mask(original.display())
    row, column = np.argwhere(inside).mean(0).astype(int)
    rows, columns = np.ogrid[: inside.shape[0], : inside.shape[1]]
    marked = (rows - row) ** 2 + (columns - column) ** 2 <= (inside.shape[0] // 30) ** 2
    painting = MammogramPainting(original, marked, 256, crop=True)
    result = painting.paint(np.full((256, 256), 0.9, np.float32))
    assert np.array_equal(result[~marked], original.pixels[~marked]) and result.dtype == original.pixels.dtype
    assert original.window.display(result)[row, column] > painting.display[row, column]
