"""Mammogram phantoms hold what they say: area, density, vendor, lesion, and the same pixels for the same seed."""

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from common.errors import InputError
from common.phantoms.mammogram import (
    AREA_RANGES,
    DENSE_RANGES,
    LATERALITIES,
    SKIN_MARGIN_MM,
    VIEWS,
    make_mammogram,
)
from common.phantoms.mammogram_lesions import BIRADS, TYPES, LesionPlan, plan_lesion
from common.phantoms.mammogram_patients import WITHHELD, draw_patient, draw_view
from common.phantoms.mammogram_tissue import VENDORS, skin_distance
from common.transforms.breast_area import area_word, breast_mask

SMALL = {"shape": (256, 224), "spacing_mm": 1.0}
LESIONS = [LesionPlan(t, p, b) for t in TYPES for p in BIRADS for b in BIRADS[p]]


@pytest.fixture(scope="module")
def phantoms():
    """Every combination of view, side, area and density, with vendors and lesions in turn."""
    every = product(VIEWS, LATERALITIES, AREA_RANGES, DENSE_RANGES)
    return [
        make_mammogram(n, view, side, list(VENDORS)[n % 2], density, area, LESIONS[n % 8], **SMALL)
        for n, (view, side, area, density) in enumerate(every)
    ]


def test_area_and_density_lie_in_their_classes(phantoms):
    for phantom in phantoms:
        low, high = AREA_RANGES[phantom.area]
        assert low - 0.003 <= phantom.area_ratio <= high + 0.003
        assert phantom.area_ratio == pytest.approx(phantom.breast.sum() / 256**2)
        assert area_word(phantom.area_ratio) == phantom.area
        low, high = DENSE_RANGES[phantom.density]
        gland = phantom.breast & ~phantom.pectoral
        assert low - 0.003 <= phantom.dense_share <= high + 0.003
        assert phantom.dense_share == pytest.approx(phantom.dense.sum() / gland.sum())
        assert not (phantom.dense & ~gland).any()


def test_targets_are_met_and_those_of_another_class_refused():
    phantom = make_mammogram(1, area="big", density="D", area_ratio=0.7, dense_share=0.8, **SMALL)
    assert phantom.area_ratio == pytest.approx(0.7, abs=0.003)
    assert phantom.dense_share == pytest.approx(0.8, abs=0.003)
    with pytest.raises(InputError, match=r"0.62 to 0.74"):
        make_mammogram(1, area="big", area_ratio=0.5, **SMALL)
    with pytest.raises(InputError, match=r"0.05 to 0.15"):
        make_mammogram(1, density="A", dense_share=0.2, **SMALL)


def test_breast_mask_finds_the_breast_and_its_area(phantoms):
    for phantom in phantoms:
        found = breast_mask(phantom.image)
        overlap = (found & phantom.breast).sum() / (found | phantom.breast).sum()
        assert overlap > 0.9
        assert area_word(found.sum() / 256**2) == phantom.area


def test_values_are_display_values_and_the_chest_wall_is_at_its_side(phantoms):
    for phantom in phantoms:
        assert phantom.image.dtype == np.float32
        assert phantom.image.shape == (256, 224)
        assert phantom.image.min() >= 0 and phantom.image.max() <= 1
        assert (phantom.image > 0.99).mean() < 1e-4
        wall, air = (0, -1) if phantom.laterality == "L" else (-1, 0)
        assert phantom.breast[:, wall].mean() > 0.5 > phantom.breast[:, air].mean()
        assert phantom.image[~phantom.breast].mean() < 0.02
        assert ndimage.label(phantom.breast)[1] == 1


def test_only_oblique_views_show_the_pectoral_muscle_in_the_upper_corner(phantoms):
    for phantom in phantoms:
        assert phantom.pectoral.any() == (phantom.view == "MLO")
        if phantom.view == "MLO":
            corner = phantom.pectoral[0, 0 if phantom.laterality == "L" else -1]
            assert corner and not phantom.pectoral[-1].any()
            assert 0.02 < phantom.pectoral.sum() / phantom.breast.sum() < 0.35
            fat = phantom.breast & ~phantom.pectoral & ~phantom.dense
            assert phantom.healthy[phantom.pectoral].mean() > phantom.healthy[fat].mean() + 0.1


def test_a_lesion_changes_its_mask_and_nothing_else(phantoms):
    for phantom in phantoms:
        mask = phantom.lesion > 0
        changed = phantom.image != phantom.healthy
        assert changed.any() and not (changed & ~mask).any()
        y, x = np.nonzero(mask)
        assert phantom.finding["box"] == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert (phantom.breast & ~phantom.pectoral)[mask].all()
        assert skin_distance(phantom.breast, 1.0)[mask].min() > SKIN_MARGIN_MM
        assert (phantom.image >= phantom.healthy - 1e-6).all()


def test_the_healthy_twin_is_the_phantom_without_a_lesion():
    with_lesion = make_mammogram(5, "MLO", "R", "hologic", "C", "medium", LESIONS[3], **SMALL)
    without = make_mammogram(5, "MLO", "R", "hologic", "C", "medium", **SMALL)
    np.testing.assert_array_equal(with_lesion.healthy, without.image)
    assert without.lesion is None and without.finding is None
    np.testing.assert_array_equal(without.image, without.healthy)


def test_masses_have_their_size_and_malignant_ones_are_brighter_and_less_round():
    looks = {}
    for n, (pathology, size) in enumerate(product(BIRADS, (0.0, 0.5, 1.0) * 4)):
        plan = LesionPlan("mass", pathology, BIRADS[pathology][n % 2], size)
        phantom = make_mammogram(40 + n, "CC", density="C", area="big", lesion=plan)
        mask = phantom.lesion > 0
        diameter = 2 * np.sqrt(mask.sum() / np.pi) / 512
        assert diameter == pytest.approx(0.05 + 0.038 * size, rel=0.05)
        added = (phantom.image - phantom.healthy)[mask]
        border = (mask & ~ndimage.binary_erosion(mask)).sum()
        looks.setdefault(pathology, []).append((np.percentile(added, 90), border / np.sqrt(mask.sum())))
    benign, malignant = (np.array(looks[pathology]) for pathology in ("benign", "malignant"))
    assert benign[:, 0].min() > 0.07 and benign[:, 0].max() < 0.145
    assert malignant[:, 0].min() > 0.15 and malignant[:, 0].max() < 0.27
    assert malignant[:, 1].min() > benign[:, 1].max()


def test_calcifications_are_small_bright_dots_and_malignant_clusters_smaller():
    sizes = {}
    for n, pathology in enumerate(["benign", "malignant"] * 4):
        plan = LesionPlan("calcification", pathology, BIRADS[pathology][0])
        phantom = make_mammogram(60 + n, area="medium", lesion=plan)
        added = phantom.image - phantom.healthy
        peaks = (added == ndimage.maximum_filter(added, 3)) & (added > 0.05)
        assert 5 <= ndimage.label(peaks)[1] <= 25  # those that touch are one
        assert (added > 0.1).sum() < 0.5 * (phantom.lesion > 0).sum()
        sizes.setdefault(pathology, []).append((phantom.lesion > 0).sum())
    assert max(sizes["malignant"]) < min(sizes["benign"])


def test_vendors_differ_in_look_and_not_in_anatomy():
    for seed, density in product(range(3), DENSE_RANGES):
        siemens, hologic = (make_mammogram(seed, "CC", "L", v, density) for v in ("siemens", "hologic"))
        np.testing.assert_array_equal(siemens.breast, hologic.breast)
        np.testing.assert_array_equal(siemens.dense, hologic.dense)
        fat = siemens.breast & ~siemens.dense & (ndimage.distance_transform_edt(siemens.breast) > 30)
        assert siemens.image[fat].mean() > hologic.image[fat].mean() + 0.08
        rim = siemens.breast & ~ndimage.binary_erosion(siemens.breast, iterations=5, border_value=1)
        assert hologic.image[rim].mean() > siemens.image[rim].mean() + 0.05


def test_denser_breasts_are_brighter_within_a_vendor():
    for vendor in VENDORS:
        ranges = []
        for density in DENSE_RANGES:
            views = [make_mammogram(s, VIEWS[s % 2], "L", vendor, density, **SMALL) for s in range(6)]
            ranges.append([p.image[p.breast & ~p.pectoral].mean() for p in views])
        assert all(max(a) < min(b) for a, b in zip(ranges, ranges[1:], strict=False))


def test_the_same_seed_gives_the_same_pixels_and_sides_mirror():
    first, again = (make_mammogram(3, "MLO", lesion=LESIONS[0], **SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.lesion, again.lesion)
    right = make_mammogram(3, "MLO", "R", lesion=LESIONS[0], **SMALL)
    np.testing.assert_array_equal(right.breast, first.breast[:, ::-1])
    np.testing.assert_array_equal(right.lesion, first.lesion[:, ::-1])
    assert not np.array_equal(first.image, make_mammogram(4, "MLO", lesion=LESIONS[0], **SMALL).image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "ML"}, "view=ML"),
        ({"laterality": "B"}, "laterality=B"),
        ({"vendor": "ge"}, "vendor=ge"),
        ({"density": "high"}, "density=high"),
        ({"area": "huge"}, "area=huge"),
        ({"shape": (64, 56)}, "at least 128 rows"),
        ({"shape": (256, 128), "area": "big"}, "use a wider image"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        make_mammogram(0, **options)


@pytest.mark.parametrize("bad", [("cyst", "benign", 2), ("mass", "unclear", 3), ("mass", "benign", 4)])
def test_lesions_that_do_not_exist_are_refused(bad):
    with pytest.raises(InputError, match="use mass or calcification"):
        LesionPlan(*bad)
    with pytest.raises(InputError, match="0 to 1"):
        LesionPlan("mass", "benign", 2, size=1.5)


def test_patients_have_the_shares_that_are_told():
    patients = [draw_patient(seed) for seed in range(1200)]
    lesions = [p.lesion for p in patients if p.lesion]
    assert len(lesions) / 1200 == pytest.approx(0.5, abs=0.05)
    assert np.mean([lesion.type == "mass" for lesion in lesions]) == pytest.approx(0.65, abs=0.06)
    assert np.mean([lesion.pathology == "malignant" for lesion in lesions]) == pytest.approx(0.5, abs=0.06)
    assert {p.lesion_side for p in patients} == {None, "L", "R"}
    assert draw_patient(7) == draw_patient(7)
    assert plan_lesion(np.random.default_rng(0)) == plan_lesion(np.random.default_rng(0))


def test_withheld_combinations_are_never_drawn_unless_asked_for():
    seen = {(p.vendor, p.density, p.area) for p in map(draw_patient, range(1200))}
    withheld = {(p.vendor, p.density, p.area) for p in (draw_patient(s, withheld=True) for s in range(100))}
    assert withheld == set(WITHHELD)
    assert seen == set(product(VENDORS, DENSE_RANGES, AREA_RANGES)) - set(WITHHELD)
    for position in range(3):  # every word of theirs occurs elsewhere
        assert {c[position] for c in withheld} <= {c[position] for c in seen}


def test_a_lesion_is_seen_in_both_views_of_one_breast_and_classes_hold_in_all_views():
    patient = next(p for p in map(draw_patient, range(50)) if p.lesion)
    views = [draw_view(patient, side, view, **SMALL) for side in LATERALITIES for view in VIEWS]
    assert [bool(v.finding) for v in views] == [v.laterality == patient.lesion_side for v in views]
    assert len({v.image.tobytes() for v in views}) == 4
    ratios = [v.area_ratio for v in views]
    low, high = AREA_RANGES[patient.area]
    assert np.ptp(ratios) < 0.3 * (high - low)


def test_every_patient_can_be_drawn():
    for seed in range(20):
        for withheld in (False, True):
            patient = draw_patient(seed, withheld)
            if patient.lesion:
                for view in VIEWS:
                    assert draw_view(patient, patient.lesion_side, view, **SMALL).finding
