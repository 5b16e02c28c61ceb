"""Phantoms hold what they say: kinetics, visibility, morphology, and the same voxels for the same seed."""

import numpy as np
import pytest

from common.metrics.kinetics import kinetics
from common.phantoms.breast_dce import CURVES, make_breast_dce

SEEDS = range(40, 52)


@pytest.fixture(scope="module")
def phantoms():
    return [make_breast_dce(seed, (96, 96, 24), (3.5, 3.5, 5.0)) for seed in SEEDS]


def lesions(phantoms):
    return [(p, lesion, p.label == lesion["instance"]) for p in phantoms for lesion in p.lesions]


def test_same_seed_same_voxels():
    first, second = (make_breast_dce(3, (48, 48, 10), (7, 7, 12)) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, make_breast_dce(4, (48, 48, 10), (7, 7, 12)).image)


def test_phases_share_one_grid_and_hold_whole_numbers(phantoms):
    for phantom in phantoms:
        assert phantom.image.shape == (4, 96, 96, 24)
        assert phantom.label.shape == phantom.breast.shape == (96, 96, 24)
        assert np.array_equal(phantom.image, np.rint(phantom.image))
        assert phantom.image.min() >= 0
        assert phantom.image.max() < 32768
        assert all(a < b for a, b in zip((0, *phantom.seconds), phantom.seconds, strict=False))


def test_lesions_lie_in_the_breasts_and_enhance_as_told(phantoms):
    found = lesions(phantoms)
    assert len(found) >= len(phantoms)
    agreeing = []
    for phantom, lesion, voxels in found:
        assert phantom.breast[voxels].mean() > 0.95
        if voxels.sum() < 20 or lesion["necrotic"]:
            continue
        means = [float(phase[voxels].mean()) for phase in phantom.clean]
        kind = kinetics(means[0], means[1:], phantom.seconds).curve
        assert max(means[1:]) > 1.3 * means[0]
        agreeing.append(kind.split()[0] == lesion["curve_type"])
    assert np.mean(agreeing) > 0.9


def test_curves_are_what_their_type_means():
    first, _, last = np.array(list(CURVES.values())).T
    assert list(np.sign(np.round(last - first, 1))) == [1, 0, -1]


def test_invisible_lesions_cannot_be_seen_before_contrast_and_clear_ones_can(phantoms):
    contrast = {"clear": [], "invisible": []}
    for phantom in phantoms:
        for lesion in phantom.lesions:
            voxels = phantom.label == lesion["instance"]
            if lesion["visibility"] in contrast and voxels.sum() >= 20:
                around = np.zeros_like(voxels)
                box = tuple(slice(max(0, i.min() - 3), i.max() + 4) for i in np.nonzero(voxels))
                around[box] = True
                around &= ~voxels & phantom.breast
                inside, outside = (phantom.clean[0][mask] for mask in (voxels, around))
                # Distance of the lesion's voxels to the nearest kind of tissue around it.
                spread = np.abs(inside.mean() - np.percentile(outside, [10, 50, 90])).min() / outside.mean()
                contrast[lesion["visibility"]].append(spread)
    assert np.median(contrast["clear"]) > 0.08
    if contrast["invisible"]:
        assert np.median(contrast["invisible"]) < np.median(contrast["clear"])
