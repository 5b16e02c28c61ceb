"""Planted copies are found among phantoms of other patients, those aren't taken for copies, and the numbers add up."""

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import match_template

from common.errors import InputError
from common.metrics.copies import check_gate, find_copies, wilson_interval
from common.metrics.copy_descriptors import Descriptors, area_average, describe
from common.metrics.copy_search import CopySearch, nearest_features
from common.phantoms.brain_tumor import make_brain_tumor
from common.phantoms.mammogram import make_mammogram

DISGUISES = ("noise", "flip", "shift", "gamma", "scale", "all")


def named(images, word="i"):
    return [(f"{word}{number}", image) for number, image in enumerate(images)]


def disguised(image, kind, seed=0):
    """A copy as a generator might hand it out: with noise, flipped, moved by 3 pixels, or rescaled in intensity."""
    rng = np.random.default_rng(seed)
    image = image.astype(float)
    low, span = image.min(), np.ptp(image)
    if kind in ("flip", "all"):
        image = np.flip(image, image.ndim - 1)
    if kind in ("shift", "all"):
        image = ndimage.shift(image, (3, -3, 0)[: image.ndim], order=0, mode="nearest")
    if kind in ("gamma", "all"):
        image = low + span * ((image - low) / span) ** 0.85
    if kind in ("scale", "all"):
        image = 2.5 * image + 40
    if kind in ("noise", "all"):
        image = image + rng.normal(0, 0.1 * image.std(), image.shape)
    return image


@pytest.fixture(scope="module")
def mammograms():
    """Views, sides and densities in turn, each of another patient."""
    views = [("CC", "MLO")[s % 2] for s in range(34)]
    sides = ["LR"[s // 2 % 2] for s in range(34)]
    return [
        make_mammogram(s, view, side, density="ABCD"[s % 4], shape=(128, 112), spacing_mm=2.0).image.astype(np.float32)
        for s, (view, side) in enumerate(zip(views, sides, strict=True))
    ]


@pytest.fixture(scope="module")
def brains():
    return [make_brain_tumor(seed, 8.0).image[1] for seed in range(22)]


def check_planted(images, sizes, kinds=DISGUISES, max_shift=4):
    training, validation = images[: sizes[0]], images[sizes[0] : sizes[1]]
    honest = images[sizes[1] :]
    sources = [(3 * number) % sizes[0] for number in range(len(kinds))]
    copies = [disguised(training[source], kind) for source, kind in zip(sources, kinds, strict=True)]
    report = find_copies(named([*copies, *honest]), named(training, "t"), named(validation), max_shift=max_shift)
    assert [match.nearest_index for match in report.matches[: len(copies)]] == sources
    flagged = [match.pixel_copy for match in report.matches]
    assert flagged == [True] * len(copies) + [False] * len(honest)
    found = report.spaces["pixel"]
    assert (found.copies["hits"], found.copies["n"]) == (len(copies), len(flagged))
    assert found.false_alarms["hits"] == 0 and found.calibration == "validation"
    by_kind = dict(zip(kinds, report.matches, strict=False))
    assert by_kind["flip"].flips == (images[0].ndim - 1,) and by_kind["flip"].pixel_distance < 1e-3
    assert by_kind["scale"].pixel_distance < 1e-3
    # The copy was moved by (3, -3): it has to go back by as much.
    assert np.allclose(by_kind["shift"].shift[:2], (-3, 3), atol=1)
    assert set(report.closest[: len(copies)]) == set(range(len(copies)))
    return report


def test_planted_mammograms_are_found_and_other_patients_are_not(mammograms):
    report = check_planted(mammograms, (20, 28))
    with pytest.raises(InputError, match=r"6 of 12 synthetic images \(50.0%\) are copies.*look at sheet.png"):
        check_gate(report, 0.1, sheet="sheet.png")
    check_gate(report, 0.5)
    json.dumps(report.to_json(), allow_nan=False)


def test_planted_brain_volumes_are_found(brains):
    check_planted(brains, (12, 18), ("flip", "shift", "scale", "all"), max_shift=3)


def test_planted_brain_slices_are_found_leaving_one_out(brains):
    slices = [brain[:, :, 10] for brain in brains]
    report = find_copies(named([disguised(slices[4], "all"), *slices[18:]]), named(slices[:18], "t"))
    assert [match.pixel_copy for match in report.matches] == [True] + [False] * 4
    assert report.matches[0].nearest == "t4" and report.spaces["pixel"].calibration == "leave one out"
    assert report.spaces["pixel"].rule == "0.5 x quantile 0.05 of 18 leave one out distances"
    assert any("no validation set" in note for note in report.facts["notes"])


def test_identical_sets_are_all_copies_at_distance_zero(mammograms):
    report = find_copies(named(mammograms[:8]), named(mammograms[:8]), named(mammograms[8:16]))
    assert [match.nearest_index for match in report.matches] == list(range(8))
    assert max(match.pixel_distance for match in report.matches) < 1e-4
    assert report.spaces["pixel"].copies["mean"] == 1


def smooth(seed, shape=(32, 32)):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)


def test_repeated_images_do_not_spoil_the_threshold():
    images = [smooth(seed) for seed in range(12)]
    training = named([*images, images[3], images[3]])
    report = find_copies(named([smooth(50)]), training)
    assert report.facts["repeated_calibration_images"] == 3
    assert report.spaces["pixel"].threshold > 0.1
    # By patient: the three repeats are one, so that nothing is left out, each looks at the others only.
    grouped = find_copies(named([smooth(50)]), training, training_groups=[*range(12), 3, 3])
    assert grouped.facts["repeated_calibration_images"] == 0
    leaked = find_copies(named([smooth(50)]), named(images), named([images[0], smooth(60), smooth(61)]))
    assert "1 validation images lie in the training set" in " ".join(leaked.facts["notes"])
    assert leaked.spaces["pixel"].false_alarms["n"] == 2


def test_distance_equals_the_correlation_coefficient_and_match_template():
    # Without shifts and with slow changes left in, the distance is 1 - Pearson's r.
    first, second = smooth(1), smooth(2)
    bank = describe(named([first, -first]), detail_sigma=0)
    found = CopySearch(bank, max_shift=0).nearest(describe(named([first + second]), bank, detail_sigma=0))
    flips = [np.flip(first + second, axes) for axes in ((), (0,), (1,), (0, 1))]
    expected = max(abs(np.corrcoef(flip.ravel(), first.ravel())[0, 1]) for flip in flips)
    assert found.distance[0] == pytest.approx(1 - expected, abs=1e-3)
    # With shifts it is the best of template matching: the window is the image without its outer 4 pixels.
    found = CopySearch(bank, max_shift=4).nearest(describe(named([first + second]), bank, detail_sigma=0))
    template = first[4:-4, 4:-4]
    expected = max(np.abs(match_template(flip, template)).max() for flip in flips)
    assert found.distance[0] == pytest.approx(1 - expected, abs=1e-3)


def test_ncc_by_hand():
    # a = (1, 2, 3, 6) and b = (1, 3, 2, 6) as 2 x 2 images: means 3, a - 3 = (-2, -1, 0, 3), b - 3 = (-2, 0, -1, 3);
    # products 4 + 0 + 0 + 9 = 13, norms sqrt 14 each: r = 13 / 14. Turned by both flips b is (6, 2, 3, 1), r below 0;
    # flipped along one axis (2, 6, 1, 3): (-1, 3, -2, 0), products 2 - 3 = -1, or (3, 1, 6, 2): (0, -2, 3, -1),
    # products 2 - 3 = -1. The best is no flip: d = 1 / 14.
    a, b = np.array([[1.0, 2], [3, 6]]), np.array([[1.0, 3], [2, 6]])
    bank = describe(named([a, -a]), detail_sigma=0)
    found = CopySearch(bank, max_shift=0).nearest(describe(named([b]), bank, detail_sigma=0))
    assert found.distance[0] == pytest.approx(1 / 14, abs=1e-3)
    assert not found.flips[0].any()


def test_area_average_by_hand_and_of_any_size():
    assert area_average(np.array([[0.0, 2, 4, 6], [2, 4, 6, 8]]), (1, 2)).tolist() == [[2, 6]]
    assert area_average(np.array([[0.0, 3, 6]]), (1, 2))[0] == pytest.approx(
        [1, 5]
    )  # (0 + 3 / 2) / 1.5, (3 / 2 + 6) / 1.5
    image = np.random.default_rng(0).normal(size=(50, 37, 21))
    assert area_average(image, (10, 8, 4)).mean() == pytest.approx(image.mean(), abs=1e-6)


def test_other_sizes_are_brought_to_the_grid_and_it_is_said():
    training = [smooth(seed, (64, 64)) for seed in range(12)]
    larger = np.kron(training[5], np.ones((2, 2)))
    report = find_copies(named([larger, smooth(40, (64, 64))]), named(training), max_shift=2)
    assert report.matches[0].nearest_index == 5 and report.matches[0].pixel_distance < 1e-3
    assert report.facts["image_sizes"]["synthetic"] == {"128x128": 1, "64x64": 1}
    assert "different sizes" in " ".join(report.facts["notes"])


def test_constant_image_is_nobodys_copy():
    report = find_copies(named([np.zeros((32, 32))]), named([smooth(s) for s in range(6)]))
    assert report.matches[0].pixel_distance == 1 and not report.matches[0].pixel_copy


def test_features_find_copies_of_their_own():
    rng = np.random.default_rng(0)
    images = [smooth(seed) for seed in range(20)]
    features = rng.normal(size=(14, 6)) * [1, 10, 100, 1, 1, 0]  # the last one is constant
    synthetic = np.vstack([features[3] + 1e-4, rng.normal(size=(1, 6))])
    report = find_copies(
        named(images[:2], "s"), named(images[2:16]), named(images[16:]), (synthetic, features, rng.normal(size=(4, 6)))
    )
    assert [m.feature_copy for m in report.matches] == [True, False]
    assert report.matches[0].feature_nearest == "i3" and not report.matches[0].pixel_copy
    assert report.spaces["feature"].copies["hits"] == 1
    check_gate(report, 0)
    with pytest.raises(InputError, match="1 of 2"):
        check_gate(report, 0, space="feature")
    # By hand: deviations 1 and 2, so (1, 2) is (1, 1) from the origin: sqrt(2) / sqrt(2 features) = 1.
    index, distance = nearest_features(
        np.array([[1.0, 2]]), np.array([[-1.0, -2], [1, -2], [-1, 2], [1, 2]]), [0], [1, 1, 1, 0]
    )
    assert (index[0], distance[0]) == (1, pytest.approx(2 / 2**0.5))


def test_descriptors_come_back_from_their_file(tmp_path):
    training = describe(named([smooth(s) for s in range(6)]))
    training.save(tmp_path / "training.npz")
    again = Descriptors.load(tmp_path / "training.npz")
    assert again.names == training.names and again.image_shapes == {(32, 32): 6}
    images = named([smooth(2), smooth(9)])
    assert find_copies(images, again).to_json() == find_copies(images, training).to_json()
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a file of copy descriptors"):
        Descriptors.load(tmp_path / "broken.npz")


def test_wilson_interval_by_hand():
    # Wilson 1927, for 8 of 10 at z = 1.96: (0.8 + 0.19208 -+ 1.96 sqrt(0.016 + 0.009604)) / 1.38416
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert np.isnan(wilson_interval(0, 0)).all()


def test_bad_input_is_told_in_one_line():
    good = named([smooth(s) for s in range(4)])
    hole = smooth(9)
    hole[3, 3] = np.nan
    with pytest.raises(InputError, match="hole: holds NaN"):
        find_copies([("hole", hole)], good)
    with pytest.raises(InputError, match="3D, but the other images are 2D"):
        find_copies([("volume", np.ones((8, 8, 8)))], good)
    with pytest.raises(InputError, match="no images"):
        find_copies([], good)
    with pytest.raises(InputError, match="1 for 4 synthetic images"):
        find_copies(good, good, extractor_features=(np.ones((1, 2)), np.ones((4, 2)), None))
    with pytest.raises(InputError, match="3 for 4 training images"):
        find_copies(good, good, training_groups=[1, 2, 3])
    alone = find_copies(good[:1], good[1:2])
    assert np.isnan(alone.spaces["pixel"].threshold) and alone.to_json()["spaces"]["pixel"]["threshold"] is None
    with pytest.raises(InputError, match="no pixel threshold"):
        check_gate(alone, 0.1)
    check_gate(find_copies(good[:1], good[1:2], threshold=0.01), 0)
    with pytest.raises(InputError, match="max_share=2"):
        check_gate(alone, 2)
