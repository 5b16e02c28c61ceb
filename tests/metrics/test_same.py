import json

import pytest

from common.errors import InputError
from common.metrics.same import known_direction, scaled_aggregate, score_against_ranges

# Table 1 of Osuala et al. 2024, the four synthetic rows.
METRICS = {"fid_img": "lower", "fid_rad": "lower", "ssim": "higher", "mae": "lower", "mse": "lower"}
ROWS = {
    "epoch 10": (15.047, 0.108, 0.701, 93.895, 37.803),
    "epoch 30": (17.308, 0.081, 0.699, 88.733, 38.334),
    "epoch 50": (16.412, 0.089, 0.696, 101.696, 38.045),
    "epoch 100": (18.778, 0.219, 0.669, 113.144, 42.320),
}
TABLE = [{"candidate": name, **dict(zip(METRICS, row, strict=True))} for name, row in ROWS.items()]


def test_worked_example_of_the_published_table():
    found = scaled_aggregate(TABLE, METRICS)
    assert list(found.scores.values()) == pytest.approx([0.081, 0.157, 0.233, 1.0], abs=5e-4)
    assert found.best == "epoch 10"
    assert found.ranking == list(ROWS)
    assert found.ranges["ssim"] == (0.669, 0.701)
    assert found.scaling_set == tuple(ROWS)
    assert found.parts["epoch 30"]["ssim"] == pytest.approx(0.002 / 0.032)
    assert found.parts["epoch 30"]["fid_img"] == pytest.approx(2.261 / 3.731)


def test_a_constant_metric_contributes_nothing():
    table = [{"a": 3, "b": 1}, {"a": 3, "b": 2}, {"a": 3, "b": 5}]
    found = scaled_aggregate(table, {"a": "higher", "b": "lower"})
    assert found.scores == pytest.approx({"0": 0, "1": 0.125, "2": 0.5})
    assert scaled_aggregate(table, {"a": "lower"}).best == "0"


def test_new_candidates_on_stored_ranges_are_not_clipped():
    first = scaled_aggregate(TABLE, METRICS)
    reference = json.loads(json.dumps(first.to_json()))
    again = score_against_ranges(TABLE, reference)
    assert again.scores == first.scores
    assert again.scaling_set == tuple(ROWS)
    better = {"candidate": "new", "fid_img": 11.316, "fid_rad": 0.081, "ssim": 0.733, "mae": 88.733, "mse": 37.803}
    assert score_against_ranges([better], reference).parts["new"] == pytest.approx(
        {"fid_img": -1, "fid_rad": 0, "ssim": -1, "mae": 0, "mse": 0}
    )
    assert score_against_ranges([better], reference).scores["new"] == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("table", "metrics", "message"),
    [
        (TABLE[:1], METRICS, "1 given, at least two"),
        ([*TABLE, TABLE[0]], METRICS, "candidate epoch 10: occurs twice"),
        ([*TABLE, {"candidate": "x", "mae": 1}], {"mae": "lower", "mse": "lower"}, "candidate x: mse is missing"),
        ([*TABLE, {"candidate": "x", "mae": float("nan")}], {"mae": "lower"}, "candidate x: mae is nan"),
        ([*TABLE, {"candidate": "x", "mae": "good"}], {"mae": "lower"}, "candidate x: mae is 'good'; give a number"),
        (TABLE, {"mae": "down"}, "mae=down: use lower or higher"),
        (TABLE, {}, "at least one metric"),
    ],
)
def test_wrong_tables_are_refused(table, metrics, message):
    with pytest.raises(InputError, match=message):
        scaled_aggregate(table, metrics)


def test_a_reference_without_ranges_is_refused():
    reference = scaled_aggregate(TABLE, METRICS).to_json()
    del reference["ranges"]["mae"]
    with pytest.raises(InputError, match="mae"):
        score_against_ranges(TABLE, reference)


def test_directions_by_name():
    names = ("SSIM", "validation_ssim", "ms_ssim", "ms-ssim", "PSNR (dB)")
    assert {known_direction(name) for name in names} == {"higher"}
    names = ("validation_mae", "MSE", "lpips", "FIDImg", "fid_rad", "val_kid")
    assert {known_direction(name) for name in names} == {"lower"}
    assert known_direction("seconds") is None
    assert known_direction("confidence") is None
