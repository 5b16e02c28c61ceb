"""The modules as 3D Slicer runs them: each bundle once, on another grid, in a spoilt environment, stopped half-way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import psutil
import pytest

from tests.conftest import BRAIN, BREAST_DCE, BREAST_MIP
from tests.slicer.harness import (
    TURN,
    check_success,
    command,
    environment,
    leftovers,
    lps_grid,
    read_like,
    refusal,
    run_module,
    write_segments,
    write_volume,
)

CONTRAST, CONTRASTS = "OncoSynthBreastContrast", "OncoSynthBrainContrasts"
MIP, SEGMENTATION = "OncoSynthBreastMIP", "OncoSynthBreastTumorSegmentation"
ORIGIN = np.array([-17.31, 22.7, 103.003])


@pytest.fixture
def pre(tmp_path):
    """A breast phantom before contrast on an oblique grid of 64 x 64 x 6 voxels."""
    array = nibabel.load(BREAST_DCE / "sample" / "PhantomDCE_10004_pre.nii.gz").get_fdata()[::2, ::2, ::2]
    directions = np.diag([5.313, 5.297, 8.071]) @ TURN
    return write_volume(tmp_path / "pre.nrrd", array.astype(np.int16), directions, ORIGIN)


@pytest.fixture
def tumor():
    """The brain bundle's mask (BraTS values) and its grid in LPS."""
    image = nibabel.load(BRAIN / "sample" / "PhantomBraTS_10008_seg.nii.gz")
    return np.asarray(image.dataobj).astype(np.uint8), *lps_grid(image.affine)


def poisoned(folder):
    """What Slicer's environment does to another Python, at its worst."""
    libraries, packages = folder / "libraries", folder / "packages"
    libraries.mkdir()
    packages.mkdir()
    for name in ("libz.so.1", "libstdc++.so.6"):
        (libraries / name).write_text("not a library")
    for name in ("monai", "torch", "numpy"):
        (packages / f"{name}.py").write_text("raise ImportError('of Slicer')")
    return {
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": str(packages),
        "PYTHONNOUSERSITE": "1",
        "LD_LIBRARY_PATH": str(libraries),
    }


def test_contrast_phases_on_an_oblique_grid_in_a_spoilt_environment(pre, tmp_path):
    spoilt = poisoned(tmp_path)
    for name, effort in (("PYTHONHOME", ""), ("LD_LIBRARY_PATH", "import ctypes; ctypes.CDLL('libstdc++.so.6')")):
        spoilt_alone = {**os.environ, name: spoilt[name]}
        result = subprocess.run([sys.executable, "-c", effort], env=spoilt_alone, capture_output=True)
        assert result.returncode, f"{name} does no harm, so nothing is tested"
    outputs = {name: tmp_path / f"{name}.nrrd" for name in ("phase1", "phase2", "phase3", "subtraction")}
    values = {"inputVolume": pre, "subtractionPhase": "2", **outputs}
    check_success(run_module(CONTRAST, values, tmp_path, **spoilt))
    volumes = {name: read_like(path, pre) for name, path in outputs.items()}
    source = read_like(pre, pre, "int16").astype(np.float32)
    np.testing.assert_allclose(volumes["subtraction"], volumes["phase2"] - source, atol=1e-3)
    assert not np.array_equal(volumes["phase1"], volumes["phase3"])
    assert 0.8 < volumes["phase1"].mean() / source.mean() < 1.5
    assert leftovers(tmp_path) == []


def test_brain_contrasts_of_a_label_map(tumor, tmp_path):
    mask = write_volume(tmp_path / "mask.nrrd", *tumor)
    outputs = {"t1c": tmp_path / "t1c.nrrd", "flair": tmp_path / "flair.nii.gz"}
    values = {"labelMap": mask, "labels": "brats", "numSteps": 2, "seed": 3, **outputs}
    result = run_module(CONTRASTS, values, tmp_path)
    check_success(result)
    assert "<filter-comment>sampling</filter-comment>" in result.stdout
    t1c = read_like(outputs["t1c"], mask)
    flair = nibabel.load(outputs["flair"])
    assert flair.get_data_dtype() == np.float32
    assert np.allclose(flair.affine, nibabel.load(BRAIN / "sample" / "PhantomBraTS_10008_seg.nii.gz").affine, atol=1e-4)
    assert np.isfinite(t1c).all() and t1c.std() > 0
    assert not np.array_equal(t1c, np.asarray(flair.dataobj))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flair.nii.gz", "mask.nrrd", "t1c.nrrd"]


def test_mip_of_named_segments(tmp_path):
    stem = BREAST_MIP / "sample" / "PhantomDCE_10001_mask"
    image = nibabel.load(f"{stem}.nii.gz")
    labels = np.asarray(image.dataobj)
    classes = json.loads((stem.parent / f"{stem.name}.json").read_text())["instances"]
    masks = {f"BI-RADS {birads} #{number}": labels == int(number) for number, birads in classes.items()}
    folder = tmp_path / "a folder (1)"
    folder.mkdir()
    source = write_segments(folder / "left # right.seg.nrrd", masks, *lps_grid(image.affine))
    values = {"segmentation": source, "mip": tmp_path / "mip.nrrd", "numSteps": 2}
    check_success(run_module(MIP, values, tmp_path))
    mip = read_like(values["mip"], source)
    assert mip.min() >= -1 and mip.max() <= 1 and mip.std() > 0.01


def test_bundles_mistakes_are_shown_in_one_line(pre, tmp_path):
    empty = write_volume(tmp_path / "empty.nrrd", np.zeros((32, 32, 8), np.float32), np.eye(3), ORIGIN)
    output = tmp_path / "phase1.nrrd"
    line = refusal(run_module(CONTRAST, {"inputVolume": empty, "phase1": output}, tmp_path))
    assert line == "error: Pre-contrast volume: every voxel is 0; check the file"
    assert not output.exists() and leftovers(tmp_path) == []


def test_label_map_without_a_tumour_is_refused(tumor, tmp_path):
    _, directions, origin = tumor
    mask = write_volume(tmp_path / "mask.nrrd", np.zeros((32, 32, 8), np.uint8), directions, origin)
    line = refusal(run_module(CONTRASTS, {"labelMap": mask, "t1": tmp_path / "t1.nrrd"}, tmp_path))
    assert line == "error: Tumour label map: the mask is empty, no voxel is marked; give a mask with a tumour"
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nrrd"]


@pytest.mark.parametrize(
    ("number", "stage"), [(signal.SIGTERM, "running the bundle"), (signal.SIGKILL, "loading libraries")]
)
def test_stopped_half_way_nothing_is_left(number, stage, pre, tmp_path):
    output = tmp_path / "phase1.nrrd"
    values = {"inputVolume": pre, "phase1": output}
    with subprocess.Popen(
        command(CONTRAST, values), env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as module:
        for line in module.stdout:  # progress comes while it works
            if stage in line:
                break
        children = psutil.Process(module.pid).children(recursive=True)
        assert children
        module.send_signal(number)
        _, errors = module.communicate(timeout=30)
    assert module.returncode == (1 if number == signal.SIGTERM else -signal.SIGKILL)
    if number == signal.SIGTERM:
        assert errors == "error: stopped before it was done; nothing was written\n"
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    for _ in range(50):
        if not leftovers(tmp_path):
            break
        time.sleep(0.1)
    assert leftovers(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["pre.nrrd"]


def test_folders_of_killed_runs_are_removed(tmp_path):
    from oncosynth_slicer.launch import remove_stale_folders

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = [f"oncosynth-slicer-{ended.pid}-a", f"oncosynth-slicer-{os.getpid()}-b", "oncosynth-slicer-x-c", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    remove_stale_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_a_bundle_that_is_not_there_is_named(tmp_path):
    from oncosynth_slicer.descriptor import Refused
    from oncosynth_slicer.launch import check_bundle

    check_bundle(BREAST_DCE)
    with pytest.raises(Refused, match=r"inference.json: no such file; this copy of OncoSynth is not complete"):
        check_bundle(tmp_path)


def test_tumour_segmentation(pre, tmp_path):
    values = {"inputVolume": pre, "tumor": tmp_path / "tumor.nrrd", "mirroring": False}
    check_success(run_module(SEGMENTATION, values, tmp_path))
    mask = read_like(values["tumor"], pre, "uint8")
    assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.slow
def test_brain_contrasts_of_named_segments_are_those_of_the_label_map(tumor, tmp_path):
    values, *grid = tumor
    masks = {"Oedema": values == 2, "Enhancing tumor": values == 4, "Necrosis": values == 1}
    source = write_segments(tmp_path / "volume.seg.nrrd", {k: m for k, m in masks.items() if m.any()}, *grid)
    mask = write_volume(tmp_path / "volume.nrrd", values, *grid)
    options = {"numSteps": 2, "labels": "auto"}
    check_success(run_module(CONTRASTS, {"segmentation": source, "t2": tmp_path / "a.nrrd", **options}, tmp_path))
    options["labels"] = "brats"
    for name in ("b.nrrd", "c.nrrd"):
        check_success(run_module(CONTRASTS, {"labelMap": mask, "t2": tmp_path / name, **options}, tmp_path))
    first, *others = (read_like(tmp_path / name, mask) for name in ("a.nrrd", "b.nrrd", "c.nrrd"))
    assert first.std() > 0
    assert np.array_equal(first, others[0]) and np.array_equal(*others)


@pytest.mark.slow
def test_real_slab_keeps_its_grid(real_data, tmp_path):
    from common.io.dicom_series import load_series

    volume = load_series(real_data / "breast_mri" / "duke_153" / "0_pre")
    source = write_volume(tmp_path / "pre.nrrd", np.asarray(volume[0]), *lps_grid(volume.affine))
    outputs = {name: tmp_path / f"{name}.nrrd" for name in ("phase1", "subtraction")}
    check_success(run_module(CONTRAST, {"inputVolume": source, "clipSubtraction": True, **outputs}, tmp_path))
    assert read_like(outputs["subtraction"], source).min() >= 0
    shutil.rmtree(tmp_path, ignore_errors=True)
