"""Which Python is chosen, in which environment it starts, and what is said where it cannot do the work."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.slicer.harness import refusal, run_module, write_volume

import numpy as np  # isort: skip
from oncosynth_slicer import worker  # isort: skip
from oncosynth_slicer.chosen_python import child_environment, find_python  # isort: skip
from oncosynth_slicer.descriptor import Refused  # isort: skip


def make_python(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_first_that_is_named_is_chosen(tmp_path):
    given, named, written, own = (
        make_python(tmp_path / name / "bin" / "python") for name in ("given", "named", "written", "root/.venv")
    )
    root, home = tmp_path / "root", tmp_path / "home"
    assert find_python(None, {}, home, root) == own
    settings = home / ".config" / "oncosynth" / "python"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"# the Python of OncoSynth\n\n{written}\n")
    assert find_python("", {}, home, root) == written
    assert find_python(None, {"ONCOSYNTH_PYTHON": str(named)}, home, root) == named
    assert find_python(str(given), {"ONCOSYNTH_PYTHON": str(named)}, home, root) == given
    assert find_python(str(given.parent.parent), {}, home, root) == given


def test_without_a_python_it_is_said_what_to_do(tmp_path):
    with pytest.raises(Refused, match=r"run 'make demo' in .* or set the variable ONCOSYNTH_PYTHON"):
        find_python(None, {}, tmp_path, tmp_path)
    with pytest.raises(Refused, match=r"nowhere: no Python there, but the variable ONCOSYNTH_PYTHON names it"):
        find_python(None, {"ONCOSYNTH_PYTHON": str(tmp_path / "nowhere")}, tmp_path, tmp_path)
    with pytest.raises(Refused, match="the module's parameter Python names it"):
        find_python(str(tmp_path), {}, tmp_path, tmp_path)


def test_slicers_own_settings_do_not_reach_it():
    foreign = {
        "PYTHONHOME": "/slicer", "PYTHONPATH": "/slicer/lib", "PYTHONNOUSERSITE": "1", "LD_LIBRARY_PATH": "/slicer/lib",
        "DYLD_LIBRARY_PATH": "/slicer/lib", "LD_PRELOAD": "x.so", "ITK_AUTOLOAD_PATH": "/slicer/itk",
    }  # fmt: skip
    kept = child_environment({**foreign, "PATH": "/slicer/bin:/usr/bin", "SLICER_HOME": "/slicer", "LANG": "C"})
    assert not set(kept) & set(foreign)
    assert kept["PATH"] == "/usr/bin"
    assert kept["LANG"] == "C"


@pytest.fixture
def values(tmp_path):
    volume = write_volume(tmp_path / "pre.nrrd", np.ones((8, 8, 4), np.float32), np.eye(3), np.zeros(3))
    return {"inputVolume": volume, "phase1": tmp_path / "phase1.nrrd"}


MODULE = "OncoSynthBreastContrast"


def test_a_python_that_is_none_is_named(values, tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'no such licence' >&2\nexit 3\n")
    fake.chmod(0o755)
    line = refusal(run_module(MODULE, {**values, "python": fake}, tmp_path))
    assert f"{fake}: is not a Python that can run OncoSynth (no such licence)" in line
    fake.chmod(0o644)
    assert f"{fake}: does not start" in refusal(run_module(MODULE, {**values, "python": fake}, tmp_path))
    line = refusal(run_module(MODULE, values, tmp_path, ONCOSYNTH_PYTHON="/nowhere/python"))
    assert "/nowhere/python: no Python there, but the variable ONCOSYNTH_PYTHON names it" in line


def test_a_python_without_our_packages_is_named_with_the_way_to_get_them(values, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    line = refusal(run_module(MODULE, {**values, "python": bare}, tmp_path))
    assert f"{bare / 'bin' / 'python'}: cannot import numpy" in line
    assert "-m pip install" in line
    assert not values["phase1"].exists()


def test_a_python_that_is_too_old_says_so(monkeypatch, capsys):
    monkeypatch.setattr(worker, "OLDEST", (99, 0))
    with pytest.raises(SystemExit):
        worker.check_python("/repository")
    assert "OncoSynth needs 3.11 or newer; run 'make demo' in /repository" in capsys.readouterr().err
