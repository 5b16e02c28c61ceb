import numpy as np
import pytest
import torch
from scipy import stats

from common.metrics.lesion_reading import agreement, confusion_matrix, false_lesions, quadratic_kappa, read_lesions
from common.metrics.uncertainty import ratio_with_interval, share_with_interval, statistic_with_interval


def logits_of(marks, size=48):
    """Logits of a reader that is sure of squares (x, y, edge, class) and of background elsewhere."""
    logits = torch.zeros(6, size, size)
    logits[0] = 4
    for x, y, edge, birads in marks:
        logits[birads - 1, x : x + edge, y : y + edge] = 8
    return logits


def instances_of(squares, size=48):
    instances = np.zeros((size, size), np.uint16)
    for number, (x, y, edge) in enumerate(squares, 1):
        instances[x : x + edge, y : y + edge] = number
    return instances


def test_lesion_in_its_place_is_found_with_its_class_and_extent():
    instances = instances_of([(10, 10, 6), (30, 30, 8)])
    first, second = read_lesions(logits_of([(10, 10, 6, 4), (32, 30, 8, 5)]), instances, {1: 4, 2: 6})
    assert first == {
        "instance": 1,
        "birads": 4,
        "found": True,
        "read": 4,
        "dice": 1.0,
        "area_ratio": 1.0,
        "centre_distance": 0.0,
    }
    assert (second["found"], second["read"], second["birads"]) == (True, 5, 6)
    assert second["dice"] == pytest.approx(2 * 48 / 128)
    assert second["centre_distance"] == pytest.approx(2.0)


def test_missed_lesion_has_no_class_and_no_distance():
    (reading,) = read_lesions(logits_of([]), instances_of([(10, 10, 6)]), {1: 3})
    assert (reading["found"], reading["read"], reading["dice"], reading["area_ratio"]) == (False, None, 0.0, 0.0)
    assert np.isnan(reading["centre_distance"])


def test_a_mark_within_the_dilation_counts_and_one_beyond_is_a_false_lesion():
    instances, near, far = instances_of([(10, 10, 6)]), logits_of([(18, 10, 6, 2)]), logits_of([(21, 10, 6, 2)])
    assert read_lesions(near, instances, {1: 2}, dilation_px=4)[0]["found"]
    assert false_lesions(near, instances, 4) == 0
    assert not read_lesions(far, instances, {1: 2}, dilation_px=4)[0]["found"]
    assert false_lesions(far, instances, 4) == 1
    assert false_lesions(far, np.zeros_like(instances), 4) == 1


def test_a_quarter_of_the_area_is_needed_and_specks_are_noise():
    instances = instances_of([(10, 10, 8)])  # 64 pixels
    assert read_lesions(logits_of([(10, 10, 4, 2)]), instances, {1: 2})[0]["found"]
    assert not read_lesions(logits_of([(10, 10, 3, 2)]), instances, {1: 2})[0]["found"]
    speck = logits_of([(30, 30, 1, 2)])
    assert false_lesions(speck, instances) == 0
    assert not read_lesions(speck, instances_of([(30, 30, 1)]), {1: 2})[0]["found"]
    assert read_lesions(logits_of([(30, 30, 2, 2)]), instances_of([(30, 30, 1)]), {1: 2})[0]["found"]


def test_marks_count_for_the_nearest_lesion_only():
    instances = instances_of([(10, 10, 6), (10, 19, 6)])
    first, second = read_lesions(logits_of([(10, 10, 6, 4)]), instances, {1: 4, 2: 5}, dilation_px=4)
    assert (first["found"], second["found"]) == (True, False)


def test_class_is_by_sum_of_probabilities_over_the_marks():
    logits = logits_of([(10, 10, 6, 4)])
    logits[4, 10:16, 10:12] = 30  # a third of the marks is surely class 5, then two thirds
    assert read_lesions(logits, instances_of([(10, 10, 6)]), {1: 4})[0]["read"] == 4
    logits[4, 10:16, 12:14] = 30
    assert read_lesions(logits, instances_of([(10, 10, 6)]), {1: 4})[0]["read"] == 5


def test_confusion_agreement_and_kappa_by_hand():
    matrix = confusion_matrix([2, 2, 3, 6, 6], [2, 3, 3, 6, None])
    assert matrix.shape == (5, 6)
    assert matrix[0].tolist() == [1, 1, 0, 0, 0, 0]
    assert matrix[4].tolist() == [0, 0, 0, 0, 1, 1]
    assert agreement(matrix) == pytest.approx(3 / 4)
    assert agreement(matrix, among_found=False) == pytest.approx(3 / 5)
    # One disagreement of weight 1; expected by chance (rows 2, 1, 0, 0, 1; columns 1, 2, 0, 0, 1; n 4):
    # 2*(2*1 + 1*16) + 1*(1*1 + 1*9) + 1*(1*16 + 2*9) = 80, over 4 = 20.
    assert quadratic_kappa(matrix) == pytest.approx(1 - 1 / 20)
    assert np.isnan(agreement(np.zeros((5, 6), int)))
    assert np.isnan(quadratic_kappa(confusion_matrix([2, 2], [2, 2])))


def test_kappa_of_perfect_and_reversed_reading():
    asked = [2, 3, 4, 5, 6]
    assert quadratic_kappa(confusion_matrix(asked, asked)) == pytest.approx(1.0)
    assert quadratic_kappa(confusion_matrix(asked, asked[::-1])) == pytest.approx(-1.0)


def test_intervals_resample_cases():
    rng = np.random.default_rng(0)
    values = rng.normal(size=50)
    ours = ratio_with_interval(values, np.ones(50))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=0)
    assert ours["low"] == pytest.approx(theirs.confidence_interval.low, abs=0.03)
    assert ours["high"] == pytest.approx(theirs.confidence_interval.high, abs=0.03)
    assert ratio_with_interval([3, 0, 1], [4, 0, 4])["mean"] == pytest.approx(0.5)
    assert ratio_with_interval([3, 0, 1], [4, 0, 4])["n"] == 2
    assert np.isnan(ratio_with_interval([], [])["mean"])
    assert np.isnan(statistic_with_interval(lambda chosen: 1.0, 1)["low"])


def test_share_of_all_or_none_has_wilsons_interval():
    wilson = stats.binomtest(10, 10).proportion_ci(method="wilson")
    every = share_with_interval([2] * 10, [2] * 10)
    assert (every["mean"], every["high"]) == (1.0, 1.0)
    assert every["low"] == pytest.approx(wilson.low, abs=1e-6)
    none = share_with_interval([0] * 10, [2] * 10)
    assert (none["mean"], none["low"]) == (0.0, 0.0)
    assert none["high"] == pytest.approx(1 - wilson.low, abs=1e-6)
