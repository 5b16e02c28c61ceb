"""What a module refuses before it starts anything, and what it makes of its arguments."""

import pytest

from tests.slicer.harness import MODULES, NAMES, refusal, run_module, slicer_arguments

from oncosynth_slicer.descriptor import Descriptor, Refused  # isort: skip
from oncosynth_slicer.progress import bar_progress  # isort: skip

BRAIN = "OncoSynthBrainContrasts"


@pytest.mark.parametrize("name", NAMES)
def test_what_slicer_passes_comes_back_as_the_descriptor_says(name):
    descriptor = Descriptor(MODULES / f"{name}.xml")
    given = {p.name: f"/tmp/{p.name}.nrrd" for p in descriptor.parameters if p.tag in ("image", "file")}
    values = descriptor.parse(slicer_arguments(name, given))
    assert set(values) == {p.name for p in descriptor.parameters}
    for parameter in descriptor.parameters:
        value = values[parameter.name]
        if parameter.name in given:
            assert value == given[parameter.name]
        elif parameter.tag == "boolean":
            assert value is (parameter.default == "true")
        elif parameter.tag in ("integer", "double"):
            assert value == float(parameter.default)
        else:
            assert value == (parameter.default or None)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = Descriptor(MODULES / f"{BRAIN}.xml").parse(
        ["--weights", "my.pt", "--t1", "t1.nrrd", "--python", "~/python"]
    )
    assert values["weights"] == str(tmp_path / "my.pt") and values["t1"] == str(tmp_path / "t1.nrrd")
    assert values["python"].startswith("/") and "~" not in values["python"]


def test_switches_are_off_without_their_flag():
    descriptor = Descriptor(MODULES / "OncoSynthBreastTumorSegmentation.xml")
    assert descriptor.parse(["a", "b"])["mirroring"] is False
    assert descriptor.parse(["--mirroring", "a", "b"])["mirroring"] is True


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seed", "-1"], "below 0"),
        (["--numSteps", "0"], "below 1"),
        (["--numSteps", "2.5"], "not a number of the kind integer"),
        (["--guidanceScale", "nan"], "below 0"),
        (["--labels", "tcga"], "none of auto, brats"),
        (["--sed", "1"], "unrecognized arguments"),
        (["extra"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_named(arguments, complaint):
    with pytest.raises(Refused, match=complaint):
        Descriptor(MODULES / f"{BRAIN}.xml").parse(arguments)


def test_what_is_missing_is_said(tmp_path):
    mask = tmp_path / "mask.nrrd"
    mask.touch()
    assert "either a tumour label map or" in refusal(run_module(BRAIN, {"t1": tmp_path / "a.nrrd"}, tmp_path))
    assert "no output is chosen" in refusal(run_module(BRAIN, {"labelMap": mask}, tmp_path))
    wrong = {"labelMap": mask, "t1": tmp_path / "a.png"}
    assert "a.png: cannot be written; name a file" in refusal(run_module(BRAIN, wrong, tmp_path))
    absent = {"labelMap": tmp_path / "no.nrrd", "t1": tmp_path / "a.nrrd"}
    assert "no.nrrd: no such file" in refusal(run_module(BRAIN, absent, tmp_path))


def test_bars_are_progress():
    assert bar_progress("sampling:  35%|###5      | 7/20 [00:02<00:04,  3.1step/s]") == ("sampling", 0.35)
    assert bar_progress("100%|#####| 8/8") == ("", 1.0)
    assert bar_progress("16% of the voxels are negative") is None
