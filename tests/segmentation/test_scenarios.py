"""The four scenarios end to end with real nnU-Net: resumed, in parts, exported, and by nnU-Net's own commands."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.segmentation.checkpoints import read_checkpoint
from common.segmentation.layout import Workspace
from common.segmentation.recipes import FOLDS, MODELS, SCENARIOS, dataset_name
from tests.conftest import ROOT, error_line, run_bundle, run_script

SEGMENTATION = ROOT / "bundles" / "breast_dce_tumor_segmentation"
SIZES = ("--features", "[4,8,8]", "--patch", "[8,32,32]", "--batch_size", "2")
LENGTH = ("--epochs", "1", "--iterations", "2", "--validation_iterations", "1", "--optimizer", "adam")
OPTIONS = (*SIZES, *LENGTH, "--mirroring", "False", "--device", "cpu", "--precision", "bf16")


def scenarios(datalist, output, *options, check=True):
    return run_script(
        "nnunet.py", "scenarios", "--input", datalist, "--output", output, *OPTIONS, *options, check=check
    )


@pytest.fixture(scope="module")
def made(dce_datalist, tmp_path_factory):
    """One fold of each model on six phantoms, synthetic phases by the DCE bundle."""
    folder = tmp_path_factory.mktemp("scenarios")
    result = scenarios(dce_datalist, folder, "--folds", "[0]")
    return folder, result


def states(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_table_has_every_model_of_every_scenario(made):
    folder, result = made
    report = json.loads((folder / "report.json").read_text())
    assert len(report["tables"]) == len(SCENARIOS)
    for number, scenario in SCENARIOS.items():
        table = report["tables"][f"Scenario {number}: {scenario.title}"]
        assert [row["trained on"] for row in table["rows"]] == [name.replace("_", " + ") for name in scenario.models]
        assert "1 of 5 folds" in table["note"]
        for row in table["rows"]:
            assert row["Dice"]["n"] == 1 and 0 <= row["Dice"]["mean"] <= 1
        assert table["rows"][0]["Dice minus baseline"] == "baseline"
        paired = table["rows"][1]["Dice minus baseline"]["mean"]
        assert paired == pytest.approx(table["rows"][1]["Dice"]["mean"] - table["rows"][0]["Dice"]["mean"])
    assert "Scenario 3: post-contrast" in result.stdout
    scores = list(csv.DictReader((folder / "scores.csv").open()))
    assert len(scores) == sum(len(scenario.models) for scenario in SCENARIOS.values())


def test_scores_are_of_whole_volumes(made, dce_datalist):
    """Recomputed from the files: both predicted sides on the grid of the original mask."""
    folder, _ = made
    row = next(r for r in csv.DictReader((folder / "scores.csv").open()) if (r["model"], r["test"]) == ("post", "post"))
    case = json.loads(Path(dce_datalist).read_text())["test"][0]
    truth = nibabel.load(Path(dce_datalist).parent / case["label"])
    mask = np.asarray(truth.dataobj) > 0
    whole = np.zeros(mask.shape, bool)
    parts = sorted((folder / "predictions" / "post_on_post_folds0").glob(f"{case['case']}_*.nii.gz"))
    assert parts
    for path in parts:
        part = nibabel.load(path)
        places = np.argwhere(np.asarray(part.dataobj) > 0)
        world = nibabel.affines.apply_affine(part.affine, places)
        voxels = np.rint(nibabel.affines.apply_affine(np.linalg.inv(truth.affine), world)).astype(int)
        whole[tuple(voxels.T)] = True
    total = whole.sum() + mask.sum()
    assert float(row["dice"]) == pytest.approx(2 * (whole & mask).sum() / total, abs=1e-5)


def test_a_repeat_does_nothing_and_more_folds_continue(made, dce_datalist):
    folder, _ = made
    before = states(folder / "nnUNet_results") | states(folder / "predictions")
    scenarios(dce_datalist, folder, "--folds", "[0]")
    assert states(folder / "nnUNet_results") | states(folder / "predictions") == before
    run_script("nnunet.py", "train", "--output", folder, "--model", "pre", "--fold", "1", *LENGTH, "--device", "cpu")
    assert Workspace(folder).fold_weights(dataset_name("pre"), 1).is_file()
    assert states(folder / "nnUNet_results").keys() > {path for path in before if "nnUNet_results" in str(path)}
    # A scenario is compared by the folds that all of its models have.
    result = run_script("nnunet.py", "evaluate", "--output", folder, "--mirroring", "False", "--device", "cpu")
    assert "1 of 5 folds" in result.stdout


def test_folds_hold_no_leak(made):
    folder, _ = made
    for name, model in MODELS.items():
        splits = json.loads((folder / "nnUNet_preprocessed" / dataset_name(name) / "splits_final.json").read_text())
        assert len(splits) == FOLDS
        for split in splits:
            patients = [{case.rsplit("_", 2)[0] for case in split[part]} for part in ("train", "val")]
            assert not patients[0] & patients[1]
            assert {case.rsplit("_", 1)[1] for case in split["val"]} == {model.validation}
            assert {case.rsplit("_", 1)[1] for case in split["train"]} == set(model.train)
    logs = list((folder / "nnUNet_results").rglob("training_log*.txt"))
    assert len(logs) >= len(MODELS)


def test_other_settings_are_refused(made, dce_datalist):
    folder, _ = made
    options = [option if option != "1" else "3" for option in LENGTH]
    command = ("nnunet.py", "train", "--output", folder, "--model", "post", "--fold", "0", *options, "--device", "cpu")
    assert "epochs" in error_line(run_script(*command, check=False))


def test_exported_model_is_what_nnunet_predicts(made, tmp_path):
    """nnU-Net's own command and the bundle agree on a crop, by the same weights."""
    folder, _ = made
    source = Workspace(folder).model_folder(dataset_name("post"))
    run_script("nnunet.py", "export", "--source", source, "--output", tmp_path / "model", "--half", "False")
    crop = sorted((folder / "prepared" / "test_post").glob("*_0000.nii.gz"))[0]
    images = tmp_path / "images"
    images.mkdir()
    shutil.copyfile(crop, images / crop.name)
    environment = {
        **os.environ,
        "nnUNet_raw": str(tmp_path),
        "nnUNet_preprocessed": str(tmp_path),
        "nnUNet_results": str(tmp_path),
        "nnUNet_def_n_proc": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder", "-i", images, "-o", tmp_path / "out"]
    command += ["-m", source, "-f", "0", "-device", "cpu", "-npp", "1", "-nps", "1"]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = np.asarray(nibabel.load(tmp_path / "out" / f"{crop.name[: -len('_0000.nii.gz')]}.nii.gz").dataobj) > 0
    run_bundle(
        "inference.json",
        bundle=SEGMENTATION,
        input=images / crop.name,
        output_dir=tmp_path / "masks",
        weights=tmp_path / "model" / "model.pt",
        plans=tmp_path / "model" / "nnunet.json",
        crop="none",
        bias_correction=False,
        device="cpu",
    )
    name = crop.name.removesuffix(".nii.gz")
    found = np.asarray(nibabel.load(tmp_path / "masks" / name / f"{name}_mask.nii.gz").dataobj) > 0
    # Two iterations may mark nothing; trained weights are compared in the bundle's own tests.
    assert expected.shape == found.shape and (expected == found).mean() >= 0.999


def test_a_killed_training_goes_on(made, tmp_path):
    """Killed between checkpoints of a longer training; the log says where the second attempt began."""
    folder, _ = made
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns("nnUNet_results", "predictions"))
    longer = ("--epochs", "4", "--iterations", "2", "--validation_iterations", "1", "--device", "cpu")
    arguments = ("train", "--output", str(copy), "--model", "post", "--fold", "0", *longer)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "nnunet.py"), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    latest = Workspace(copy).model_folder(dataset_name("post")) / "fold_0" / "checkpoint_latest.pth"
    deadline = time.monotonic() + 300
    while not latest.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert latest.is_file()
    epoch = read_checkpoint(latest)["current_epoch"]
    result = run_script("nnunet.py", *arguments)
    assert 1 <= epoch < 4
    assert (latest.parent / "checkpoint_final.pth").is_file() and not latest.is_file()
    assert f"{epoch}/4" in result.stderr or f"{epoch + 1}/4" in result.stderr
    assert not list(latest.parent.glob("*.partial"))


@pytest.mark.slow
def test_all_thirty_five_trainings(dce_datalist, tmp_path):
    scenarios(dce_datalist, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert all("5 of 5 folds" in table["note"] for table in report["tables"].values())


@pytest.mark.parametrize(
    ("command", "options", "match"),
    [
        ("plan", ("--features", "8"), "features=8"),
        ("export", ("--source", "x", "--overwrite", "false"), "overwrite=false: give True or False"),
        ("predict", ("--model", "post", "--input", "x", "--masks", "y", "--folds", "0"), "folds=0"),
        ("predict", ("--model", "post", "--input", "/absent", "--masks", "y"), "case_0000.nii.gz"),
        ("train", ("--model", "both"), "model both: unknown"),
        ("train", ("--model", "post", "--learning_rate", "fast"), "learning_rate=fast"),
        ("convert", ("--input", "/absent.json"), "no such datalist"),
        ("evaluate", (), "run scripts/nnunet.py convert first"),
    ],
)  # fmt: skip
def test_mistakes_take_one_line(tmp_path, command, options, match):
    assert match in error_line(run_script("nnunet.py", command, "--output", tmp_path, *options, check=False))


def test_old_predictions_are_not_scored(made, tmp_path):
    """Masks of other settings in a user's folder are refused, those of the comparison are made again."""
    folder, _ = made
    images = folder / "prepared" / "test_post"
    options = ("predict", "--output", folder, "--model", "post", "--input", images, "--masks", tmp_path)
    options += ("--folds", "[0]", "--mirroring", "False", "--device", "cpu")
    run_script("nnunet.py", *options, "--precision", "bf16")
    masks = sorted(path.name for path in tmp_path.glob("*.nii.gz"))
    assert masks == sorted(path.name.replace("_0000.nii.gz", ".nii.gz") for path in images.iterdir())
    before = states(tmp_path)
    run_script("nnunet.py", *options, "--precision", "bf16")
    after = states(tmp_path)
    assert all(after[path] == time for path, time in before.items() if path.name.endswith(".nii.gz"))
    line = error_line(run_script("nnunet.py", *options, "--precision", "fp32", check=False))
    assert "holds masks of other weights, settings or images" in line
