"""The descriptors against the rules of the Slicer Execution Model, and what lies in the module path beside them."""

import ast
import os
import subprocess

import pytest

from tests.slicer.harness import MODULES, NAMES, SLICER_PYTHON
from tests.slicer.schema import violations

IN_SLICER = sorted(MODULES.glob("*.py")) + [
    MODULES / "oncosynth_slicer" / f"{name}.py"
    for name in ("__init__", "descriptor", "chosen_python", "progress", "launch")
]


def test_there_is_a_module_for_each_bundle_that_slicer_can_use():
    assert NAMES == [
        "OncoSynthBrainContrasts",
        "OncoSynthBreastContrast",
        "OncoSynthBreastMIP",
        "OncoSynthBreastTumorSegmentation",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_descriptor_keeps_the_rules(name):
    assert violations((MODULES / f"{name}.xml").read_text()) == []


GOOD = (MODULES / "OncoSynthBrainContrasts.xml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "<category>OncoSynth</category>",
            "<category>OncoSynth</category><colour>red</colour>",
            "unknown element colour",
        ),
        ("<name>seed</name>", "<name>t1</name>", "name t1 is there twice"),
        ("<longflag>seed</longflag>", "<longflag>t1</longflag>", "flag t1 is there twice"),
        ("<longflag>seed</longflag>", "<index>1</index>", "not counted from 0"),
        ("<longflag>seed</longflag>", "", "either an index or a flag"),
        ("<minimum>0</minimum>", "<lowest>0</lowest>", "unknown constraint lowest"),
        ("<default>20</default>", "<default>2000</default>", "outside its constraints"),
        ("<default>20</default>", "<default>2.5</default>", "not a number of its kind"),
        ("<default>auto</default>", "<default>tcga</default>", "none of its elements"),
        ('type="label"', 'type="mask"', "unknown type mask"),
        ('type="label"', 'kind="label"', "unknown attribute kind"),
        ('reference="labelMap"', 'reference="mask"', "refers to mask"),
        ("<channel>output</channel>", "<channel>both</channel>", "neither input nor output"),
        ('fileExtensions=".nrrd"', 'fileExtensions="nrrd"', "fileExtensions"),
        ('advanced="true"', 'advanced="yes"', "advanced is yes"),
        ("<label>Sampling</label>", "", "has to begin with label"),
        ("<label>Seed</label>", "", "label is missing"),
        ("</executable>", "", "not XML"),
    ],
)
def test_rules_find_what_is_wrong(old, new, complaint):
    assert old in GOOD
    assert any(complaint in found for found in violations(GOOD.replace(old, new)))


@pytest.mark.parametrize("name", NAMES)
def test_module_answers_with_its_descriptor(name):
    script = MODULES / f"{name}.py"
    assert script.read_text().splitlines()[0] == "#!/usr/bin/env python-real"
    assert os.access(script, os.X_OK)
    result = subprocess.run([*SLICER_PYTHON, str(script), "--xml"], cwd="/", capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout == (MODULES / f"{name}.xml").read_text()


def test_slicer_finds_nothing_else_that_looks_like_a_module():
    """It takes Python files that lie directly in the folder for modules: with a shebang, or with a class so named."""
    others = [path for path in MODULES.glob("*.py") if path.stem not in NAMES]
    assert [path.name for path in others] == ["load_results.py"]
    source = others[0].read_text()
    assert not source.startswith("#!")
    assert any(isinstance(node, ast.ClassDef) and node.name == "load_results" for node in ast.parse(source).body)


@pytest.mark.parametrize("path", IN_SLICER, ids=lambda path: path.name)
def test_slicers_older_pythons_can_read_what_runs_in_them(path):
    ast.parse(path.read_text(), feature_version=(3, 9))


def test_old_pythons_can_read_the_worker_that_refuses_them():
    ast.parse((MODULES / "oncosynth_slicer" / "worker.py").read_text(), feature_version=(3, 6))
