"""Downstream comparison on toy images and masks whose right answer is known."""

import csv
import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from common.errors import InputError
from common.evaluation.downstream_classification import DownstreamClassification
from common.evaluation.downstream_segmentation import compare_segmenters
from common.evaluation.extractor_names import parse_extractors
from common.evaluation.linear_probe import (
    MEASURES,
    CaseScores,
    LabelledFeatures,
    classify,
    comparison_rows,
    score_rows,
)
from common.evaluation.mask_comparison import comparison_row
from common.metrics.not_defined import NotDefinedError
from tests.conftest import error_line, run_script

SIZE = 24


def write_images(folder, first, count, classes, flipped=False, noise=6.0):
    """PNG files of cases, stripes for class b; returns the class that the table gives each case."""
    folder.mkdir(parents=True)
    table = {}
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        shown = classes[number % len(classes)]
        image = 100 + noise * rng.standard_normal((SIZE, SIZE))
        image[:, :: 2 if shown == "c" else 4] += {"a": 0, "b": 60, "c": 60}[shown]
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"case{number:03d}.png")
        other = {"a": "b", "b": "a"}.get(shown, shown)
        table[f"case{number:03d}"] = other if flipped else shown
    return table


def write_classes(path, *tables):
    lines = [f"{case},{name}" for table in tables for case, name in table.items()]
    path.write_text("\n".join(["case,class", *lines]) + "\n")
    return path


PLACES = ("train_real", "train_synthetic", "test", "classes")


def places(folder):
    return {name: str(folder / (f"{name}.csv" if name == "classes" else name)) for name in PLACES}


def classification(folder, output, **options):
    """In this process; returns the report as it was written."""
    arguments = places(folder) | {"extractors": parse_extractors("random")} | options
    DownstreamClassification(**arguments, output_dir=str(output)).run()
    return json.loads((output / "report.json").read_text())


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    """Separable classes; the table calls synthetic images by the other class."""
    folder = tmp_path_factory.mktemp("flipped")
    tables = [
        write_images(folder / "train_real", 0, 16, "ab"),
        write_images(folder / "train_synthetic", 100, 12, "ab", flipped=True),
        write_images(folder / "test", 200, 14, "ab"),
    ]
    write_classes(folder / "classes.csv", *tables)
    arguments = [text for name, place in places(folder).items() for text in (f"--{name}", place)]
    result = run_script("downstream.py", "classification", *arguments, "--output", folder / "output")
    assert "# Downstream classification" in result.stdout
    return folder, json.loads((folder / "output" / "report.json").read_text())


def test_labels_that_are_flipped_turn_the_curve_around(flipped):
    _, report = flipped
    rows = {row["trained on"]: row for row in report["tables"]["Classification by training data: random"]["rows"]}
    assert rows["real"]["AUC"]["mean"] == 1 and rows["real"]["accuracy"]["mean"] == 1
    assert rows["synthetic"]["AUC"]["mean"] == 0 and rows["synthetic"]["balanced accuracy"]["mean"] == 0
    assert rows["real"]["AUC"]["n"] == 14
    assert [row["training images"] for row in rows.values()] == [16, 12, 28]
    compared = report["tables"]["Against real training data: random"]["rows"]
    first = next(row for row in compared if (row["trained on"], row["measure"]) == ("synthetic", "AUC"))
    assert first["minus baseline"]["mean"] == first["minus baseline"]["low"] == first["minus baseline"]["high"] == -1
    assert first["over baseline"]["mean"] == 0


def test_the_report_says_what_it_rests_on(flipped):
    _, report = flipped
    facts = report["facts"]
    assert facts["test images"].startswith("14 of 14 cases")
    assert facts["synthetic training images by class"] == {"a": 6, "b": 6}
    assert "not pretrained" in facts["extractor random"] and "sha256" in facts["extractor random"]
    assert "seed 0" in facts["intervals"] and "become [0, 1]" in facts["intensity scale"]


def test_predictions_are_those_that_were_scored(flipped):
    folder, report = flipped
    rows = list(csv.DictReader((folder / "output" / "predictions.csv").open()))
    assert len(rows) == 3 * 14
    table = report["tables"]["Classification by training data: random"]["rows"]
    for line in table:
        own = [row for row in rows if row["trained on"] == line["trained on"]]
        auc = roc_auc_score([row["class"] == "b" for row in own], [float(row["probability of b"]) for row in own])
        assert line["AUC"]["mean"] == pytest.approx(auc, abs=1e-12)


def test_the_same_sets_give_the_same_bytes(flipped, tmp_path):
    folder, _ = flipped
    classification(folder, tmp_path)
    for name in ("report.json", "report.md", "report.html", "predictions.csv"):
        assert (tmp_path / name).read_bytes() == (folder / "output" / name).read_bytes()


def gaussian(seed, count, shift, cases=None, names=("a", "b")):
    """Features of overlapping classes; two images a case where `cases` is half of `count`."""
    rng = np.random.default_rng(seed)
    cases = np.arange(count) // (count // (cases or count))
    classes = np.array([names[case % len(names)] for case in cases])
    vectors = rng.standard_normal((count, 5))
    vectors[:, 0] += shift * np.array([names.index(name) for name in classes])
    return LabelledFeatures(vectors, np.array([f"{seed}-{case:03d}" for case in cases]), classes)


def test_the_penalty_weighs_alike_for_any_number_of_features():
    """The same features four times over say nothing new; under one fixed penalty they would weigh four times."""
    training, test = gaussian(1, 40, 1.0), gaussian(3, 30, 1.0)
    once, fourfold = (
        classify(*(replace(part, vectors=np.tile(part.vectors, times)) for part in (training, test)))[1]
        for times in (1, 4)
    )
    assert np.ptp(once.scores[:, 1]) > 0.3
    np.testing.assert_allclose(fourfold.scores, once.scores, atol=1e-4)


@pytest.fixture(scope="module")
def overlapping():
    """Scores of two classifiers of unequal quality on 60 cases, two images each."""
    test = gaussian(3, 120, 1.2, cases=60)
    return {
        "real": classify(gaussian(1, 200, 1.2), test)[1],
        "synthetic": classify(gaussian(2, 30, 0.3), test)[1],
    }


def test_measures_are_those_of_scikit_learn(overlapping):
    scores = overlapping["synthetic"]
    every = np.arange(60)
    assert len(scores.truth) == 60
    assert scores.auc(every) == pytest.approx(roc_auc_score(scores.truth == 1, scores.scores[:, 1]), abs=1e-12)
    expected = balanced_accuracy_score(scores.truth, scores.scores.argmax(1))
    assert scores.balanced_accuracy(every) == pytest.approx(expected, abs=1e-12)
    three = classify(gaussian(4, 90, 0.5, names="abc"), gaussian(5, 60, 0.5, names="abc"))[1]
    expected = roc_auc_score(three.truth, three.scores, multi_class="ovr", average="macro")
    assert three.auc(np.arange(60)) == pytest.approx(expected, abs=1e-12)
    assert 0.5 < expected < 1


def test_differences_are_paired(overlapping):
    """Interval recomputed by hand from the same resamples; it holds the difference of the whole set."""
    rows = {row["measure"]: row for row in comparison_rows(overlapping, seed=7)}
    real, synthetic = overlapping["real"], overlapping["synthetic"]
    rng = np.random.default_rng(7)
    draws = [rng.integers(0, 60, 60) for _ in range(2000)]
    differences = [
        roc_auc_score(real.truth[k], synthetic.scores[k, 1]) - roc_auc_score(real.truth[k], real.scores[k, 1])
        for k in draws[:200]
    ]
    own = [synthetic.auc(k) - real.auc(k) for k in draws]
    assert own[:200] == pytest.approx(differences, abs=1e-12)
    found = rows["AUC"]["minus baseline"]
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(own, [0.025, 0.975]), abs=1e-12)
    every = np.arange(60)
    assert found["mean"] == pytest.approx(synthetic.auc(every) - real.auc(every), abs=1e-12)
    assert found["low"] < found["mean"] < found["high"]
    assert rows["AUC"]["over baseline"]["mean"] == pytest.approx(synthetic.auc(every) / real.auc(every), abs=1e-12)


def test_a_classifier_against_itself_differs_by_nothing(overlapping):
    rows = comparison_rows({"real": overlapping["real"], "again": overlapping["real"]}, seed=0)
    for row in rows:
        assert (row["minus baseline"]["low"], row["minus baseline"]["high"]) == (0, 0)
        assert (row["over baseline"]["low"], row["over baseline"]["high"]) == (1, 1)
    assert len(rows) == len(MEASURES)


def test_what_is_not_defined_says_so_and_the_rest_is_there():
    one = CaseScores(("a", "b"), np.zeros(4, int), np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]]), frozenset("ab"))
    (row,) = score_rows({"real": one}, seed=0)
    assert row["AUC"] == "not defined: no test case is b"
    assert row["accuracy"]["mean"] == 0.75
    partly = CaseScores(("a", "b", "c"), np.array([0, 1, 2]), np.eye(3), frozenset("ab"))
    (row,) = score_rows({"synthetic": partly}, seed=0)
    assert row["AUC"] == "not defined: no training image is c" and row["accuracy"]["mean"] == 1
    with pytest.raises(NotDefinedError, match="all training images are a"):
        classify(gaussian(1, 10, 1, names=("a",)), gaussian(2, 10, 1))
    wrong = CaseScores(("a", "b"), np.array([0, 1]), np.array([[0.1, 0.9], [0.9, 0.1]]), frozenset("ab"))
    rows = comparison_rows({"real": wrong, "synthetic": "not defined: all training images are a"}, seed=0)
    assert all(row["minus baseline"] == "not defined: all training images are a" for row in rows)
    rows = comparison_rows({"real": wrong, "synthetic": wrong}, seed=0)
    assert rows[0]["over baseline"] == "not defined: the baseline scores 0"


def write_volumes(folder, first, count, classes):
    """NIfTI files, two a case, slabs for class b."""
    folder.mkdir()
    for number in range(first, first + count):
        for scan in (1, 2):
            volume = 100 + 6 * np.random.default_rng([number, scan]).standard_normal((12, 12, 12))
            volume[:, :, ::4] += 60 * (classes[number % len(classes)] == "b")
            image = nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4))
            nibabel.save(image, folder / f"case{number:03d}_scan{scan}.nii.gz")
    return {f"case{number:03d}": classes[number % len(classes)] for number in range(first, first + count)}


def test_a_class_that_synthetic_volumes_lack(tmp_path):
    tables = [
        write_volumes(tmp_path / "train_real", 0, 8, "ab"),
        write_volumes(tmp_path / "train_synthetic", 100, 3, "a"),
        write_volumes(tmp_path / "test", 200, 7, "ab"),
    ]
    del tables[2]["case206"]
    write_classes(tmp_path / "classes.csv", *tables)
    report = classification(tmp_path, tmp_path / "output", case_pattern=r"(case\d+)")
    rows = {row["trained on"]: row for row in report["tables"]["Classification by training data: random"]["rows"]}
    assert rows["synthetic"]["accuracy"] == "not defined: all training images are a"
    assert rows["real"]["AUC"]["mean"] == 1 and rows["real + synthetic"]["AUC"]["mean"] == 1
    assert (rows["real"]["training images"], rows["real"]["AUC"]["n"]) == (16, 6)
    assert report["facts"]["test images"].startswith("12 of 6 cases")
    assert "no synthetic image is of class b: some scores are not defined" in report["warnings"]
    assert "2 test images have no class and are left out" in report["warnings"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"test": "train_real"}, "16 of the 16 test cases are among its cases, such as case000"),
        ({"train_synthetic": "test"}, "train_synthetic: 14 of the 14 test cases are among its cases"),
        ({"classes": "/absent.csv"}, "/absent.csv: cannot be read"),
        ({"case_pattern": r"(scan\d+)"}, "finds nothing in the name case000"),
        ({"case_pattern": r"(\d+)"}, "no image is of a case in .* would be of case 000"),
        ({"case_pattern": "("}, "not a regular expression"),
        ({"train_synthetic": "/absent"}, "train_synthetic: /absent: no such folder"),
        ({"size": [8]}, "give 2 whole numbers"),
        ({"scale": "own"}, "scale=own"),
        ({"extractors": parse_extractors("random", spatial_dims=3)}, "takes volumes, these are images"),
    ],
)  # fmt: skip
def test_mistakes(flipped, tmp_path, options, match):
    folder, _ = flipped
    options = {name: str(folder / value) if value in PLACES else value for name, value in options.items()}
    with pytest.raises(InputError, match=match) as caught:
        classification(folder, tmp_path, **options)
    assert "\n" not in str(caught.value)


def save_mask(folder, case, mask, shift=0.0):
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([2.0, 2.0, 2.0, 1])
    affine[0, 3] = shift
    nibabel.save(nibabel.Nifti1Image(np.asarray(mask, np.uint8), affine), folder / f"{case}.nii.gz")


def box(start, length=4):
    """A cube in (16, 16, 16)."""
    mask = np.zeros((16, 16, 16), bool)
    mask[start : start + length, 4:8, 4:8] = True
    return mask


@pytest.fixture()
def masks(tmp_path):
    """Three cases with a tumour and one without. By hand: real hits all; synthetic is one voxel off, misses one."""
    found = {
        "p1_a": (box(4), box(4), box(5)),
        "p1_b": (box(6), box(6), box(7)),
        "p2_a": (box(2), box(2), np.zeros((16, 16, 16))),
        "p3_a": (np.zeros((16, 16, 16)), np.zeros((16, 16, 16)), box(3)),
    }
    for case, triple in found.items():
        for name, mask in zip(("truth", "real", "synthetic"), triple, strict=True):
            save_mask(tmp_path / name, case, mask)
    (tmp_path / "synthetic" / "plans.json").write_text("{}")
    return tmp_path


def segmentation(masks, **options):
    predictions = {name: masks / name for name in ("real", "synthetic")}
    return compare_segmenters(masks / "truth", predictions, masks / "output", **options)


def test_masks_are_compared_by_patient(masks):
    named = str({name: str(masks / name) for name in ("real", "synthetic")})
    arguments = ("--truth", masks / "truth", "--predictions", named, "--output", masks / "output")
    run_script("downstream.py", "segmentation", *arguments, "--patient_pattern", "(p\\d)")
    report = json.loads((masks / "output" / "report.json").read_text())
    real, synthetic = report["tables"]["Segmentation by training data"]["rows"]
    assert real["Dice"]["mean"] == 1 and real["HD95 (mm)"]["mean"] == 0 and real["Dice minus baseline"] == "baseline"
    # Patient 1: two cubes of four voxels, one off: Dice 6/8, distance one voxel of 2 mm; patient 2: nothing.
    assert synthetic["Dice"] == {"mean": 0.375, "low": 0, "high": 0.75, "n": 2}
    assert synthetic["HD95 (mm)"]["mean"] == 2 and synthetic["HD95 (mm)"]["n"] == 1
    assert synthetic["Dice minus baseline"]["mean"] == -0.625
    assert synthetic["HD95 minus baseline"]["mean"] == 2 and synthetic["HD95 minus baseline"]["n"] == 1
    assert (real["nothing found"], synthetic["nothing found"]) == (0, 1)
    marked = report["tables"]["Cases without a true mask"]["rows"]
    assert [row["something marked"] for row in marked] == [0, 1]
    assert report["facts"]["test patients"] == 3 and report["facts"]["cases without a true mask"] == 1
    rows = list(csv.DictReader((masks / "output" / "cases.csv").open()))
    assert len(rows) == 8 and rows[-1]["found size"] == "64" and rows[-1]["dice"] == "nan"
    before = (masks / "output" / "report.json").read_bytes()
    segmentation(masks, patient_pattern=r"(p\d)")
    assert (masks / "output" / "report.json").read_bytes() == before


def test_pictures_and_single_slices_are_measured_in_their_plane(tmp_path):
    """A filled square moved by one pixel; slices that counted their inside as surface would find 0."""
    for name, start in (("truth", 4), ("moved", 5)):
        mask = np.zeros((40, 40), np.uint8)
        mask[start : start + 30, 4:34] = 255
        (tmp_path / name).mkdir()
        Image.fromarray(mask).save(tmp_path / name / "a.png")
        save_mask(tmp_path / f"{name}_slices", "a", mask[..., None] > 0)
    report = compare_segmenters(tmp_path / "truth", {"moved": tmp_path / "moved"}, tmp_path / "out")
    assert report.tables[0].rows[0]["HD95 (pixels)"]["mean"] == 1
    slices = {"moved": tmp_path / "moved_slices"}
    report = compare_segmenters(tmp_path / "truth_slices", slices, tmp_path / "out")
    assert report.tables[0].rows[0]["HD95 (mm)"]["mean"] == 2


def test_the_row_pairs_patients():
    """Two patients whose difference is always 0.1, however different they are: an interval without width."""
    base = [{"patient": p, "dice": d, "hd95": 1.0} for p, d in (("x", 0.2), ("x", 0.4), ("y", 0.8))]
    own = [row | {"dice": row["dice"] + 0.1, "hd95": float("nan")} for row in base]
    row = comparison_row(own, base, seed=0)
    difference = row["Dice minus baseline"]
    assert [difference["low"], difference["mean"], difference["high"]] == pytest.approx([0.1] * 3)
    assert row["Dice"]["high"] - row["Dice"]["low"] > 0.1 and row["Dice"]["n"] == 2
    assert row["nothing found"] == 3 and row["HD95 minus baseline"]["n"] == 0


def test_segmentation_mistakes(masks):
    save_mask(masks / "synthetic", "p9", box(2))
    assert "1 masks of synthetic have no true mask and are left out, such as p9" in segmentation(masks).warnings
    with pytest.raises(InputError, match="p1_a and p1_b are both of case p1"):
        segmentation(masks, case_pattern=r"(p\d)")
    save_mask(masks / "synthetic", "p2_a", box(2), shift=3.0)
    with pytest.raises(InputError, match="p2_a.nii.gz: is on another grid"):
        segmentation(masks)
    (masks / "synthetic" / "p2_a.nii.gz").unlink()
    with pytest.raises(InputError, match=r"predictions synthetic: has no mask for case p2_a \(1 of 4 are missing\)"):
        segmentation(masks)
    with pytest.raises(InputError, match="name at least one folder of masks"):
        compare_segmenters(masks / "truth", {}, masks / "output")


def test_a_mistake_takes_one_line(tmp_path):
    arguments = ("--truth", tmp_path, "--predictions", "real", "--output", tmp_path)
    result = run_script("downstream.py", "segmentation", *arguments, check=False)
    assert "predictions=real: give a name and a folder for each" in error_line(result)
