"""Distribution scores of feature sets: intervals, real-against-real floors, warnings, and the plain formulas."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.neighbors import NearestNeighbors

from common.metrics import distribution_intervals
from common.metrics.distribution import frechet_distance, gaussian_kernel, kernel_distance, weighted_frechet
from common.metrics.distribution_intervals import frechet_with_interval, kernel_value, kernel_with_interval
from common.metrics.distribution_scores import FRECHET, KID, MANIFOLD, MIFID, MMD, distribution_scores
from common.metrics.feature_set import FeatureSet
from common.metrics.manifold import judged_by_neighbours, manifold_scores, memorization_penalty


def gaussian(n, features=4, shift=0.0, seed=0):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed)) + shift


def images(n, features=4, shift=0.0, seed=0):
    return FeatureSet.of_images(gaussian(n, features, shift, seed))


def scipy_frechet(first, second):
    covariances = [np.cov(part.double().numpy().T) for part in (first, second)]
    offset = (first.double().mean(0) - second.double().mean(0)).numpy()
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    return offset @ offset + np.trace(covariances[0] + covariances[1] - 2 * root)


class TestFeatureSet:
    def test_several_vectors_an_image_are_counted_once(self):
        found = FeatureSet.of_images(torch.arange(12.0).reshape(2, 3, 2))
        assert (found.count, found.width, len(found.rows)) == (2, 2, 6)
        assert found.means().tolist() == [[2, 3], [8, 9]]

    def test_images_are_taken_with_all_their_vectors_and_twice_where_named_twice(self):
        groups = FeatureSet.of_groups([[[0.0], [1.0]], [[2.0]], [[3.0], [4.0], [5.0]]])
        taken = groups.take([2, 0, 2])
        assert taken.rows[:, 0].tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
        assert taken.images.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]

    def test_a_set_is_scaled_by_another(self):
        scaled = images(50, shift=3.0).standardized_by(images(50, shift=3.0))
        assert torch.allclose(scaled.rows.mean(0), torch.zeros(4), atol=1e-5)
        assert torch.allclose(scaled.rows.std(0), torch.ones(4), atol=1e-5)
        assert images(5).standardized_by(images(1)).rows.isfinite().all()


class TestFrechet:
    @pytest.mark.parametrize(("n", "features"), [(40, 5), (12, 30)])
    def test_both_ways_of_computing_equal_scipy(self, n, features):
        """n above F goes by covariances, n below F by the Gram matrix."""
        first, second = gaussian(n, features, seed=1), gaussian(n + 3, features, 0.3, seed=2) * 1.5
        expected = scipy_frechet(first, second)
        assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-5)
        assert expected > 1

    @pytest.mark.parametrize("features", [3, 40])
    def test_weights_are_repetitions(self, features):
        first, second = gaussian(12, features, seed=1), gaussian(14, features, 1.0, seed=2)
        weights = torch.tensor([3, 0, 1, 2, 1, 1, 0, 2, 1, 1, 1, 4])
        repeated = first.repeat_interleave(weights, dim=0)
        found = weighted_frechet(first, weights, second, torch.ones(14))
        assert found == pytest.approx(frechet_distance(repeated, second), rel=1e-7)
        assert found != pytest.approx(frechet_distance(first, second), rel=1e-3)

    def test_the_interval_holds_the_estimate_and_repeats_itself(self):
        first, second = images(60, seed=1), images(50, shift=0.5, seed=2)
        found = frechet_with_interval(first, second, seed=3)
        assert found["mean"] == frechet_distance(first.rows, second.rows)
        assert found["low"] < found["mean"] < found["high"]
        assert found["n"] == 50
        assert frechet_with_interval(first, second, seed=3) == found
        assert frechet_with_interval(first, second, seed=4) != found

    def test_the_interval_covers_about_as_often_as_it_says(self):
        """True distance 1: two unit Gaussians whose means differ by 0.5 in each of four features."""
        hits = 0
        for trial in range(60):
            parts = images(150, seed=2 * trial), images(150, shift=0.5, seed=2 * trial + 1)
            found = frechet_with_interval(*parts, seed=trial, resamples=60)
            hits += found["low"] <= 1.0 <= found["high"]
        assert hits >= 48

    def test_one_image_has_no_interval(self):
        found = frechet_with_interval(images(1), images(10))
        assert math.isnan(found["low"])
        assert math.isnan(found["high"])


class TestKernelDistance:
    def test_one_vector_an_image_gives_the_plain_distance(self):
        first, second = images(20, seed=1), images(15, shift=0.4, seed=2)
        for kernel in (None, gaussian_kernel(1.5)):
            arguments = [kernel] if kernel else []
            found = kernel_with_interval(first, second, *arguments, resamples=50)
            assert found["mean"] == pytest.approx(kernel_distance(first.rows, second.rows, *arguments), rel=1e-9)
            assert kernel_value(first, second, *arguments) == found["mean"]
            assert found["low"] < found["mean"] < found["high"]

    def test_vectors_of_one_image_are_never_compared(self):
        """Kernel x y. Within the first set only 1 and 2 meet 3: (3 + 6) / 2. Within the second 5 meets 4 and 0: 20 / 2.

        Between the sets: (1 + 2 + 3) (5 + 4 + 0) / 9 = 6.
        """
        first = FeatureSet.of_groups([[[1.0], [2.0]], [[3.0]]])
        second = FeatureSet.of_groups([[[5.0]], [[4.0], [0.0]]])
        assert kernel_value(first, second, lambda a, b: a @ b.T) == pytest.approx(4.5 + 10 - 2 * 6)

    def test_the_interval_tells_a_shift_from_none(self):
        same = kernel_with_interval(images(80, seed=1), images(80, seed=2), resamples=300)
        shifted = kernel_with_interval(images(80, seed=1), images(80, shift=0.7, seed=2), resamples=300)
        assert same["low"] < 0 < same["high"]
        assert shifted["low"] > 0.1

    def test_most_intervals_of_one_distribution_hold_zero(self):
        kernel = gaussian_kernel(2.0)
        found = [
            kernel_with_interval(images(30, seed=2 * k), images(30, seed=2 * k + 1), kernel, resamples=200)
            for k in range(60)
        ]
        assert sum(part["low"] <= 0 <= part["high"] for part in found) >= 50

    def test_repeats_of_a_case_do_not_narrow_the_interval(self):
        """Ten equal vectors a case are no more certain than one; as cases of their own they would seem so."""
        rows, real = gaussian(25, shift=0.5, seed=2), images(25, seed=1)
        once = kernel_with_interval(real, FeatureSet.of_images(rows), resamples=400)
        grouped = FeatureSet.of_groups([[row.tolist()] * 10 for row in rows])
        repeated = kernel_with_interval(real, grouped, resamples=400)
        assert repeated == pytest.approx(once, rel=1e-5)
        apart = kernel_with_interval(real, FeatureSet.of_images(rows.repeat(10, 1)), resamples=400)
        width = [part["high"] - part["low"] for part in (once, apart)]
        assert width[1] < 0.9 * width[0]
        frechet = [frechet_with_interval(real, part) for part in (FeatureSet.of_images(rows), grouped)]
        widths = [part["high"] - part["low"] for part in frechet]
        assert widths[1] == pytest.approx(widths[0], rel=0.25)

    def test_large_sets_are_compared_in_subsets(self, monkeypatch):
        monkeypatch.setattr(distribution_intervals, "SUBSET", 100)
        monkeypatch.setattr(distribution_intervals, "SUBSETS", 20)
        kernel = gaussian_kernel(2.0)
        first, second = images(300, seed=1), images(90, shift=0.5, seed=2)
        found = kernel_with_interval(first, second, kernel, seed=1)
        whole = kernel_distance(first.rows, second.rows, kernel)
        assert found["low"] < whole < found["high"]
        assert found["mean"] == pytest.approx(whole, rel=0.2)
        assert kernel_value(first, second, kernel, seed=1) == found["mean"]
        assert found["mean"] != whole

    def test_more_than_a_thousand_images(self):
        first, second = images(1001, 2, seed=1), images(60, 2, seed=2)
        found = kernel_with_interval(first, second)
        assert found["mean"] == pytest.approx(kernel_distance(first.rows, second.rows), abs=0.01)
        assert found["n"] == 60


class TestManifold:
    def test_points_on_a_line_by_hand(self):
        """Real 0, 1, 3, 7, k = 1: radii 1, 1, 2, 4. Synthetic 1.5, 2, 20: radii 0.5, 0.5, 18."""
        real, synthetic = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([[1.5], [2.0], [20.0]])
        found = judged_by_neighbours(real, synthetic, neighbours=1)
        assert found["precision"].tolist() == [1, 1, 0]
        assert found["density"].tolist() == [2, 2, 0]
        assert found["recall"].tolist() == [0, 1, 1, 1]
        assert found["coverage"].tolist() == [0, 1, 1, 0]

    def test_all_four_equal_a_brute_force_search(self):
        real, synthetic, k = gaussian(700, 3, seed=1), gaussian(90, 3, 0.5, seed=2), 5
        radii = [
            NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(part).kneighbors(part)[0][:, -1]
            for part in (real, synthetic)
        ]
        distances = torch.cdist(synthetic.double(), real.double()).numpy()
        expected = {
            "precision": (distances <= radii[0]).any(1).mean(),
            "recall": (distances <= radii[1][:, None]).any(0).mean(),
            "density": (distances <= radii[0]).sum() / k / len(synthetic),
            "coverage": (distances.min(0) <= radii[0]).mean(),
        }
        judged = judged_by_neighbours(real, synthetic, k)
        assert {name: float(values.mean()) for name, values in judged.items()} == pytest.approx(expected, rel=1e-5)
        assert 0 < expected["coverage"] < expected["recall"] < 1

    def test_one_distribution_is_covered_as_naeem_et_al_derive(self):
        judged = judged_by_neighbours(gaussian(1500, 3, seed=1), gaussian(1500, 3, seed=2), 3)
        assert float(judged["coverage"].mean()) == pytest.approx(1 - 2**-3, abs=0.03)
        assert float(judged["density"].mean()) == pytest.approx(1, abs=0.08)

    def test_none_and_all_are_not_certain(self):
        far = manifold_scores(gaussian(20, seed=1), gaussian(20, shift=100.0, seed=2))
        assert far["precision"]["mean"] == 0
        assert 0 < far["precision"]["high"] < 0.3
        same = manifold_scores(gaussian(20, seed=1), gaussian(20, seed=1))
        assert same["coverage"]["mean"] == 1
        assert 0.7 < same["coverage"]["low"] < 1

    def test_too_few_vectors_are_refused(self):
        with pytest.raises(ValueError, match="more than 5 images"):
            judged_by_neighbours(gaussian(5), gaussian(9))


class TestMemorization:
    def test_penalty_by_hand(self):
        """Cosine distances to the nearest of (1, 0) and (0, 1): 0 and 1 - 4 / 5; (-1, 0) lies on the same line."""
        training = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
        synthetic = torch.tensor([[1.0, 0.0], [3.0, 4.0], [-1.0, 0.0], [0.0, 0.0]])
        assert memorization_penalty(synthetic, training, threshold=0.5) == pytest.approx(0.2 / 3)
        assert memorization_penalty(synthetic, training, threshold=0.06) == 1

    def test_vectors_of_zeros_alone_are_no_copies(self):
        zeros, some = torch.zeros(3, 2), torch.ones(2, 2)
        assert memorization_penalty(zeros, some) == 1
        assert memorization_penalty(some, zeros) == 1

    def test_mifid_equals_torchmetrics(self):
        """torchmetrics takes for each *real* vector the nearest generated one; Bai et al. 2021 (and we) for each
        generated vector the nearest training one. Its first argument is therefore our synthetic set."""
        from torchmetrics.image.mifid import _mifid_compute

        training = gaussian(40, 3, seed=1) + 2
        synthetic = training[:25] + 0.2 * gaussian(25, 3, seed=2)
        moments = [(part.mean(0), torch.cov(part.T)) for part in (synthetic.double(), training.double())]
        expected = _mifid_compute(
            *moments[0], synthetic.double(), *moments[1], training.double(), cosine_distance_eps=0.1
        )
        penalty = memorization_penalty(synthetic, training)
        assert penalty < 0.1
        assert frechet_distance(synthetic, training) / penalty == pytest.approx(float(expected), rel=1e-6)
        scores = distribution_scores(FeatureSet.of_images(training), FeatureSet.of_images(synthetic), resamples=5)
        assert score_of(scores, MIFID).value["mean"] == pytest.approx(float(expected), rel=1e-6)


def score_of(scores, name):
    return next(score for score in scores.scores if score.name == name)


class TestFloor:
    def test_halves_of_the_real_set(self):
        scores = distribution_scores(images(61, seed=1), images(100, seed=2), resamples=20)
        for score in scores.scores:
            assert score.floor_n == (30, 30), score.name
            assert score.floor["low"] <= score.at_floor_n["mean"] <= score.floor["high"], score.name
        assert [score.name for score in scores.scores] == [FRECHET, KID, MMD, *MANIFOLD, MIFID]

    def test_a_shifted_set_lies_outside_of_the_floor(self):
        scores = distribution_scores(images(60, seed=1), images(60, shift=1.0, seed=2), resamples=20)
        for name in (FRECHET, KID, MMD):
            assert score_of(scores, name).at_floor_n["low"] > score_of(scores, name).floor["high"], name
        for name in ("precision", "coverage", "density"):
            assert score_of(scores, name).at_floor_n["mean"] < score_of(scores, name).floor["mean"], name

    def test_a_floor_set_is_compared_with_the_whole_real_one(self):
        floor, real = images(25, seed=3), images(40, seed=1)
        scores = distribution_scores(real, images(90, shift=1.0, seed=2), floor, resamples=20)
        found = score_of(scores, FRECHET)
        assert found.floor_n == (40, 25)
        assert found.floor["mean"] == pytest.approx(frechet_distance(real.rows, floor.rows), rel=1e-6)
        assert found.floor["mean"] < found.at_floor_n["low"]

    def test_few_synthetic_images_make_the_floor_as_small(self):
        scores = distribution_scores(images(40, seed=1), images(9, seed=2), resamples=20)
        assert score_of(scores, FRECHET).floor_n == (20, 9)

    def test_the_bias_of_few_images_is_the_same_beside_the_floor(self):
        """With 8 features and 12 images the distance of one distribution is far from 0; the floor's is as far."""
        scores = distribution_scores(images(24, 8, seed=1), images(200, 8, seed=2), resamples=20, splits=40)
        found = score_of(scores, FRECHET)
        assert found.floor["mean"] > 1
        assert found.at_floor_n["mean"] == pytest.approx(found.floor["mean"], rel=0.35)
        assert found.at_floor_n["mean"] > 1.5 * found.value["mean"]

    def test_three_real_images_have_no_floor(self):
        scores = distribution_scores(images(3, seed=1), images(10, seed=2), resamples=5)
        assert score_of(scores, FRECHET).floor is None
        assert score_of(scores, FRECHET).value["mean"] > 0

    def test_several_vectors_an_image(self):
        real, synthetic = (FeatureSet.of_images(gaussian(120, 3, seed=s).reshape(20, 6, 3)) for s in (1, 2))
        scores = distribution_scores(real, synthetic, resamples=20)
        assert (scores.n_real, scores.n_synthetic, scores.width) == (20, 20, 3)
        assert score_of(scores, KID).floor_n == (10, 10)

    def test_same_seed_same_scores(self):
        sets = images(30, seed=1), images(30, seed=2)
        assert distribution_scores(*sets, seed=4, resamples=10) == distribution_scores(*sets, seed=4, resamples=10)


class TestWarnings:
    def test_fewer_images_than_features(self):
        scores = distribution_scores(images(10, 12, seed=1), images(30, 12, seed=2), resamples=5)
        assert "10 vectors are not more than 12 features" in score_of(scores, FRECHET).warning
        assert "biased upward" in score_of(scores, MIFID).warning
        assert score_of(scores, KID).warning == ""

    def test_more_images_than_features_are_not_warned_about(self):
        scores = distribution_scores(images(13, 12, seed=1), images(30, 12, seed=2), resamples=5)
        assert [score.warning for score in scores.scores] == [""] * 8

    def test_one_image_defines_nothing(self):
        for real, synthetic in ((1, 10), (10, 1)):
            scores = distribution_scores(images(real, seed=1), images(synthetic, seed=2))
            for score in scores.scores:
                assert score.value is None, score.name
                assert "at least 2 images" in score.warning, score.name

    def test_neighbours_need_more_images_than_they_are(self):
        scores = distribution_scores(images(5, 2, seed=1), images(20, 2, seed=2), resamples=5)
        for name in MANIFOLD:
            assert score_of(scores, name).value is None
            assert "more than 5 images" in score_of(scores, name).warning
        assert score_of(scores, KID).value is not None

    def test_equal_images_have_scores_all_the_same(self):
        same = FeatureSet.of_images(torch.ones(8, 3))
        scores = distribution_scores(same, same, resamples=5)
        assert score_of(scores, FRECHET).value["mean"] == pytest.approx(0, abs=1e-12)
        assert score_of(scores, KID).value["mean"] == pytest.approx(0, abs=1e-12)
        assert score_of(scores, "coverage").value["mean"] == 1
