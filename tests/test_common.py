"""Files, knobs, errors, weights: what every bundle stands on."""

import subprocess
import sys

import pytest
import torch

from common.errors import InputError, find_input_error
from common.io.files import make_output_dir, write_atomically
from common.knobs import as_text, check_knob
from common.reports.report import Report, format_value
from common.weights import load_weights, save_weights
from tests.conftest import ROOT, run_script


def test_input_error_is_found_below_other_exceptions():
    try:
        try:
            raise InputError("the mask is empty")
        except InputError as inner:
            raise RuntimeError("failed to evaluate") from inner
    except RuntimeError as outer:
        assert str(find_input_error(outer)) == "the mask is empty"
    assert find_input_error(ValueError("a bug")) is None


def test_hook_shows_one_line_for_users_and_a_traceback_for_bugs():
    code = "import sys; sys.path.insert(0, {root!r})\nfrom common.errors import *\ninstall_error_hook()\nraise {error}"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code.format(root=str(ROOT), error=error)],
            capture_output=True,
            text=True,
            check=False,
        )
        for error in ("InputError('no such\\nfile')", "ValueError('bug')")
    ]
    assert [run.returncode for run in runs] == [1, 1]
    assert runs[0].stderr == "error: no such file\n"
    assert "Traceback" in runs[1].stderr


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("num_steps", 20, True),
        ("num_steps", 0, False),
        ("num_steps", True, False),
        ("seed", 0, True),
        ("seed", 1.5, False),
        ("overwrite", False, True),
        ("overwrite", "yes", False),
        ("guidance_scale", 1.5, True),
        ("guidance_scale", "a", False),
        ("output_dir", 2024, True),
        ("output_dir", "a::b", False),
        ("input", "$HOME", False),
        ("input", ("a", "b"), True),
    ],
)
def test_knobs_are_checked_by_their_kind(name, value, good):
    if good:
        check_knob(name, value)
    else:
        with pytest.raises(InputError, match=name):
            check_knob(name, value)


def test_mangled_paths_are_turned_back():
    assert as_text(("a", "b")) == "a, b"
    assert as_text(2024) == "2024"


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "x.bin"
    target.write_text("old")

    def fail(path):
        with open(path, "w") as stream:
            stream.write("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_output_dir_is_proved_writable(tmp_path):
    assert make_output_dir(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        make_output_dir(tmp_path / "file")


def test_weights_have_to_fit_whole(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    save_weights(network, tmp_path / "w.pt", prefix="part.")
    state = torch.load(tmp_path / "w.pt", weights_only=True)
    assert state["part.0.weight"].dtype == torch.float16
    assert state["part.1.running_var"].dtype == torch.float32
    other = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    load_weights(other, tmp_path / "w.pt", prefix="part.")
    assert torch.allclose(other[0].weight, network[0].weight, atol=1e-3)
    with pytest.raises(InputError, match="do not fit"):
        load_weights(torch.nn.Linear(3, 2), tmp_path / "w.pt")


def test_report_formats_numbers_and_nan(tmp_path):
    assert format_value({"mean": 0.8567, "low": 0.8, "high": 0.9}) == "0.857 (0.8 to 0.9)"
    assert format_value(float("nan")) == "n/a"
    report = Report("Title", {"n": 3})
    report.add("Table", ("a", "b"), [{"a": "x", "b": float("nan")}])
    report.write(tmp_path)
    assert "| x | n/a |" in (tmp_path / "report.md").read_text()
    assert '"b": null' in (tmp_path / "report.json").read_text()


def test_doctor_finds_this_machine_healthy():
    text = run_script("doctor.py").stdout
    assert all(word in text for word in ("torch", "torchvision", "CUDA", "weights", "disk"))


def test_phantom_script_keeps_what_is_there(tmp_path):
    arguments = ("brain", "--output", tmp_path, "--num", 2, "--spacing_mm", 5, "--naming", "brats2023", "--workers", 1)
    assert "2 phantom cases written, 0 were there" in run_script("make_phantoms.py", *arguments).stdout
    assert "0 phantom cases written, 2 were there" in run_script("make_phantoms.py", *arguments).stdout
