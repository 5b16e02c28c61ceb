import json

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.io.tables import write_csv
from common.reader_study import analysis
from common.reader_study.protocols import tasks_of
from common.reader_study.rating_sheet import read_sheet
from common.reader_study.study_files import ANSWER_COLUMNS, KEY_COLUMNS, read_reading
from common.reader_study.task_ratings import ratings_of
from tests.conftest import error_line, run_script

# Lesions of the 102 cases of Kapsner et al. 2024 by reference 1 to 4 (rows; 4 stands for 4 to 6) and combined reading 1
# to 4 (columns): whole numbers that give all three contingency tables of Table 3 at once.
REAL_READINGS = ((5, 14, 7, 5), (1, 16, 0, 0), (0, 0, 0, 3), (0, 14, 9, 28))
SYNTHETIC_READINGS = ((3, 27, 0, 1), (2, 6, 9, 0), (0, 1, 0, 2), (0, 11, 0, 40))
# The radiologist of Montoya-del-Angel et al. 2023: how often which rating, from 0 surely synthetic to 4 surely real.
REAL, SYNTHETIC = (1, 12, 3, 7, 5), (0, 11, 1, 11, 2)


def write_study(folder, tasks, key, answers, protocol="kapsner"):
    """A study's folder and its key: `key` as rows without source, `answers` by reader as rows."""
    (folder / "study" / "answers").mkdir(parents=True)
    images = [row[0] for row in key]
    study = {"name": "trial", "protocol": protocol, "seed": 3, "tasks": tasks, "images": images}
    (folder / "study" / "study.json").write_text(json.dumps(study))
    write_rows(folder / "key.csv", KEY_COLUMNS, [(*row, "somewhere") for row in key])
    for reader, rows in answers.items():
        write_rows(folder / "study" / "answers" / f"{reader}.csv", ANSWER_COLUMNS, rows)
    return folder / "study", folder / "key.csv"


def write_rows(path, columns, rows):
    write_csv(path, [dict(zip(columns, row, strict=True)) for row in rows])


def small_study(folder, readers=3, cases=10, drop=()):
    """Cases with a real and a synthetic image each, answered to all tasks of Kapsner et al. but those in `drop`."""
    rng = np.random.default_rng(5)
    references = rng.integers(1, 7, cases)
    key = [
        (f"{2 * case + synthetic:04d}", ("real", "synthetic")[synthetic], f"c{case}", references[case])
        for case in range(cases)
        for synthetic in (0, 1)
    ]
    answers = {}
    for reader in range(readers):
        name = f"R{reader + 1}"
        given = {
            (image, task): value
            for image, truth, _, reference in key
            for task, value in (
                ("birads", int(np.clip(reference + rng.integers(-1, 2), 1, 5))),
                ("synthetic", int(rng.random() < (0.7 if truth == "synthetic" else 0.3))),
                ("anatomy", int(rng.integers(2, 6)) - (truth == "synthetic")),
                ("realism", int(rng.integers(1, 6))),
            )
        }
        answers[name] = [(*place, value) for place, value in given.items() if (name, *place) not in drop]
    return write_study(folder, tasks_of("kapsner"), key, answers)


def tables_of(reading, resamples=20):
    """By name, rows without the text around them; and the report."""
    report, charts = analysis.analyse(reading, resamples=resamples)
    return {name: table["rows"] for name, table in report.to_json()["tables"].items()}, report, charts


def row_of(rows, **cells):
    (found,) = [row for row in rows if all(row.get(name) == cell for name, cell in cells.items())]
    return found


def rating_sheet(path, readers):
    """A sheet of (real, synthetic) counts of ratings by reader."""
    rows = []
    for reader, kinds in readers.items():
        for truth, counts in zip(("real", "synthetic"), kinds, strict=True):
            ratings = np.repeat(range(5), counts)
            rows += [(f"{truth}{k}", truth, reader, rating) for k, rating in enumerate(ratings)]
    write_rows(path, ("image", "truth", "reader", "rating"), rows)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """One reader who is the combined reader of Kapsner et al. 2024: lesions and real-or-synthetic."""
    key, rows = [], []
    found_synthetic = {"real": 24, "synthetic": 35}  # called synthetic, of Table 4
    for truth, readings in (("real", REAL_READINGS), ("synthetic", SYNTHETIC_READINGS)):
        pairs = [
            (reference + 1, reading + 1)
            for reference, counts in enumerate(readings)
            for reading, count in enumerate(counts)
            for _ in range(count)
        ]
        for number, (reference, reading) in enumerate(pairs):
            image = f"{truth}{number:03d}"
            key.append((image, truth, f"case{number}", reference))
            rows += [(image, "birads", reading), (image, "synthetic", int(number < found_synthetic[truth]))]
    return read_reading(*write_study(tmp_path_factory.mktemp("kapsner"), tasks_of("kapsner"), key, {"all": rows}))


def test_tables_3_and_4_of_the_paper(published):
    tables, _, _ = tables_of(published)
    rows = tables["birads: readings against the reference"]
    columns = [f"≥ {level} {name}" for level in (2, 3, 4) for name in ("GT 0", "GT 1", "Total")]
    assert [[row["images"], row["reading"], *(row[column] for column in columns)] for row in rows] == [
        ["real", "0", 5, 1, 6, 36, 14, 50, 43, 23, 66],
        ["real", "1", 26, 70, 96, 12, 40, 52, 8, 28, 36],
        ["real", "Total", 31, 71, 102, 48, 54, 102, 51, 51, 102],
        ["synthetic", "0", 3, 2, 5, 38, 12, 50, 48, 11, 59],
        ["synthetic", "1", 28, 69, 97, 10, 42, 52, 3, 40, 43],
        ["synthetic", "Total", 31, 71, 102, 48, 54, 102, 51, 51, 102],
    ]
    assert tables["synthetic: readings against the truth"] == [
        {"reading": "0", "GT 0": 78, "GT 1": 67, "Total": 145},
        {"reading": "1", "GT 0": 24, "GT 1": 35, "Total": 59},
        {"reading": "Total", "GT 0": 102, "GT 1": 102, "Total": 204},
    ]


def test_sensitivities_and_specificities_of_the_paper(published):
    tables, _, _ = tables_of(published)
    lesions = tables["birads: sensitivity and specificity"]
    for kind, sensitivity, specificity in (("real", 0.549, 0.843), ("synthetic", 0.784, 0.941)):
        row = row_of(lesions, images=kind, **{"BI-RADS": "≥ 4"})
        assert row["sensitivity"]["mean"] == pytest.approx(sensitivity, abs=5e-4)
        assert row["specificity"]["mean"] == pytest.approx(specificity, abs=5e-4)
        # The area under a single corner is the mean of both.
        area = row_of(tables["birads: AUC of lesions"], images=kind, **{"BI-RADS": "≥ 4"})
        assert area["AUC"]["mean"] == pytest.approx((sensitivity + specificity) / 2, abs=1e-3)
    (synthetic,) = tables["synthetic: sensitivity and specificity"]
    assert 1 - synthetic["sensitivity"]["mean"] == pytest.approx(67 / 102)
    assert synthetic["specificity"]["mean"] == pytest.approx(78 / 102)


def test_one_reader_has_no_agreement_and_everything_else(published):
    tables, report, charts = tables_of(published)
    for name in ("birads: agreement (Kendall's W)", "birads: agreement on outcomes (Fleiss' kappa)"):
        for row in tables[name]:
            assert "not defined: agreement takes at least two raters" in (row.get("W"), row.get("kappa"))
    assert any("One reader" in warning for warning in report.warnings)
    assert len(tables["birads: DeLong's tests"]) == 3 and "p" in tables["birads: DeLong's tests"][0]
    assert list(charts) == ["roc.png"]  # nobody answered the tasks that are drawn as boxes


def test_published_reader_has_an_auc_of_0_490_exactly(tmp_path):
    sheet = rating_sheet(tmp_path / "mam_e.csv", {"R1": (REAL, SYNTHETIC)})
    tables, report, charts = tables_of(read_sheet(sheet), resamples=2000)
    (area,) = tables["rating: AUC of synthetic images"]
    assert (area["exact"], area["AUC"]["mean"], area["n"], area["positives"]) == ("49/100", 0.49, 53, 25)
    # pROC, see tests/metrics/test_roc.py: DeLong's interval, and the bootstrap's
    assert (area["AUC, DeLong"]["low"], area["AUC, DeLong"]["high"]) == pytest.approx((0.341256, 0.638744), abs=1e-6)
    assert (area["AUC"]["low"], area["AUC"]["high"]) == pytest.approx((0.342, 0.636), abs=0.015)
    counts = [[row[str(level)] for level in range(5)] for row in tables["rating: counts"]]
    assert counts == [list(REAL), list(SYNTHETIC)]
    assert sorted(charts) == ["ratings.png", "roc.png"]
    assert "| R1 | 53 | 25 | 0.49 (" in report.to_markdown()


def test_several_readers_have_their_own_areas_and_a_mean(tmp_path):
    good, bad = ((0, 0, 0, 0, 8), (6, 0, 0, 0, 0)), ((0, 0, 8, 0, 0), (0, 0, 6, 0, 0))
    tables, _, _ = tables_of(read_sheet(rating_sheet(tmp_path / "two.csv", {"good": good, "bad": bad})))
    rows = tables["rating: AUC of synthetic images"]
    assert {row["reader"]: row["AUC"]["mean"] for row in rows} == {
        "mean of readers": 1.0,
        "good": 1.0,
        "bad": 0.5,
        "mean of the readers' areas": 0.75,
    }
    assert row_of(rows, reader="good")["AUC, DeLong"] == "not defined: an area of 1 has no variance here"
    assert row_of(tables["Real against synthetic"], reader="bad")["W"] == "not defined: all values are equal"


def test_the_same_reader_twice_is_no_more_certain_than_once(tmp_path):
    """Images are resampled, not ratings."""
    once = read_sheet(rating_sheet(tmp_path / "once.csv", {"a": (REAL, SYNTHETIC)}))
    twice = read_sheet(rating_sheet(tmp_path / "twice.csv", {"a": (REAL, SYNTHETIC), "b": (REAL, SYNTHETIC)}))
    name = "rating: AUC of synthetic images"
    (alone,) = tables_of(once, 500)[0][name]
    tables = tables_of(twice, 500)[0]
    assert row_of(tables[name], reader="mean of the readers' areas")["AUC"] == alone["AUC"]
    assert row_of(tables[name], reader="mean of readers")["AUC"] == alone["AUC"]
    (test,) = tables["rating: DeLong's tests of readers"]
    assert test["first less second"] == "not defined: the difference of the curves has no variance"


def test_readers_may_have_rated_different_images(tmp_path):
    path = tmp_path / "sheet.csv"
    rows = [("r1", "real", "a", 4), ("r2", "real", "a", 3), ("s1", "synthetic", "a", 1), ("s2", "synthetic", "a", 0)]
    rows += [(f"{image}b", truth, "b", 4 - rating) for image, truth, _, rating in rows]
    write_rows(path, ("image", "truth", "reader", "rating"), rows)
    tables, report, _ = tables_of(read_sheet(path))
    areas = tables["rating: AUC of synthetic images"]
    assert {row["reader"]: row["AUC"] if isinstance(row["AUC"], str) else row["AUC"]["mean"] for row in areas} == {
        "mean of readers": "not defined: there is no image",
        "a": 1.0,
        "b": 0.0,
        "mean of the readers' areas": 0.5,
    }
    assert any("a: 4 of 8 images have no answer to rating (r1b, r2b, s1b, s2b)" in told for told in report.warnings)


def test_a_study_is_written_and_the_same_seed_gives_the_same_bytes(tmp_path):
    counts = {"real": REAL, "synthetic": SYNTHETIC}
    key = [(f"{truth}{k}", truth, "", "") for truth in counts for k in range(sum(counts[truth]))]
    ratings = np.concatenate([np.repeat(range(5), numbers) for numbers in counts.values()])
    answers = {"R1": [(row[0], "rating", rating) for row, rating in zip(key, ratings, strict=True)]}
    study, key = write_study(tmp_path, tasks_of("mam_e"), key, answers, "mam_e")
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        analysis.analyse_study(str(study), str(key), str(tmp_path / name), seed)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert {"report.json", "report.md", "roc.png", "ratings.png"} <= set(names)
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert (tmp_path / "third" / "report.json").read_bytes() != (tmp_path / "first" / "report.json").read_bytes()
    report = json.loads((tmp_path / "first" / "report.json").read_text())
    assert report["facts"]["images"] == "53: 28 real, 25 synthetic; 0 with a reference"
    assert report["tables"]["rating: AUC of synthetic images"]["rows"][0]["exact"] == "49/100"
    assert [figure["file"] for figure in report["figures"]] == ["roc.png", "ratings.png"]
    with Image.open(tmp_path / "first" / "roc.png") as picture:
        assert picture.width > 500 and "SYNTHETIC" in picture.text["Description"]


def test_three_readers_of_a_whole_study(tmp_path):
    tables, report, charts = tables_of(read_reading(*small_study(tmp_path)))
    assert not report.warnings
    tests = tables["birads: DeLong's tests"]
    assert {row["pairs"] for row in tests} == {10} and len(tests) == 3 * 4  # three outcomes; readers' mean and three
    agreement = tables["birads: agreement (Kendall's W)"]
    assert [(row["images"], row["ties"]) for row in agreement] == [
        (kind, ties) for kind in ("real", "synthetic") for ties in ("not corrected", "corrected")
    ]
    for plain, corrected in (agreement[:2], agreement[2:]):
        assert 0 < plain["W"]["low"] < plain["W"]["mean"] < corrected["W"]["mean"] < 1
        assert plain["chi-squared"] == pytest.approx(3 * 9 * plain["W"]["mean"])
    assert len(tables["synthetic: DeLong's tests of readers"]) == 3
    assert sorted(charts) == ["ratings.png", "roc.png"]


def test_gaps_are_told_and_leave_the_images_that_all_rated(tmp_path):
    drop = {("R1", "0003", "anatomy"), ("R2", "0004", "anatomy")}
    drop |= {("R3", f"{image:04d}", "birads") for image in range(20)}
    study, key = small_study(tmp_path, drop=drop)
    reading = read_reading(study, key)
    tables, report, _ = tables_of(reading)
    agreement = tables["anatomy: agreement (Kendall's W)"]
    assert [(row["images"], row["n"]) for row in agreement[::2]] == [("real", 9), ("synthetic", 9)]
    lesions = tables["birads: agreement (Kendall's W)"]
    assert {row["readers"] for row in lesions} == {2}  # who answered nothing is no reader of the task
    assert "R1: 1 of 20 images have no answer to anatomy (0003)" in report.warnings
    assert not any("R3" in warning for warning in report.warnings)
    assert row_of(tables["Answers"], reader="R3") == {
        "reader": "R3",
        "birads": 0,
        "synthetic": 20,
        "anatomy": 20,
        "realism": 20,
    }
    medians = tables["Medians"]
    assert row_of(medians, task="anatomy", reader="R1", images="synthetic")["n"] == 9
    assert row_of(medians, task="anatomy", reader="R1", images="real")["n"] == 10
    ratings = ratings_of(reading, reading.study.tasks[2])
    assert sorted(set(ratings.images) - set(ratings.complete().images)) == ["0003", "0004"]


def test_constant_ratings_leave_the_rest_defined(tmp_path):
    study, key = small_study(tmp_path)
    for path in (study / "answers").iterdir():
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.rsplit(",", 1)[0] + ",4" if ",anatomy," in line else line for line in lines))
    tables, _, charts = tables_of(read_reading(study, key))
    for row in tables["anatomy: agreement (Kendall's W)"]:
        assert row["W"] == "not defined: each rater gave all images the same rating"
    assert row_of(tables["Real against synthetic"], task="anatomy", reader="R1")["W"].startswith("not defined")
    assert row_of(tables["Medians"], task="anatomy", reader="R1", images="real")["median"]["mean"] == 4
    assert row_of(tables["Real against synthetic"], task="realism", reader="R1")["p"] > 0
    assert sorted(charts) == ["ratings.png", "roc.png"]


def test_one_kind_of_image_leaves_agreement_defined(tmp_path):
    study, key = small_study(tmp_path)
    key.write_text(key.read_text().replace("synthetic", "real"))
    tables, report, _ = tables_of(read_reading(study, key))
    assert "All images are real: nothing can be held against the other kind." in report.warnings
    for row in tables["synthetic: AUC of synthetic images"]:
        assert row["AUC"].startswith("not defined")
    assert row_of(tables["synthetic: agreement (Fleiss' kappa)"], images="all")["kappa"]["mean"] < 1
    assert (
        row_of(tables["birads: AUC of lesions"], reader="R1", images="real", **{"BI-RADS": "≥ 3"})["AUC"]["mean"] > 0.5
    )
    assert row_of(tables["synthetic: sensitivity and specificity"], reader="R1")["sensitivity"] == (
        "not defined: there is no positive image"
    )


def test_without_references_readers_can_still_agree(tmp_path):
    study, key = small_study(tmp_path)
    lines = [line.split(",") for line in key.read_text().splitlines()]
    key.write_text(
        "\n".join(",".join([*cells[:3], "" if number else cells[3], cells[4]]) for number, cells in enumerate(lines))
    )
    tables, _, _ = tables_of(read_reading(study, key))
    assert all(row["AUC"] == "not defined: there is no image" for row in tables["birads: AUC of lesions"])
    assert all(row["pairs"] == 0 for row in tables["birads: DeLong's tests"])
    assert tables["birads: agreement on outcomes (Fleiss' kappa)"][2]["kappa"]["mean"] > 0


def change(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("study/answers/R1.csv", "0003,anatomy", "00003,anatomy", "no image '00003'; the nearest is 0003"),
        ("study/answers/R1.csv", "0003,anatomy", "0003,anatomie", "no task 'anatomie'; the nearest is anatomy"),
        ("study/answers/R1.csv", "0003,anatomy,", "0003,anatomy,7", "line 16: value '7"),
        ("study/answers/R1.csv", "0003,anatomy", "0002,anatomy", "image 0002 has a second answer to anatomy"),
        ("study/answers/R1.csv", "image,task,value", "image,task", "has no column value"),
        ("key.csv", "0003,synthetic", "0003,synthetical", "line 5: truth 'synthetical': did you mean synthetic?"),
        ("key.csv", "0003,synthetic", "0002,synthetic", "image 0002 stands twice"),
        ("key.csv", "0003,synthetic", "9999,synthetic", "no image '9999'"),
        ("key.csv", "c1,", "c1,7", "reference '7"),
        ("key.csv", "reference", "birads", "has no column reference"),
        ("study/study.json", '"tasks"', '"questions"', "has no tasks"),
        ("study/study.json", '"kind": "binary"', '"kind": "yes"', "give an id, and the kind binary"),
        ("study/study.json", '"max": 5', '"max": 1', "whole min and max"),
        ("study/study.json", '"0001"', '"0000"', "lists image 0000 twice"),
        ("study/study.json", "{", "", "not JSON"),
    ],
)
def test_mistakes_in_files_are_refused_in_one_line(tmp_path, name, before, after, told):
    study, key = small_study(tmp_path, readers=1)
    change(tmp_path / name, before, after)
    with pytest.raises(InputError) as refused:
        read_reading(study, key)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_files_that_are_not_there_are_named(tmp_path):
    study, key = small_study(tmp_path, readers=1)
    with pytest.raises(InputError, match="nowhere.*study.json: cannot be read"):
        read_reading(tmp_path / "nowhere", key)
    with pytest.raises(InputError, match=r"none.csv: cannot be read"):
        read_reading(study, tmp_path / "none.csv")
    lines = key.read_text().splitlines()
    key.write_text("\n".join(lines[:-2]))
    with pytest.raises(InputError, match="lacks 0018, 0019 of the study's images"):
        read_reading(study, key)
    key.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="UTF-8"):
        read_reading(study, key)
    key.write_text("\n".join(lines))
    (study / "answers" / "R1.csv").unlink()
    with pytest.raises(InputError, match="holds no answers"):
        analysis.analyse_study(str(study), str(key), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("study", None, "out"), "give the study's folder and its key"),
        (("study", "key.csv", None), "give an output folder"),
        (("study", "key.csv", "out", 0, "sheet.csv"), "without study and key"),
        (("study", "key.csv", "out", -1), "seed"),
    ],
)
def test_wrong_arguments_are_refused(arguments, told):
    with pytest.raises(InputError, match=told):
        analysis.analyse_study(*arguments)


def test_an_answer_left_empty_is_a_gap_and_so_is_a_file_without_any(tmp_path):
    study, key = small_study(tmp_path)
    path = study / "answers" / "R1.csv"
    before, _, after = path.read_text().partition("0003,anatomy,")
    path.write_text(f"{before}0003,anatomy,{after[1:]}", encoding="utf-8-sig")
    (study / "answers" / "R4.csv").write_text("\n")
    reading = read_reading(study, key)
    assert len(reading.answers["R1"]) == 79 and reading.answers["R4"] == {}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["x,real,a,5"], "line 2: rating '5': use 0"),
        (["x,real,a,"], "rating ''"),
        (["x,real,a,2.5"], "rating '2.5'"),
        (["x,sinthetic,a,2"], "did you mean synthetic?"),
        (["x,real,a,2", "x,synthetic,b,2"], "both real and synthetic"),
        (["x,real,a,2", "x,real,a,3"], "a rates image x twice"),
        (["x,real,,2"], "line 2: has no reader"),
        ([], "holds no rating"),
    ],
)
def test_wrong_sheets_are_refused(tmp_path, lines, told):
    path = tmp_path / "sheet.csv"
    path.write_text("\n".join(["image,truth,reader,rating", *lines]) + "\n")
    with pytest.raises(InputError) as refused:
        read_sheet(path)
    assert told in str(refused.value)


def test_sheets_of_spreadsheets_are_read(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text(
        "image;Truth;reader;rating;note\nx.png;real;Dr A;4;seen\n\ny.png; Synthetic ;Dr A;0;\n", "utf-8-sig"
    )
    reading = read_sheet(path)
    assert reading.answers == {"Dr A": {("x.png", "rating"): 4, ("y.png", "rating"): 0}}
    assert reading.key["y.png"].truth == "synthetic"
    path.write_text("image,reader\nx,a\n")
    with pytest.raises(InputError, match="no column truth, rating"):
        read_sheet(path)


def test_the_script_analyses_a_sheet(tmp_path):
    sheet = rating_sheet(tmp_path / "sheet.csv", {"R1": (REAL, SYNTHETIC)})
    run_script("reader_study.py", "analyse", "--sheet", str(sheet), "--output", str(tmp_path / "out"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["tables"]["rating: AUC of synthetic images"]["rows"][0]["exact"] == "49/100"
    assert "give an output folder" in error_line(run_script("reader_study.py", "analyse", check=False))
