import json

import pytest

from tests.conftest import error_line, run_script

CSV = """epoch,FIDImg,FIDRad,SSIM,MAE,MSE
10,15.047,0.108,0.701,93.895,37.803
30,17.308,0.081,0.699,88.733,38.334
50,16.412,0.089,0.696,101.696,38.045
100,18.778,0.219,0.669,113.144,42.320
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(CSV)
    return path


def test_published_table_is_ranked_and_serves_as_reference(table, tmp_path):
    result = run_script("same.py", "--input", table, "--output", tmp_path / "same.json")
    lines = [line.split() for line in result.stdout.splitlines()[:5]]
    assert lines[0][:3] == ["rank", "candidate", "SAMe"]
    assert [line[:3] for line in lines[1:]] == [
        ["1", "10", "0.081"],
        ["2", "30", "0.157"],
        ["3", "50", "0.233"],
        ["4", "100", "1.000"],
    ]
    report = json.loads((tmp_path / "same.json").read_text())
    assert report["best"] == "10"
    assert report["metrics"]["SSIM"] == "higher"
    later = tmp_path / "later.json"
    later.write_text(
        json.dumps({"120": {"FIDImg": 15.047, "FIDRad": 0.081, "SSIM": 0.733, "MAE": 88.733, "MSE": 37.803}})
    )
    result = run_script("same.py", "--input", later, "--ranges", tmp_path / "same.json")
    assert result.stdout.splitlines()[1].split()[:3] == ["1", "120", "-0.200"]


def test_columns_of_unknown_direction_have_to_be_told(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps([{"name": "a", "dice": 0.5, "mae": 1}, {"name": "b", "dice": 0.9, "mae": 2}]))
    told = error_line(run_script("same.py", "--input", path, check=False))
    assert told.startswith('error: column dice: say whether --higher "[dice]"')
    result = run_script("same.py", "--input", path, "--higher", "[dice]", "--metrics", "[dice]")
    assert [line.split()[:3] for line in result.stdout.splitlines()[1:]] == [["1", "b", "0.000"], ["2", "a", "1.000"]]


def test_defects_are_told_in_one_line(table):
    table.write_text(CSV.replace("88.733", "nan"))
    assert "candidate 30: MAE is nan" in error_line(run_script("same.py", "--input", table, check=False))
    table.write_text(CSV.replace(",88.733", ""))
    assert "row 3 has 5 values" in error_line(run_script("same.py", "--input", table, check=False))
