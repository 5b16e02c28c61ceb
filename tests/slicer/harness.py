"""Drive a module as 3D Slicer does: NRRD files in, a command line from the descriptor, progress on standard output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import nrrd
import numpy as np

from tests.conftest import ROOT

MODULES = ROOT / "scripts" / "slicer"
NAMES = sorted(path.stem for path in MODULES.glob("*.xml"))
if str(MODULES) not in sys.path:
    sys.path.insert(0, str(MODULES))

# Slicer's Python has none of our packages (-S), and its own settings must not end the test's Python (-E).
SLICER_PYTHON = (sys.executable, "-E", "-S")
ONLY_IF_GIVEN = ("file", "directory", "string", "image")
# An oblique grid with odd spacing: columns are steps in millimetres (LPS), as in an NRRD header by rows.
TURN = np.array([[0.9553, -0.2955, 0.0], [0.2896, 0.9363, -0.1987], [0.0587, 0.1898, 0.9801]])


def slicer_arguments(module: str, values: Mapping[str, object]) -> list[str]:
    """The command line that Slicer builds: parameters with flags in the order of the file, then those with indexes.

    A file, text or image with a flag is left out where it is empty, a switch where it is off; all else is always there,
    with its default if nothing else is said. An indexed parameter without value keeps Slicer from starting the module.
    """
    flagged: list[str] = []
    indexed: dict[int, str] = {}
    known = set()
    for group in ElementTree.parse(MODULES / f"{module}.xml").getroot().iter("parameters"):
        for parameter in group:
            if parameter.tag in ("label", "description"):
                continue
            name = parameter.findtext("name")
            known.add(name)
            value = values.get(name, parameter.findtext("default") or "")
            value = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else str(value)
            flag = parameter.findtext("longflag")
            if flag is None:
                assert value, f"Slicer does not start a module without {name}"
                indexed[int(parameter.findtext("index"))] = value
            elif parameter.tag == "boolean":
                flagged += [f"--{flag}"] if value == "true" else []
            elif value or parameter.tag not in ONLY_IF_GIVEN:
                flagged += [f"--{flag}", value]
    assert set(values) <= known, set(values) - known
    return flagged + [indexed[number] for number in sorted(indexed)]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Environment of a module: the test's Python is the chosen one, temporary files lie in a folder of the test."""
    chosen = {"ONCOSYNTH_PYTHON": sys.executable, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **chosen, **more}


def command(module: str, values: Mapping[str, object]) -> list[str]:
    """The whole command, run by a stand-in for Slicer's Python."""
    return [*SLICER_PYTHON, str(MODULES / f"{module}.py"), *slicer_arguments(module, values)]


def run_module(module: str, values: Mapping[str, object], folder: Path, **more: str) -> subprocess.CompletedProcess:
    """Run a module to its end."""
    return subprocess.run(
        command(module, values), env=environment(folder, **more), cwd="/", capture_output=True, text=True, timeout=600
    )


def refusal(result: subprocess.CompletedProcess) -> str:
    """The one line that Slicer shows as the error."""
    assert result.returncode == 1, result.stdout[-2000:]
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr[-3000:]
    assert lines[0].startswith("error: ")
    return lines[0]


def check_success(result: subprocess.CompletedProcess) -> None:
    """A run without error, whose progress Slicer can follow from 0 to 1, and that has left no temporary file."""
    assert result.returncode == 0, result.stderr[-3000:] + result.stdout[-2000:]
    assert result.stderr == ""
    steps = [float(text) for text in re.findall(r"<filter-progress>([^<]*)</filter-progress>", result.stdout)]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 1
    assert len(steps) > 3
    assert "<filter-comment>running the bundle</filter-comment>" in result.stdout
    # What Slicer takes out of the text that it shows; nothing of the protocol remains.
    text = result.stdout
    for tag in ("progress", "name", "comment", "time", "start", "end"):
        text = re.sub(rf"<filter-{tag}>[^<]*</filter-{tag}>\s*", "", text)
    assert "filter-" not in text


def leftovers(folder: Path) -> list[Path]:
    """Temporary folders of modules."""
    return list(folder.glob("oncosynth-slicer-*"))


def write_volume(path: Path, array: np.ndarray, directions: np.ndarray, origin: np.ndarray) -> Path:
    """Write (X, Y, Z) as Slicer writes a volume: NRRD in LPS, directions one row an axis."""
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": origin,
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
    }
    nrrd.write(str(path), array, header, index_order="F")
    return path


def write_segments(
    path: Path, masks: Mapping[str, np.ndarray], directions: np.ndarray, origin: np.ndarray, tags: str = ""
) -> Path:
    """Write segments by name, (X, Y, Z) bool without overlap, as Slicer saves them in one layer of a `.seg.nrrd`."""
    shape = next(iter(masks.values())).shape
    labels = np.zeros(shape, np.uint8)
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": origin,
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segmentation_MasterRepresentation": "Binary labelmap",
    }
    for number, (name, mask) in enumerate(masks.items()):
        labels[mask] = number + 1
        header |= {
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_Name": name,
            f"Segment{number}_LabelValue": str(number + 1),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Tags": tags,
        }
    nrrd.write(str(path), labels, header, index_order="F")
    return path


def lps_grid(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (one row an axis) and origin in LPS of an affine in RAS."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, float)
    return lps[:3, :3].T, lps[:3, 3]


def read_like(path: Path, source: Path, kind: str = "float") -> np.ndarray:
    """Read an output of a module; its type and its grid have to be right, the grid to the last digits."""
    array, header = nrrd.read(str(path), index_order="F")
    _, wanted = nrrd.read(str(source), index_order="F")
    assert header["space"] == "left-posterior-superior"
    assert list(header["sizes"]) == list(wanted["sizes"])
    np.testing.assert_allclose(header["space directions"], wanted["space directions"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(header["space origin"], wanted["space origin"], rtol=0, atol=1e-9)
    assert array.dtype == {"float": "float32"}.get(kind, kind)
    return array
