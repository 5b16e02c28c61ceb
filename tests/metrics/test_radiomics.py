"""Radiomics features equal hand-worked examples and independent tools; the distance equals the formula."""

import time

import numpy as np
import pytest
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from common.errors import InputError
from common.metrics.radiomics import DISTANCE_NAME, radiomics_distance, radiomics_vector
from common.metrics.radiomics_first_order import first_order
from common.metrics.radiomics_glcm import cooccurrence, directions, glcm_features
from common.metrics.radiomics_shape import shape_features

# Haralick, Shanmugam and Dinstein 1973, figure 3.
HARALICK = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])


def textured(seed=0, shape=(48, 40)):
    return np.random.default_rng(seed).integers(0, 8, shape)


def test_cooccurrence_equals_haralicks_printed_matrices():
    found = dict(zip(directions(2), cooccurrence(HARALICK, None, 4), strict=True))
    assert found[(0, 1)].tolist() == [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]]  # P_H
    assert found[(1, 0)].tolist() == [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]]  # P_V
    assert found[(1, -1)].tolist() == [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]]  # P_RD
    assert found[(1, 1)].tolist() == [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]]  # P_LD
    assert len(directions(3)) == 13


def test_glcm_features_by_hand():
    # Haralick's image, along the rows: 24 counts, see above. The diagonal holds 4 + 4 + 6 + 2 = 16 of them; apart by
    # one level lie (0,1) twice, (2,3) once; apart by two (0,2) once, each counted both ways.
    #   contrast = (2 * 3 * 1 + 2 * 1 * 4) / 24 = 14 / 24;  dissimilarity = (6 + 4) / 24
    #   homogeneity = (16 + 6 / 2 + 2 / 5) / 24;  inverse difference = (16 + 6 / 2 + 2 / 3) / 24
    #   asm = (16 + 4 + 1 + 4 + 16 + 1 + 36 + 1 + 1 + 4) / 576 = 84 / 576
    #   marginal (7, 6, 8, 3) / 24: mean = (7 + 12 + 24 + 12) / 24 = 55 / 24
    #   sum i^2 p = (7 + 24 + 72 + 48) / 24 = 151 / 24
    #   variance = 151 / 24 - (55 / 24)^2 = 599 / 576
    #   autocorrelation = (4 * 1 + 4 * 4 + 6 * 9 + 2 * 16 + 4 * 2 + 2 * 3 + 2 * 12) / 24 = 144 / 24 = 6
    #   correlation = (6 - (55 / 24)^2) / variance = 431 / 599
    #   cluster tendency = 2 variance + 2 covariance = 2 * (599 + 431) / 576
    rows = cooccurrence(HARALICK, None, 4)[directions(2).index((0, 1))]
    found = glcm_features(rows[None])
    expected = {
        "contrast": 14 / 24,
        "dissimilarity": 10 / 24,
        "homogeneity": 19.4 / 24,
        "inverse_difference": (19 + 2 / 3) / 24,
        "asm": 84 / 576,
        "max_probability": 6 / 24,
        "entropy": stats.entropy(rows.ravel(), base=2),
        "average": 55 / 24,
        "variance": 599 / 576,
        "autocorrelation": 6,
        "correlation": 431 / 599,
        "cluster_tendency": 2060 / 576,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_cluster_moments_equal_the_double_sum():
    matrices = cooccurrence(textured(), None, 8)
    found = glcm_features(matrices)
    i, j = np.mgrid[1:9, 1:9]
    for power, name in ((2, "tendency"), (3, "shade"), (4, "prominence")):
        each = [((i + j - 2 * (i * m).sum() / m.sum()) ** power * m).sum() / m.sum() for m in matrices]
        assert found[f"cluster_{name}"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("contrast", "contrast"),
        ("dissimilarity", "dissimilarity"),
        ("homogeneity", "homogeneity"),
        ("asm", "ASM"),
        ("correlation", "correlation"),
        ("entropy", "entropy"),
    ],
)
def test_glcm_equals_scikit_image(ours, theirs):
    image = textured(1)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    reference = graycomatrix(image.astype(np.uint8), [1], angles, levels=8, symmetric=True, normed=True)
    base = np.log(2) if theirs == "entropy" else 1  # scikit-image's entropy is in nats
    expected = graycoprops(reference, theirs).mean() / base
    assert glcm_features(cooccurrence(image, None, 8))[ours] == pytest.approx(expected)


def test_only_pairs_inside_the_mask_count():
    image, mask = textured(2), np.zeros((48, 40), bool)
    mask[5:20, 7:30] = True
    assert np.array_equal(cooccurrence(image, mask, 8), cooccurrence(image[5:20, 7:30], None, 8))
    volume = textured(3, (6, 7, 5))
    inside = np.zeros((6, 7, 5), bool)
    inside[1:5, 2:6, 1:4] = True
    assert np.array_equal(cooccurrence(volume, inside, 8), cooccurrence(volume[1:5, 2:6, 1:4], None, 8))
    assert cooccurrence(volume, None, 8).sum() == 2 * sum(
        np.prod([n - abs(s) for n, s in zip(volume.shape, step, strict=True)]) for step in directions(3)
    )


def test_first_order_equals_scipy_and_a_hand_worked_example():
    values = np.random.default_rng(0).gamma(2, 3, 500)
    found = first_order(values, np.zeros(500, int))
    assert found["skewness"] == pytest.approx(stats.skew(values))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(values, fisher=False))
    assert found["iqr"] == pytest.approx(stats.iqr(values))
    assert found["p90"] == pytest.approx(stats.scoreatpercentile(values, 90))
    # 1, 1, 2, 4: mean 2, squares 1 + 1 + 4 + 16, deviations 1, 1, 0, 2; levels 0, 0, 1, 3 with shares 1/2, 1/4, 1/4
    hand = first_order(np.array([1.0, 1, 2, 4]), np.array([0, 0, 1, 3]))
    expected = {"energy": 22, "rms": 5.5**0.5, "mean": 2, "median": 1.5, "variance": 1.5, "mad": 1, "range": 3}
    expected |= {"entropy": 1.5, "uniformity": 3 / 8, "skewness": 1.5 / 1.5**1.5, "kurtosis": 4.5 / 1.5**2}
    # 10th and 90th percentile are 1 and 3.4: 1, 1, 2 remain with mean 4/3
    expected |= {"robust_mad": (1 / 3 + 1 / 3 + 2 / 3) / 3}
    assert {name: hand[name] for name in expected} == pytest.approx(expected)


def test_shape_of_boxes_by_hand():
    # 3 x 4 pixels of 2 x 1 mm: the outline cuts the corners, 4 of half a pixel's diagonal, and is straight between.
    found = shape_features(np.ones((3, 4)), (2, 1))
    assert found["perimeter"] == pytest.approx(2 * 2 * 2 + 2 * 3 * 1 + 4 * np.hypot(1, 0.5))
    assert found["area"] == pytest.approx(3 * 2 * 4 - 4 * (1 * 0.5) / 2)
    # Centres at 0, 2, 4 and 0, 1, 2, 3 mm: variances 8/3 and 5/4.
    assert found["major_axis"] == pytest.approx(4 * (8 / 3) ** 0.5)
    assert found["elongation"] == pytest.approx((5 / 4 / (8 / 3)) ** 0.5)
    # One voxel's mesh is the octahedron through its six face centres: volume 1/6, surface sqrt(3).
    voxel = shape_features(np.ones((1, 1, 1)), (1, 1, 1))
    assert (voxel["volume"], voxel["surface_area"]) == pytest.approx((1 / 6, 3**0.5))
    assert np.isnan(voxel["elongation"])
    across = shape_features(np.eye(2), (1, 1))  # two pixels across: two diamonds
    assert (across["area"], across["perimeter"]) == pytest.approx((1, 8 * 0.5**0.5))


def test_shape_of_sphere_and_ellipses():
    grid = np.stack(np.meshgrid(*[np.arange(-25, 26) * 1.0] * 3, indexing="ij"))
    sphere = shape_features((grid**2).sum(0) < 20**2, (1, 1, 1))
    assert sphere["volume"] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    assert 0.89 < sphere["sphericity"] < 0.97  # the mesh follows the voxels' steps
    assert sphere["flatness"] == pytest.approx(1, abs=1e-6)
    # A solid ellipsoid's variance along a semi-axis a is a^2 / 5; spacing doubles the last one.
    ellipsoid = shape_features(((grid / np.array([24, 16, 6])[:, None, None, None]) ** 2).sum(0) < 1, (1, 1, 2))
    assert ellipsoid["major_axis"] == pytest.approx(4 * 24 / 5**0.5, rel=0.01)
    assert ellipsoid["elongation"] == pytest.approx(16 / 24, rel=0.02)
    assert ellipsoid["flatness"] == pytest.approx(12 / 24, rel=0.02)
    y, x = np.mgrid[-60:61, -60:61]
    ellipse = shape_features((x / 50) ** 2 + (y / 20) ** 2 < 1, (0.5, 0.5))
    assert ellipse["area"] == pytest.approx(np.pi * 25 * 10, rel=0.01)
    assert ellipse["major_axis"] == pytest.approx(50, rel=0.01)  # the full axis: a filled ellipse's variance is a^2 / 4
    assert ellipse["minor_axis"] == pytest.approx(20, rel=0.01)
    disc = shape_features(x**2 + y**2 < 50**2, (1, 1))
    assert disc["circularity"] == pytest.approx(1 / 1.055, rel=0.01)  # an octagonal metric's mean: 8 (sqrt 2 - 1) / pi


def test_vector_has_stable_names_and_invariances():
    image = np.random.default_rng(3).normal(size=(40, 40))
    mask = np.zeros((40, 40))
    mask[8:30, 10:25] = 1
    plain = radiomics_vector(image, mask, (1, 1), scale=(-3, 3))
    assert list(plain) == list(radiomics_vector(textured(shape=(40, 40)), mask))
    assert list(plain)[0] == "firstorder_energy" and "glcm_contrast" in plain and "shape_area" in plain
    assert len(set(radiomics_vector(image))) == len(plain) - 7  # without the seven shape features
    turned = radiomics_vector(np.rot90(image), np.rot90(mask), (1, 1), scale=(-3, 3))
    assert turned == pytest.approx(plain, rel=1e-9, abs=1e-9)
    moved = radiomics_vector(np.roll(image, 5, 0), np.roll(mask, 5, 0), (1, 1), scale=(-3, 3))
    assert moved == pytest.approx(plain, rel=1e-9, abs=1e-9)
    rescaled = radiomics_vector(2 * image + 7, mask, (1, 1), scale=(1, 13))
    same = [name for name in plain if name.startswith(("glcm", "shape")) or name.endswith(("skewness", "kurtosis"))]
    assert [rescaled[n] for n in same] == pytest.approx([plain[n] for n in same])
    assert rescaled["firstorder_mean"] == pytest.approx(2 * plain["firstorder_mean"] + 7)
    outside = np.where(mask > 0, image, np.nan)  # what isn't in the mask is never read
    assert radiomics_vector(outside, mask, (1, 1), scale=(-3, 3)) == pytest.approx(plain)


def test_glcm_of_a_large_image_is_quick():
    image = np.random.default_rng(0).integers(0, 32, (256, 256))
    start = time.process_time()
    for _ in range(5):
        glcm_features(cooccurrence(image, None, 32))
    assert (time.process_time() - start) / 5 < 0.05


def test_undefined_features_are_nan():
    constant = radiomics_vector(np.full((8, 8), 3.0), np.ones((8, 8)))
    undefined = {name for name, value in constant.items() if np.isnan(value)}
    assert undefined == {"firstorder_skewness", "firstorder_kurtosis", "glcm_correlation"}
    assert constant["glcm_asm"] == 1 and constant["firstorder_entropy"] == 0
    empty = radiomics_vector(np.ones((8, 8)), np.zeros((8, 8)))
    assert list(empty) == list(constant) and np.isnan(list(empty.values())).all()
    pixel = np.zeros((8, 8))
    pixel[3, 3] = 1
    assert np.isnan(radiomics_vector(pixel, pixel)["glcm_contrast"])


def vectors(**columns):
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def test_distance_by_hand():
    # Real -1, 1: mean 0, variance 2. Synthetic 1, 5: mean 3, variance 8. In units of the real deviation: shift
    # 3 / sqrt 2, variances 1 and 4: 9 / 2 + 1 + 4 - 2 * sqrt(4) = 5.5.
    result = radiomics_distance(vectors(a=[-1, 1]), vectors(a=[1, 5]))
    assert result["distance"] == pytest.approx(5.5)
    assert result["name"] == DISTANCE_NAME and "not frd-score" in DISTANCE_NAME
    # Two features: real with covariance 4/3 I, scaled to I. Synthetic: the points of covariance [[2, 1], [1, 2]] times
    # 4/3 (eigenvalues 3 and 1), moved by one real deviation along a: 1 + 2 + 4 - 2 (sqrt 3 + 1).
    real = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    root = np.array([[3**0.5 + 1, 3**0.5 - 1], [3**0.5 - 1, 3**0.5 + 1]]) / 2
    moved = real @ root + [(4 / 3) ** 0.5, 0]
    result = radiomics_distance(vectors(a=10 * real[:, 0], b=real[:, 1]), vectors(a=10 * moved[:, 0], b=moved[:, 1]))
    assert result["distance"] == pytest.approx(1 + 2 + 4 - 2 * (3**0.5 + 1))


def test_distance_leaves_out_what_is_not_defined_and_says_so():
    rng = np.random.default_rng(0)
    a, b, nan = rng.normal(size=30), rng.normal(size=30), float("nan")
    plain = radiomics_distance(vectors(a=a, b=b), vectors(a=a + 1, b=b))
    some, never = a.copy(), np.full(30, nan)
    some[4] = nan
    result = radiomics_distance(
        [*vectors(a=a, b=b, c=np.full(30, 5), d=never, e=a * 0), dict.fromkeys("abcde", nan)],
        vectors(a=a + 1, b=b, c=b, d=b, e=b),
    )
    assert result["distance"] == pytest.approx(plain["distance"])
    assert result["features"] == ["a", "b"] and set(result["dropped"]) == {"c", "d", "e"}
    assert "undefined in 100%" in result["dropped"]["d"] and "constant" in result["dropped"]["c"]
    assert (result["n_real"], result["left_out_real"], result["left_out_synthetic"]) == (30, 1, 0)
    rare = radiomics_distance(vectors(a=some, b=b), vectors(a=a, b=b))
    assert rare["features"] == ["a", "b"] and (rare["n_real"], rare["left_out_real"]) == (29, 1)
    assert np.isnan(radiomics_distance(vectors(a=[1.0]), vectors(a=[2.0]))["distance"])
    assert "biased" in radiomics_distance(vectors(a=[1, 2], b=[1, 3]), vectors(a=[1, 2], b=[1, 3]))["notes"][0]


def test_distance_grows_with_blur_and_is_zero_for_the_same_images():
    from scipy.ndimage import gaussian_filter

    images = [np.random.default_rng(s).normal(size=(32, 32)) for s in range(80)]
    real = [radiomics_vector(image, scale=(-3, 3)) for image in images]
    assert radiomics_distance(real, real)["distance"] == pytest.approx(0, abs=1e-3)
    floor = radiomics_distance(real[:40], real[40:])["distance"]
    blurred = [radiomics_vector(gaussian_filter(image, 0.6), scale=(-3, 3)) for image in images[40:]]
    assert radiomics_distance(real[:40], blurred)["distance"] > 5 * floor


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": np.ones((2, 2, 2, 2))}, "2D or 3D"),
        ({"image": np.ones((4, 4)), "mask": np.ones((3, 3))}, "mask of shape"),
        ({"image": np.array([[1.0, np.nan]])}, "NaN"),
        ({"image": np.ones((4, 4)), "spacing": (1, 1, 1)}, "spacing"),
        ({"image": np.ones((4, 4)), "scale": (1, 1)}, "scale"),
        ({"image": np.ones((4, 4)), "levels": 1}, "levels"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, words):
    with pytest.raises(InputError, match=words):
        radiomics_vector(**arguments)


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="features differ"):
        radiomics_distance(vectors(a=[1, 2]), vectors(b=[1, 2]))
    with pytest.raises(InputError, match="real set is empty"):
        radiomics_distance([], vectors(b=[1, 2]))
