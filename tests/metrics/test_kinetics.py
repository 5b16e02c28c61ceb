import math

import pytest
import torch

from common.errors import InputError
from common.metrics.kinetics import PERSISTENT, PLATEAU, WASH_OUT, kinetics, order_kept, region_mean


def test_wash_out_worked_by_hand():
    found = kinetics(100, (220, 200, 160), times=(90, 221, 352))
    assert found.relative == pytest.approx((1.2, 1.0, 0.6))
    assert found.initial == pytest.approx(1.2)
    assert found.delayed == pytest.approx(-60 / 220)
    assert found.ser == pytest.approx(120 / 60)
    assert found.peak == 120
    assert (found.time_to_peak, found.time_unit) == (90, "s")
    assert found.curve == WASH_OUT


def test_persistent_worked_by_hand():
    found = kinetics(50, (60, 70, 90))
    assert found.relative == pytest.approx((0.2, 0.4, 0.8))
    assert found.delayed == pytest.approx(0.5)
    assert found.ser == pytest.approx(0.25)
    assert (found.time_to_peak, found.time_unit) == (3, "phase")
    assert found.curve == PERSISTENT


@pytest.mark.parametrize(
    ("last", "curve"), [(111, PERSISTENT), (110, PLATEAU), (100, PLATEAU), (90, PLATEAU), (89, WASH_OUT)]
)
def test_plateau_reaches_to_ten_per_cent_on_both_sides(last, curve):
    assert kinetics(40, (100, last)).curve == curve


def test_threshold_of_the_curve_is_a_parameter():
    assert kinetics(40, (100, 111), threshold=0.2).curve == PLATEAU


def test_a_region_that_does_not_enhance_has_no_ratios():
    found = kinetics(100, (95, 100, 90))
    assert found.curve is None
    assert math.isnan(found.ser)
    assert math.isnan(found.time_to_peak)
    assert found.initial == pytest.approx(-0.05)
    assert found.delayed == pytest.approx(-5 / 95)


def test_what_is_undefined_is_nan():
    single = kinetics(100, (150,))
    assert single.initial == pytest.approx(0.5)
    assert single.curve is None
    assert math.isnan(single.delayed)
    assert math.isnan(single.ser)
    dark = kinetics(0, (0, 5))
    assert all(map(math.isnan, (*dark.relative, dark.delayed)))
    assert dark.ser == 0


def test_order_is_judged_outside_the_tolerance_only():
    # Peak enhancement 100, so pairs that differ by at most 10 are ties: (1, 3) of 195 and 190.
    real = kinetics(100, (195, 200, 190))
    tied = order_kept(real, kinetics(100, (120, 130, 140)))
    assert (tied.kept, tied.strict, tied.compared, tied.agreeing) == (True, False, 0, 0)
    real = kinetics(100, (150, 200, 192))  # 1 < 2 and 1 < 3 are clear, 2 and 3 tie
    assert order_kept(real, kinetics(100, (110, 112, 115))).kept
    wrong = order_kept(real, kinetics(100, (110, 112, 109)))
    assert (wrong.kept, wrong.compared, wrong.agreeing) == (False, 2, 1)
    flat = order_kept(real, kinetics(100, (110, 110, 115)))
    assert (flat.kept, flat.agreeing) == (False, 1)


def test_strict_order_asks_for_the_same_ranking():
    real = kinetics(100, (150, 200, 192))
    assert order_kept(real, kinetics(100, (101, 103, 102))).strict
    assert not order_kept(real, kinetics(100, (101, 103, 103))).strict
    assert order_kept(real, kinetics(100, (101, 103, 103)), tolerance=0.0).agreeing == 2


def test_order_of_a_region_that_does_not_enhance_is_not_judged():
    found = order_kept(kinetics(100, (90, 80)), kinetics(100, (90, 80)))
    assert (found.kept, found.strict, found.compared) == (None, True, 0)


def test_mean_of_a_region():
    volume = torch.arange(16, dtype=torch.int16).view(2, 2, 2, 2)
    region = torch.zeros(2, 2, 2, dtype=torch.bool)
    region[0, 0] = True
    assert region_mean(volume, region) == [0.5, 8.5]
    with pytest.raises(InputError, match="region is empty"):
        region_mean(volume, ~region & region)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kinetics(1, ()), "at least one phase"),
        (lambda: kinetics(math.nan, (1,)), "finite means"),
        (lambda: kinetics(1, (2, 3), times=(10,)), "one ascending number"),
        (lambda: kinetics(1, (2, 3), times=(10, 10)), "one ascending number"),
        (lambda: order_kept(kinetics(1, (2, 3)), kinetics(1, (2,))), "1 synthetic phases"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
