import math

import numpy as np
import pytest
import torch

from common.metrics.adherence import dice, has_expected_order, region_dice, region_medians
from common.metrics.uncertainty import mean_with_interval


def test_nested_regions_by_hand():
    mask = torch.tensor([1, 2, 3, 3, 0, 0], dtype=torch.uint8)
    found = torch.tensor([1, 2, 3, 0, 2, 0], dtype=torch.uint8)
    scores = region_dice(found, mask)
    assert scores["whole"] == pytest.approx(2 * 3 / 8)
    assert scores["core"] == pytest.approx(2 * 2 / 5)
    assert scores["enhancing"] == pytest.approx(2 * 1 / 3)


def test_a_region_that_the_mask_lacks_is_not_scored():
    mask = torch.tensor([1, 2, 0], dtype=torch.uint8)
    assert math.isnan(region_dice(torch.tensor([1, 3, 0], dtype=torch.uint8), mask)["enhancing"])
    assert dice(torch.tensor([True, False]), torch.tensor([False, True])) == 0


def test_order_of_intensities_is_right_and_wrong_where_it_should_be():
    mask = torch.zeros(24, 24, 24, dtype=torch.uint8)
    mask[4:7, 4:8, 4:8], mask[7:10, 4:8, 4:8], mask[10:13, 4:8, 4:8] = 1, 3, 2
    brain = torch.ones_like(mask, dtype=torch.bool)
    image = torch.full((1, 24, 24, 24), 0.7)
    image[0][mask == 1], image[0][mask == 2], image[0][mask == 3] = 0.3, 0.55, 1.1
    medians = region_medians(image, mask, brain)
    assert float(medians["brain"]) == pytest.approx(0.7)
    assert has_expected_order(medians, ["T1C"]) == {"T1C": True}
    image[0][mask == 1] = 1.4  # necrosis that enhances
    assert has_expected_order(region_medians(image, mask, brain), ["T1C"]) == {"T1C": False}


def test_interval_covers_the_mean_and_leaves_nan_out():
    values = [*np.random.default_rng(0).normal(5, 1, 50), float("nan")]
    result = mean_with_interval(values)
    assert result["n"] == 50
    assert result["low"] < result["mean"] < result["high"]
    assert result["high"] - result["low"] == pytest.approx(2 * 1.96 / 50**0.5, rel=0.3)
    assert result == mean_with_interval(values)
