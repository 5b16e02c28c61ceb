import csv
import json
import shutil

import nibabel
import numpy as np
import pytest

from common.cohorts.datalist import SECTIONS, load_datalist
from common.cohorts.mammogram_prompts import parse
from common.cohorts.vindr import find_vindr, prepare_vindr
from common.errors import InputError
from common.phantoms.mammogram_patients import draw_patient, draw_view
from common.phantoms.write_mammograms import NAME, write_patient, write_tables
from common.transforms.breast_area import area_word
from common.transforms.mammogram_frame import MammogramFrame

SHAPE, SPACING_MM, SIZE = (256, 224), 1.0, 128
SEEDS = range(5)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vindr")
    for seed in SEEDS:
        write_patient(folder, seed, SHAPE, SPACING_MM)
    write_tables(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(cohort, tmp_path_factory):
    return prepare_vindr(cohort, tmp_path_factory.mktemp("out"), size=SIZE, split="leak_free", workers=1)


@pytest.fixture(scope="module")
def truth(cohort):
    found = {}
    for sidecar in (cohort / "truth").glob("*.json"):
        content = json.loads(sidecar.read_text())
        found |= {image["image_id"]: {**image, "patient": content["patient"]} for image in content["images"]}
    return found


def pixels(path):
    return nibabel.load(path).get_fdata()[..., 0].T


def table(folder, name):
    with open(folder / name, newline="") as stream:
        return list(csv.DictReader(stream))


def rewrite(folder, name, rows):
    with open(folder / name, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def copy_of(cohort, tmp_path):
    return shutil.copytree(cohort, tmp_path / "copy")


def test_every_image_becomes_an_item_with_what_is_true_of_it(prepared, truth):
    items = load_datalist(prepared)
    assert {item["case"] for item in items} == set(truth)
    for item in items:
        known = truth[item["case"]]
        assert item["patient"] == known["patient"]
        assert (item["laterality"], item["view"]) == (known["laterality"], known["view_position"])
        assert (item["vendor"], f"DENSITY {item['density']}") == (known["vendor"], known["breast_density"])
        assert item["area_ratio"] == pytest.approx(known["area_ratio"], abs=0.015)
        assert area_word(item["area_ratio"]) == known["area"]
        assert item["spacing"] == [2.0, 2.0]
        assert "guessed" not in item and "warnings" not in item and "findings_known" not in item
        finding = known["finding"] if known["exam"] == "exam" else None
        assert ("label" in item) == (finding is not None) == bool(item["lesions"])
        if finding:
            (lesion,) = item["lesions"]
            for name in ("number", "type", "birads", "pathology"):
                assert lesion[name] == finding[name]
        said = parse(item["prompt"])
        assert (said.view, said.vendor, said.density) == (item["view"], item["vendor"], item["density"])
        assert (said.area, said.lesion) == (known["area"], finding["type"] if finding else "none")


def test_images_show_the_phantom_with_the_chest_wall_on_the_left_whatever_the_storage(prepared, truth):
    """12 bits, MONOCHROME1, sigmoids and tables all come out as the display values that were drawn."""
    items = {item["case"]: item for item in load_datalist(prepared)}
    kinds = set()
    for seed in SEEDS:
        patient = draw_patient(seed)
        for case, known in truth.items():
            if known["patient"] != NAME.format(seed=seed):
                continue
            phantom = draw_view(patient, known["laterality"], known["view_position"], SHAPE, SPACING_MM)
            drawn = phantom.image if known["exam"] == "exam" else phantom.healthy
            frame = MammogramFrame(SHAPE, SIZE, flip=known["laterality"] == "R")
            image = nibabel.load(items[case]["image"])
            assert image.get_data_dtype() == np.uint16 and image.shape == (SIZE, SIZE, 1)
            np.testing.assert_allclose(image.affine, np.diag([-2, -2, 1, 1]))
            np.testing.assert_allclose(pixels(items[case]["image"]) / 65535, frame.to_network(drawn), atol=0.004)
            breast = frame.to_network(phantom.breast.astype(float)) >= 0.5
            found = pixels(items[case]["breast"]) > 0
            assert 2 * (breast & found).sum() / (breast.sum() + found.sum()) > 0.98
            kinds.add((known["photometric"], known["vendor"]))
    assert len(kinds) >= 2


def test_boxes_lie_on_the_lesions_of_both_sides(prepared, truth):
    checked = set()
    for item in load_datalist(prepared, having="label"):
        known = truth[item["case"]]
        x0, y0, x1, y1 = known["finding"]["box"]
        frame = MammogramFrame(SHAPE, SIZE, flip=known["laterality"] == "R")
        mapped = frame.box_to_network(x0, y0, x1, y1)
        np.testing.assert_allclose(item["lesions"][0]["box"], mapped, atol=1)
        label = pixels(item["label"])
        columns, rows = np.flatnonzero(label.any(axis=0)), np.flatnonzero(label.any(axis=1))
        extent = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert list(extent) == item["lesions"][0]["box"]
        assert np.unique(label).tolist() == [0, 1]
        checked.add(known["laterality"])
    assert checked, "the phantoms hold no lesion"


def test_ellipses_lie_in_their_boxes(cohort, prepared, tmp_path):
    other = prepare_vindr(cohort, tmp_path, size=SIZE, box_shape="ellipse", split="leak_free", workers=1)
    rectangles = {item["case"]: item for item in load_datalist(prepared, having="label")}
    for item in load_datalist(other, having="label"):
        ellipse, rectangle = pixels(item["label"]) > 0, pixels(rectangles[item["case"]]["label"]) > 0
        assert not (ellipse & ~rectangle).any()
        assert 0.7 < ellipse.sum() / rectangle.sum() < 0.97


def test_the_same_command_gives_the_same_bytes_and_a_second_run_reads_nothing(cohort, prepared, tmp_path, capsys):
    again = prepare_vindr(cohort, tmp_path, size=SIZE, split="leak_free", workers=1)
    assert again.read_bytes() == prepared.read_bytes()
    for path in sorted((prepared.parent / "mammograms").iterdir()):
        assert path.read_bytes() == (tmp_path / "mammograms" / path.name).read_bytes()
    capsys.readouterr()
    prepare_vindr(cohort, tmp_path, size=SIZE, split="leak_free", workers=1)
    assert "0 cases read" in capsys.readouterr().out
    prepare_vindr(cohort, tmp_path, size=64, split="leak_free", workers=1)
    assert " 0 known from before" in capsys.readouterr().out


def test_no_patient_is_in_two_sections_in_either_split(cohort, prepared, tmp_path, truth):
    own = prepare_vindr(cohort, tmp_path, size=SIZE, fractions=(0.5, 0.5, 0.0), workers=1)
    for path in (prepared, own):
        patients = [{item["patient"] for item in load_datalist(path, s, required=False)} for s in SECTIONS]
        assert sum(map(len, patients)) == len(set().union(*patients)) == len(SEEDS)
    test = {item["case"] for item in load_datalist(own, "test", required=False)}
    assert test == {case for case, known in truth.items() if known["split"] == "test"}
    assert load_datalist(own, "validation")


def test_cropping_loses_lesions_and_names_them(cohort, tmp_path, capsys):
    folder = copy_of(cohort, tmp_path)
    rows = table(folder, "finding_annotations.csv")
    lesions = [row for row in rows if "Mass" in row["finding_categories"] or "Calc" in row["finding_categories"]]
    gone, cut = lesions[:2]
    gone |= {"xmin": "40", "ymin": "2", "xmax": "60", "ymax": "14"}
    cut |= {"xmin": "40", "ymin": "6", "xmax": "60", "ymax": "26"}  # the crop begins at row 16
    rewrite(folder, "finding_annotations.csv", rows)
    path = prepare_vindr(folder, tmp_path / "out", size=SIZE, fit="crop", split="leak_free", workers=1)
    content, items = json.loads(path.read_text()), {item["case"]: item for item in load_datalist(path)}
    shown = {entry["case"]: entry["shown"] for entry in content["lesions_lost"]}
    assert shown[gone["image_id"]] == 0 and shown[cut["image_id"]] == 0.5
    lost = items[gone["image_id"]]
    assert "label" not in lost and lost["lesions"] == [] and lost["findings_known"] is False
    assert "lesion" not in lost["prompt"] and parse(lost["prompt"]).lesion is None
    assert items[cut["image_id"]]["lesions"][0]["box"][1] == 0
    told = capsys.readouterr().out
    assert f"{gone['image_id']}: lesion 1 " in told and "outside of the crop" in told and "50% is shown" in told
    whole = prepare_vindr(folder, tmp_path / "whole", size=SIZE, split="leak_free", workers=1)
    assert json.loads(whole.read_text())["lesions_lost"] == []


def test_both_categories_are_a_mass_and_others_are_left_out_unless_asked_for(cohort, tmp_path):
    folder = copy_of(cohort, tmp_path)
    rows = table(folder, "finding_annotations.csv")
    lesions = [row for row in rows if row["finding_birads"]]
    lesions[0]["finding_categories"] = "['Suspicious Calcification', 'Mass']"
    lesions[1]["finding_categories"] = "['Architectural Distortion']"
    several = {**lesions[0], "finding_categories": "['Suspicious Calcification']", "finding_birads": "BI-RADS 3"}
    rewrite(folder, "finding_annotations.csv", [several, *rows])
    path = prepare_vindr(folder, tmp_path / "out", size=SIZE, split="leak_free", workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    both = items[lesions[0]["image_id"]]["lesions"]
    assert [lesion["type"] for lesion in both] == ["mass", "calcification"] and both[1]["pathology"] == "benign"
    assert lesions[1]["image_id"] not in items
    assert json.loads(path.read_text())["left_out"] == {"findings of other kinds alone": 1}
    path = prepare_vindr(folder, tmp_path / "all", size=SIZE, split="leak_free", findings="all", workers=1)
    other = next(item for item in load_datalist(path) if item["case"] == lesions[1]["image_id"])
    assert other["lesions"][0]["type"] == "lesion" and other["prompt"].endswith("lesion")


def test_without_metadata_an_examination_is_a_patient_and_missing_files_are_counted(cohort, tmp_path, truth):
    folder = copy_of(cohort, tmp_path)
    (folder / "metadata.csv").unlink()
    case = next(iter(truth))
    image = folder / "images" / truth[case]["study_id"] / f"{case}.dicom"
    image.rename(image.with_suffix(".dcm"))
    other = next(path for path in sorted(folder.rglob("*.dicom")))
    other.unlink()
    records, left_out = find_vindr(folder)
    assert {record.patient for record in records} <= {known["study_id"] for known in truth.values()}
    assert case in {record.name for record in records} and other.stem not in {record.name for record in records}
    assert list(left_out.values()) == [1] and len(records) == len(truth) - 1


def test_damaged_files_and_boxes_beside_the_image_are_skipped_and_named(cohort, tmp_path):
    folder = copy_of(cohort, tmp_path)
    rows = table(folder, "finding_annotations.csv")
    lesion = next(row for row in rows if row["finding_birads"])
    lesion |= {"xmin": "500", "xmax": "540"}
    rewrite(folder, "finding_annotations.csv", rows)
    damaged = next(p for p in sorted(folder.rglob("*.dicom")) if p.stem != lesion["image_id"])
    damaged.write_bytes(damaged.read_bytes()[:4000])
    path = prepare_vindr(folder, tmp_path / "out", size=SIZE, split="leak_free", workers=1)
    skipped = {entry["case"]: entry["reason"] for entry in json.loads(path.read_text())["skipped"]}
    assert set(skipped) == {damaged.stem, lesion["image_id"]}
    assert "truncated" in skipped[damaged.stem] and "no pixel in the mammogram" in skipped[lesion["image_id"]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "finding_annotations.csv").unlink(), "no such table"),
        (lambda folder: (folder / "breast-level_annotations.csv").write_text("study_id,image_id\n"), "no column"),
        (lambda folder: (folder / "breast-level_annotations.csv").write_text(""), "no column"),
    ],
)
def test_unusable_tables_are_refused(cohort, tmp_path, change, told):
    folder = copy_of(cohort, tmp_path)
    change(folder)
    with pytest.raises(InputError, match=told):
        find_vindr(folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 100}, "size=100"),
        ({"size": "big"}, "size=big"),
        ({"fit": "squeeze"}, "letterbox or crop"),
        ({"box_shape": "star"}, "rectangle or ellipse"),
        ({"findings": "mas"}, "did you mean mass"),
        ({"split": "fold0"}, "leak_free or own"),
        ({"fractions": (0.5, 0.2)}, "fractions"),
        ({"workers": -1}, "workers=-1"),
    ],
)
def test_unusable_arguments_are_refused(cohort, tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        prepare_vindr(cohort, tmp_path, **options)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_vindr(tmp_path / "none")
