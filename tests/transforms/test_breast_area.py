import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from common.errors import InputError
from common.io.mammograms import load_mammogram
from common.transforms.breast_area import (
    area_ratio,
    area_word,
    breast_mask,
    chest_wall_evidence,
    chest_wall_side,
    guess_view,
    is_mirrored,
)


def half_ellipse(shape=(400, 320), height=150, width=180):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - shape[0] / 2) / height) ** 2 + (x / width) ** 2 < 1


def breast_image(mask, seed=0, air=0.0, noise=0.004):
    """Tissue that fades towards the skin, on air of some level and noise."""
    depth = ndimage.distance_transform_edt(mask)
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=mask.shape), 12)
    tissue = (0.08 + 0.35 * np.tanh(depth / 30)) * (1 + 4 * texture)
    image = np.where(mask, np.maximum(tissue, 0.05), 0) + air
    return np.clip(image + np.random.default_rng(seed + 1).normal(0, noise, mask.shape), 0, 1).astype(np.float32)


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize(("air", "noise"), [(0.0, 0.0), (0.0, 0.01), (0.12, 0.01), (0.02, 0.004)])
def test_the_outline_is_found_on_clean_noisy_and_grey_air(air, noise):
    truth = half_ellipse()
    found = breast_mask(breast_image(truth, air=air, noise=noise))
    assert found.dtype == bool and found.shape == truth.shape
    assert dice(found, truth) > 0.98


def test_burnt_in_labels_tape_and_the_frame_of_the_film_are_left_out():
    truth = half_ellipse()
    image = breast_image(truth, air=0.1)
    image[20:50, 250:300] = 1.0
    image[380:, :] = np.maximum(image[380:, :], 0.0)
    image[:4, :] = image[-4:, :] = 0.9
    image[100:300, -3:] = 1.0
    assert dice(breast_mask(image), truth) > 0.975


def test_a_black_border_beside_the_film_is_not_taken_for_its_air():
    truth = half_ellipse((400, 400))
    image = breast_image(truth, air=0.05)
    image = np.pad(image, ((0, 0), (150, 250)))
    found = breast_mask(image)
    assert dice(found[:, 150:-250], truth) > 0.975 and not found[:, -200:].any()


def test_holes_are_filled_at_the_chest_wall_too():
    truth = half_ellipse()
    image = breast_image(truth)
    image[180:220, 60:110] = image[195:205, :30] = 0
    assert dice(breast_mask(image), truth) > 0.98


def test_a_close_up_without_air_is_all_breast():
    rng = np.random.default_rng(0)
    assert breast_mask(0.55 + 0.03 * rng.normal(size=(128, 128))).all()


def test_the_mask_of_a_large_image_is_that_of_its_own_pixels():
    truth = half_ellipse((2000, 1600), 800, 900)
    image = np.where(truth, 0.4, 0).astype(np.float32)
    found = breast_mask(image)
    off = found ^ truth
    assert not off[ndimage.distance_transform_edt(truth) > 6].any()
    assert not off[ndimage.distance_transform_edt(~truth) > 6].any()


def test_the_side_of_the_chest_wall_is_the_tall_end():
    mask = half_ellipse()
    assert chest_wall_side(mask) == "left" and chest_wall_side(mask[:, ::-1]) == "right"
    assert chest_wall_evidence(mask) == -chest_wall_evidence(mask[:, ::-1]) > 0.5
    moved = np.pad(mask, ((0, 0), (90, 0)))
    assert chest_wall_side(moved) == "left"


def test_pixels_decide_about_mirroring_and_contradictions_are_said():
    mask = half_ellipse()
    assert is_mirrored(mask, "L") == (False, None)
    assert is_mirrored(mask[:, ::-1], "R") == (True, None)
    mirrored, told = is_mirrored(mask, "R")
    assert not mirrored and "laterality R" in told and "left" in told
    everything = np.ones((50, 50), bool)
    assert is_mirrored(everything, "R")[0] and not is_mirrored(everything, "L")[0]
    assert "stays as it is" in is_mirrored(everything)[1]


def test_views_are_told_by_their_upper_end():
    cc = half_ellipse()
    assert guess_view(breast_image(cc), breast_mask(breast_image(cc))) == "CC"
    y, x = np.mgrid[:400, :320]
    mlo = cc | ((y < 220) & (x < 130 - 0.1 * y))
    muscle = (x / 110 + y / 200 < 1) * 0.35
    image = np.clip(breast_image(mlo) + muscle, 0, 1).astype(np.float32)
    for side in (slice(None), slice(None, None, -1)):
        assert guess_view(image[:, side], breast_mask(image[:, side])) == "MLO"


@pytest.mark.parametrize(
    ("ratio", "word"), [(0, "small"), (0.3999, "small"), (0.4, "medium"), (0.5999, "medium"), (0.6, "big"), (1, "big")]
)
def test_area_words_have_the_limits_of_the_paper(ratio, word):
    assert area_word(ratio) == word


def test_the_area_ratio_is_a_share_of_all_pixels():
    mask = np.zeros((10, 10), bool)
    mask[:4] = True
    assert area_ratio(mask) == 0.4


def test_images_without_a_breast_are_refused():
    with pytest.raises(InputError, match="alike"):
        breast_mask(np.zeros((64, 64)))
    with pytest.raises(InputError, match="empty"):
        chest_wall_side(np.zeros((64, 64), bool))
    with pytest.raises(InputError, match="no mammogram"):
        breast_mask(np.zeros((4, 64)))


@pytest.mark.parametrize(
    ("name", "side", "view", "low", "high"),
    [
        ("nyu_bcc_exam1/1_L_CC.png", "left", "CC", 0.20, 0.28),
        ("nyu_gmic_exam0/0_L-CC.png", "left", "CC", 0.15, 0.22),
        ("nyu_gmic_exam0/0_R-CC.png", "left", "CC", 0.16, 0.23),
        ("nyu_gmic_exam0/0_R-MLO.png", "left", "MLO", 0.33, 0.40),
        ("mini_mias/mdb005.pgm", "right", "MLO", 0.50, 0.62),
        ("mini_mias/mdb023.pgm", "right", "MLO", 0.40, 0.48),
        ("mini_mias/mdb028.pgm", "left", "MLO", 0.45, 0.54),
        ("dicom/WG04_MG1_J2KI.dcm", "left", "MLO", 0.48, 0.60),
    ],
)
def test_real_mammograms(real_data, name, side, view, low, high):
    mammogram = load_mammogram(real_data / "mammography" / name, any_modality=True, guess=False, quiet=True)
    display = mammogram.display()
    mask = breast_mask(display)
    assert chest_wall_side(mask) == side
    assert guess_view(display, mask) == view
    assert low < area_ratio(mask) < high
    assert ndimage.label(mask)[1] == 1


def test_the_burnt_in_view_marker_of_a_real_mammogram_is_left_out(real_data):
    path = real_data / "mammography" / "nyu_bcc_exam1" / "1_L_CC.png"
    image = np.asarray(Image.open(path)).astype(np.float32) / 65535
    marker = np.argwhere(image[:800, 1400:] > 0.3)
    assert len(marker) > 50
    assert not breast_mask(image)[:800, 1400:][tuple(marker.T)].any()
