"""What is loaded from a folder of results, and what is asked of Slicer for it."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tests.slicer.harness import MODULES

import load_results as results  # isort: skip


def make_files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.fixture
def phases(tmp_path):
    kinds = [f"p_{kind}{number}.nii.gz" for kind in ("subtraction", "mip", "phase") for number in (2, 1, 3)]
    make_files(tmp_path / "p", *kinds, "preview.png", "provenance.json", ".p_phase4.nii.gz")
    make_files(tmp_path / ".q.partial", "q_phase1.nii.gz")
    return tmp_path


@pytest.fixture
def contrasts(tmp_path):
    for number in (1, 0):
        name = f"c_sample{number}"
        folder = make_files(tmp_path / name, *(f"{name}_{c}.nii.gz" for c in ("FLAIR", "T1", "T1C", "T2", "mask")))
        (folder / "provenance.json").write_text(json.dumps({"regions": {"1": "necrosis", "4": "enhancing"}}))
    (tmp_path / "datalist.json").write_text("{}")
    return tmp_path


def test_volumes_come_in_the_order_of_looking(phases):
    (case,) = results.find_cases(phases)
    assert [volume.name for volume in case.volumes] == [
        f"p_{kind}{number}" for kind in ("phase", "subtraction", "mip") for number in (1, 2, 3)
    ]
    assert [[volume.name for volume in row] for row in results.view_rows(case.volumes)] == [
        ["p_phase1", "p_phase2", "p_phase3"],
        ["p_subtraction1", "p_subtraction2", "p_subtraction3"],
    ]
    assert results.find_cases(phases / "p") == [case]


def test_contrasts_stand_two_by_two_over_their_mask(contrasts):
    first, second = results.find_cases(contrasts)
    assert (first.name, second.name) == ("c_sample0", "c_sample1")
    rows = [[volume.name.split("_")[-1] for volume in row] for row in results.view_rows(first.volumes)]
    assert rows == [["T1", "T1C"], ["T2", "FLAIR"]]
    assert [(mask.name, mask.segments) for mask in first.masks] == [("c_sample0_mask", {1: "necrosis", 4: "enhancing"})]


def test_lesions_have_their_classes(tmp_path):
    folder = make_files(tmp_path / "m_sample0", "m_sample0_mip.nrrd", "m_sample0_mip.png", "m_sample0_mask.nii.gz")
    (folder / "m_sample0_mask.json").write_text('{"instances": {"1": 4, "2": 6}}')
    make_files(folder, "readers.seg.nrrd")
    (case,) = results.find_cases(tmp_path)
    assert [volume.kind for volume in case.volumes] == ["mip"]
    assert [mask.segments for mask in case.masks] == [{1: "BI-RADS 4", 2: "BI-RADS 6"}, {}]
    assert all(name in results.COLOURS for name in case.masks[0].segments.values())
    assert [len(row) for row in results.view_rows(case.volumes)] == [1]


def test_a_mask_alone_is_a_tumour_if_that_bundle_wrote_it(tmp_path):
    folder = make_files(tmp_path / "s", "s_mask.nrrd")
    assert results.find_cases(tmp_path)[0].masks[0].segments == {}
    (folder / "provenance.json").write_text('{"bundle": "breast_dce_tumor_segmentation"}')
    assert results.find_cases(tmp_path)[0].masks[0].segments == {1: "tumour"}


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        results.find_cases(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no result"):
        results.find_cases(make_files(tmp_path / "x", "brain.nii.gz"))


def test_windows_are_shared_and_never_empty():
    assert results.shared_window([(10, 200), (5, 300)], "phase") == (5, 300)
    assert results.shared_window([(-40, 80), (-60, 120)], "subtraction") == (0, 120)
    assert results.shared_window([(7, 7)], "image") == (7, 8)


class Recorder:
    """Stands for any object of Slicer: remembers each call on it, by the way that led there."""

    def __init__(self, calls, way="", answers=None):
        self._calls, self._way, self._answers = calls, way, answers or {}

    def __getattr__(self, name):
        way = f"{self._way}.{name}".lstrip(".")

        def call(*arguments, **named):
            shown = tuple("<node>" if isinstance(a, (Recorder, types.SimpleNamespace)) else a for a in arguments)
            self._calls.append((way, shown, named))
            if name in self._answers:
                return self._answers[name](*arguments)
            return Recorder(self._calls, f"{way}({', '.join(map(str, shown))})", self._answers)

        return call


@pytest.fixture
def slicer(monkeypatch):
    """A module `slicer` that remembers what is asked of it."""
    calls = []
    answers = {
        "arrayFromVolume": lambda node: np.arange(1000.0).reshape(10, 10, 10),
        "GetNumberOfSegments": lambda: 2,
        "GetNthSegment": lambda number: Recorder(calls, f"segment{number}", {"GetLabelValue": lambda: (1, 4)[number]}),
        "GetID": lambda: "node",
        "AddLayoutDescription": lambda number, text: False,
    }
    module = types.ModuleType("slicer")
    module.util, module.app = Recorder(calls, "util", answers), Recorder(calls, "app", answers)
    monkeypatch.setitem(sys.modules, "slicer", module)
    return calls


def test_slicer_is_asked_for_all_of_it(slicer, contrasts, capsys):
    nodes = results.load(str(contrasts))
    calls = {}
    for way, arguments, named in slicer:
        calls.setdefault(way.rpartition(".")[2], []).append((way, arguments, named))
    assert [Path(arguments[0]).name for _, arguments, _ in calls["loadVolume"]] == [
        f"c_sample0_{contrast}.nii.gz" for contrast in ("T1", "T1C", "T2", "FLAIR")
    ]
    assert all(named["properties"]["show"] is False for _, _, named in calls["loadVolume"])
    assert [Path(arguments[0]).name for _, arguments, _ in calls["loadSegmentation"]] == ["c_sample0_mask.nii.gz"]
    assert [arguments for _, arguments, _ in calls["SetName"][1:]] == [("necrosis",), ("enhancing",)]
    assert [arguments for _, arguments, _ in calls["SetColor"]] == [
        results.COLOURS["necrosis"], results.COLOURS["enhancing"],
    ]  # fmt: skip
    assert len(calls["SetWindowLevelMinMax"]) == 4
    low, high = calls["SetWindowLevelMinMax"][0][1]
    assert 0 < low < 20 and 980 < high < 999
    assert "setLayout" in calls and len(calls["SetLayoutDescription"]) == 1
    assert [arguments[0] for _, arguments, _ in calls["sliceWidget"]] == [f"OncoSynth{n}" for n in (1, 2, 3, 4)]
    names = [way.rpartition(".")[2] for way, _, _ in slicer]
    last = len(names) - 1 - names[::-1].index("SetBackgroundVolumeID")
    assert names.index("SetLinkedControl") > last
    assert len(nodes["volumes"]) == 4 and list(nodes["segmentations"]) == ["c_sample0_mask"]
    assert "further cases, for load(folder, case): c_sample1" in capsys.readouterr().out


def test_phases_share_a_window_and_the_input_comes_first(slicer, phases):
    results.load(str(phases), image=str(phases / "pre.nii.gz"))
    views = [arguments for way, arguments, _ in slicer if way.endswith(".sliceWidget")]
    assert len(views) == 7  # the input, three phases, three subtractions
    windows = [arguments for way, arguments, _ in slicer if way.endswith("SetWindowLevelMinMax")]
    assert len(windows) == 10
    with pytest.raises(ValueError, match="has no case x; there are p"):
        results.load(str(phases), "x")


def test_layout_has_a_view_for_each_volume():
    from xml.etree import ElementTree

    root = ElementTree.fromstring(results.layout_description([["a", "b"], ["c"]]))
    assert [len(row.findall("layout/item")) for row in root.findall("item")] == [2, 1]
    assert [view.get("singletontag") for view in root.iter("view")] == ["OncoSynth1", "OncoSynth2", "OncoSynth3"]


def test_script_loads_the_folder_of_its_command_line_and_nothing_without_one(contrasts, tmp_path):
    """As `Slicer --python-script load_results.py DIR` and as `exec(open(...).read())` in the console."""
    script = MODULES / "load_results.py"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, str(script), str(contrasts)], capture_output=True, text=True, env=environment
    )
    assert "No module named 'slicer'" in result.stderr  # it has come as far as asking Slicer
    console = f"exec(open({str(script)!r}).read()); print(len(find_cases({str(contrasts)!r})))"
    result = subprocess.run([sys.executable, "-c", console], capture_output=True, text=True, check=True)
    assert result.stdout == "2\n"


def test_as_a_module_of_slicer_it_is_hidden():
    parent = types.SimpleNamespace()
    results.load_results(parent)
    assert parent.hidden is True
