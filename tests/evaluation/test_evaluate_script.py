"""`scripts/evaluate.py` as users run it: gate, masks, frozen networks, and every kind of bad input in one line."""

import csv
import json
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image

from common.io.dicom_writer import write_dicom_series
from tests.conftest import ROOT, error_line, launcher, run_script

from .image_sets import BrightnessClassifier, ThreeChannels, save, save_torchscript, texture, write_set


def evaluate(*arguments, **options):
    """The finished run of the script; options become command-line options."""
    named = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    return run_script("evaluate.py", *arguments, *named, check=False)


def refused(**options):
    return error_line(evaluate(**options))


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_set(folder / "real", 12, 0)
    write_set(folder / "synthetic", 12, 100, "synthetic{:03d}.png")
    write_set(folder / "train", 16, 200, "train{:03d}.png")
    write_set(folder / "volumes", 3, 300, "{:03d}.nii.gz", shape=(12, 12, 10))
    return folder


@pytest.fixture
def command(sets, tmp_path):
    """Real and synthetic folder, and an output folder that does not exist yet."""
    return {"real": sets / "real", "synthetic": sets / "synthetic", "output": tmp_path / "out"}


class TestGate:
    def test_honest_images_pass_and_a_planted_copy_does_not(self, sets, command, tmp_path):
        command["train"] = sets / "train"
        result = evaluate(**command, gate=0)
        assert result.returncode == 0, result.stderr
        assert "gate of 0: passed" in report_of(command["output"])["facts"]["memorisation"]
        planted = write_set(tmp_path / "planted", 12, 100)
        copy = np.roll(texture(205)[:, ::-1], 2, 1) * 0.8 + 0.05
        save(planted / "copy.png", copy)
        command |= {"synthetic": planted, "output": tmp_path / "again"}
        line = refused(**command, gate=0.01)
        assert line.startswith("error: gate: 1 of 13 synthetic images (7.7%) are copies of training images, 1.0% are")
        found = report_of(command["output"])
        assert "FAILED" in found["facts"]["memorisation"]
        nearest = found["tables"]["Closest pairs"]["rows"][0]
        assert (nearest["pair"], nearest["copy"], nearest["flipped along axes"]) == (1, "yes", "1")
        with (command["output"] / "copies.csv").open() as stream:
            row = next(csv.DictReader(stream))
        assert (row["pair"], row["name"], row["nearest"]) == ("1", "copy", "train005")
        assert "train005" not in (command["output"] / "report.md").read_text()
        assert (command["output"] / "closest_pairs.png").is_file()
        assert {row["space"] for row in found["tables"]["Memorisation"]["rows"]} == {"pixel", "feature"}
        assert evaluate(**command, gate=0.1).returncode == 0

    def test_without_training_images_there_is_no_gate(self, command):
        assert "--train" in refused(**command, gate=0)
        assert not command["output"].exists()

    def test_a_validation_set_is_floor_and_calibration(self, sets, command):
        command |= {"train": sets / "train", "validation": write_set(command["output"].parent / "validation", 9, 400)}
        assert evaluate(**command).returncode == 0
        found = report_of(command["output"])
        assert found["facts"]["validation images"].startswith("9 of 40x36")
        assert "9 validation distances" in found["tables"]["Memorisation"]["rows"][0]["set by"]
        assert "floor" in found["tables"]["Distribution"]["rows"][-1]["KID"]


def test_frozen_classifier(sets, command, tmp_path):
    """Half of the images are brighter than 0.5 and half are darker; one of eight is asked for wrongly."""
    lines = ["case,class"]
    for number in range(8):
        save(tmp_path / "bright" / f"case{number}.png", texture(number, level=0.7 if number % 2 else 0.3))
        lines.append(f"case{number},{'bright' if number % 2 or number == 0 else 'dark'}")
    (tmp_path / "classes.csv").write_text("\n".join(lines) + "\n")
    network = save_torchscript(tmp_path / "network.pt", BrightnessClassifier())
    command |= {"synthetic": tmp_path / "bright", "classes": tmp_path / "classes.csv"}
    result = evaluate(**command, classifier=network, class_names="[dark,bright]", scale="[0,255]")
    assert result.returncode == 0, result.stderr
    row = report_of(command["output"])["tables"]["Class agreement"]["rows"][0]
    assert (row["images"], row["n"]) == ("synthetic", 8)
    assert row["agreement"]["mean"] == pytest.approx(7 / 8)
    assert row["balanced agreement"]["mean"] == pytest.approx((1 + 4 / 5) / 2)
    line = refused(**command, classifier=network, class_names="[low,high]")
    assert "the classifier knows low, high" in line
    assert "as network.pt@sha256; this file's is " in refused(
        **command, classifier=tmp_path / "network.pt", class_names="[dark,bright]"
    )
    bad = save_torchscript(tmp_path / "three.pt", ThreeChannels())
    assert "classifier: fails on case0" in refused(**command, classifier=bad, class_names="[dark,bright]")


def test_frozen_segmentation_bundle(command, tmp_path):
    """A bundle by the zoo's conventions whose network is a threshold of 0.6; masks are where images are above 0.7."""
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    torch.save({"weight": torch.tensor(0.6)}, bundle / "models" / "model.pt")
    config = {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "cpu",
        "datalist": [],
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True}],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': i} for i in @datalist]",
            "transform": "@preprocessing",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "AsDiscreted", "keys": "image", "threshold": 0.6},
                {
                    "_target_": "SaveImaged",
                    "keys": "image",
                    "output_dir": "@output_dir",
                    "output_dtype": "$@uint8",
                    "resample": False,
                },
            ],
        },
        "uint8": "$__import__('numpy').uint8",
        "run": ["$[@postprocessing(item) for item in @dataset]"],
    }
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    for number in range(4):
        image = np.full((12, 12, 10), 0.2)
        mask = np.zeros(image.shape)
        mask[3:7, 4:8, 2 + number : 6 + number] = 1
        for title, shift in (("real", 0), ("synthetic", 2 if number == 0 else 0)):
            save(tmp_path / title / f"case{number}.nii.gz", np.where(np.roll(mask, shift, 0) > 0, 0.9, image))
        save(tmp_path / "masks" / f"case{number}_mask.nii.gz", mask)
    command |= {"real": tmp_path / "real", "synthetic": tmp_path / "synthetic", "masks": tmp_path / "masks"}
    result = evaluate(**command, segmenter=bundle)
    assert result.returncode == 0, result.stderr[-2000:]
    rows = {row["images"]: row for row in report_of(command["output"])["tables"]["Adherence to the mask"]["rows"]}
    assert rows["real"]["Dice"]["mean"] == 1
    assert rows["synthetic"]["Dice"]["mean"] == pytest.approx((0.5 + 3) / 4)
    assert rows["synthetic"]["centre distance (mm)"]["mean"] == pytest.approx(4 / 4)  # 2 voxels of 2 mm in one of four
    assert rows["synthetic"]["volume ratio"]["mean"] == 1
    (bundle / "models" / "model.pt").unlink()
    assert "has no models/model.pt" in refused(**command, segmenter=bundle)


class TestSizeAndScale:
    def test_different_sizes_are_refused_and_resampled_on_request(self, sets, command, tmp_path):
        command["synthetic"] = write_set(tmp_path / "small", 8, 0, shape=(20, 24))
        line = refused(**command)
        assert "real: 40x36; synthetic: 20x24" in line
        assert "--size '[40, 36]'" in line
        assert [path.name for path in command["output"].iterdir()] == ["records"]
        assert evaluate(**command, size="[20,24]").returncode == 0
        found = report_of(command["output"])
        assert found["facts"]["resampled to"] == "20x24"
        assert "images were resampled to 20x24 as asked for" in found["warnings"]

    def test_images_against_volumes(self, sets, command):
        command["synthetic"] = sets / "volumes"
        assert "real 2D, synthetic 3D" in refused(**command)

    @pytest.mark.parametrize(
        ("option", "value", "told"),
        [
            ("size", "64", "give 2 whole numbers"),
            ("size", "[64,64,64]", "give 2 whole numbers"),
            ("scale", "5", "give set, image, or two ascending numbers"),
            ("scale", "[1,1]", "give set, image, or two ascending numbers"),
            ("scale", "wide", "give set, image, or two ascending numbers"),
            ("slices", "0", "slices=0"),
            ("seed", "x", "seed=x"),
            ("gate", "2", "gate=2: give a number from 0 to 1"),
            ("copy_threshold", "much", "copy_threshold=much"),
            ("extractors", "resnet", "extractor resnet: unknown; choose one of"),
            ("extractors", "random,random", "random is named twice"),
            ("extractors", "random@64", "has no layers to choose from"),
            ("extractors", "random@3d", "takes volumes, the real images are two-dimensional"),
            ("extractors", "inception@3d", "leave out @3d"),
            ("case_pattern", "(", "not a regular expression"),
            ("case_pattern", "case", "finds nothing in the name"),
            ("device", "tpu9", "device=tpu9: cannot be used here"),
            ("masks", "{sets}/volumes", "no mask has the name of an image"),
            ("real_pattern", "*.dcm", "real: {sets}/real: no file in it matches *.dcm"),
            ("train", "{sets}/missing", "training: {sets}/missing: no such folder"),
            ("segmenter", "{sets}/real", "has no configs/inference.json"),
            ("classifier", "network.pt", "needs --classes"),
        ],
    )
    def test_knobs(self, sets, command, option, value, told):
        assert told.format(sets=sets) in refused(**command, **{option: value.format(sets=sets)})


class TestDamagedFiles:
    def test_missing_and_empty_folders(self, command, tmp_path):
        assert f"real: {tmp_path}/nowhere: no such folder" in refused(**command | {"real": tmp_path / "nowhere"})
        (tmp_path / "empty").mkdir()
        line = refused(**command | {"synthetic": tmp_path / "empty"})
        assert f"synthetic: {tmp_path}/empty: no file in it is an image" in line

    def test_colour_and_truncated_pictures(self, command, tmp_path):
        folder = write_set(tmp_path / "set", 3, 0)
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 36, 3), np.uint8)).save(folder / "colour.png")
        assert f"{folder}/colour.png: is a colour image" in refused(**command | {"synthetic": folder})
        (folder / "colour.png").unlink()
        whole = (folder / "image001.png").read_bytes()
        (folder / "image001.png").write_bytes(whole[: len(whole) // 2])
        assert f"{folder}/image001.png: cannot be read as an image" in refused(**command | {"synthetic": folder})

    def test_corrupt_dicom(self, command, tmp_path):
        folder = tmp_path / "dicom"
        array = (texture(0, (12, 12, 4)) * 1000).astype(np.int16)
        names = {"description": "T1", "series_number": 1, "uid_root_text": "a"}
        paths = write_dicom_series(folder, array, np.eye(4), **names)
        paths[2].write_bytes(paths[2].read_bytes()[:-100])
        assert str(paths[2]) in refused(**command | {"real": folder})

    def test_images_that_are_too_small_for_the_extractor(self, command, tmp_path):
        for title in ("real", "synthetic"):
            command[title] = write_set(tmp_path / title, 3, 0, shape=(8, 8))
        assert "gives NaN for images of 8x8; are they too small for it?" in refused(**command)

    def test_output_among_the_images(self, sets, command):
        line = refused(**command | {"output": sets / "real" / "evaluation"})
        assert "lies in" in line
        assert not (sets / "real" / "evaluation").exists()

    def test_all_images_hold_nan(self, command, tmp_path):
        for number in range(2):
            save(tmp_path / "nan" / f"{number}.nii", np.full((12, 12, 10), np.nan))
        assert "synthetic: no image is free of NaN" in refused(**command | {"synthetic": tmp_path / "nan"})

    def test_constant_real_images(self, command, tmp_path):
        for number in range(2):
            save(tmp_path / "flat" / f"{number}.png", np.full((40, 36), 0.5))
        assert "the real images are constant" in refused(**command | {"real": tmp_path / "flat"})

    def test_networks(self, command, tmp_path):
        named = save_torchscript(tmp_path / "three.pt", ThreeChannels())
        wrong = f"{tmp_path}/three.pt@{'0' * 64}"
        assert "SHA-256 is" in refused(**command, extractors=wrong)
        result = evaluate(**command, extractors=named)
        assert result.returncode == 0, result.stderr[-2000:]  # grey images are given as three equal channels

    def test_masks_of_another_size(self, command, tmp_path):
        for number in range(12):
            save(tmp_path / "masks" / f"image{number:03d}.png", np.eye(20))
        assert evaluate(**command, masks=tmp_path / "masks").returncode == 0  # of real images alone: nothing needs them
        found = report_of(command["output"])
        assert found["facts"]["masks"] == "of 12 of 12 real and 0 of 12 synthetic images"
        assert "masks: none is of a synthetic image; radiomics are those of whole images" in found["warnings"]
        command["synthetic"] = write_set(tmp_path / "named_alike", 3, 100)
        line = refused(**command, masks=tmp_path / "masks")
        assert "masks: image000 is 20x20, its image 40x36" in line


def test_three_hundred_images_need_no_more_memory_than_forty(tmp_path):
    """The images alone would be 68 MB more as floats."""
    code = """
    import resource, sys
    sys.path.insert(0, {root!r})
    from common.evaluation.extractor_names import parse_extractors
    from common.evaluation.suite import Suite
    Suite({real!r}, {synthetic!r}, {output!r}, extractors=parse_extractors("random")).run()
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    """
    first = write_set(tmp_path / "first", 40, 0, shape=(256, 256))
    tile = [np.asarray(Image.open(path)) for path in sorted(first.iterdir())]
    (tmp_path / "many").mkdir()
    for number in range(300):
        Image.fromarray(np.roll(tile[number % 40], 7 * (number // 40 + 1), 0)).save(
            tmp_path / "many" / f"{number}.png", compress_level=1
        )
    peaks = []
    for real in ("first", "many"):
        folders = {"real": real, "synthetic": "first", "output": f"out_{real}"}
        paths = {key: str(tmp_path / name) for key, name in folders.items()}
        result = launcher().run(["-c", textwrap.dedent(code.format(root=str(ROOT), **paths))], "/", 800)
        assert result.returncode == 0, result.stderr[-2000:]
        peaks.append(float(result.stdout.split("peak")[1]))
    assert peaks[1] - peaks[0] < 40, peaks
