"""Phantom cohorts are laid out as VinDr-Mammo, and their files show the phantoms through their own windows."""

import csv
import json

import numpy as np
import pydicom
import pytest

from common.io.mammogram_dicom import write_mammogram_dicom
from common.phantoms.mammogram import LATERALITIES, VIEWS
from common.phantoms.mammogram_patients import WITHHELD, draw_patient, draw_view
from common.phantoms.mammogram_storage import BITS, Storage, draw_storage
from common.phantoms.write_mammograms import is_written, split_of, write_patient, write_tables
from tests.conftest import error_line, run_script

try:
    from pydicom.pixels import apply_voi_lut
except ImportError:  # pydicom 2
    from pydicom.pixel_data_handlers.util import apply_voi_lut

SMALL = {"shape": (256, 224), "spacing_mm": 1.0}
SEEDS = range(8)


def table(folder, name):
    with (folder / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def shown(header):
    """Display values, as a viewer has them."""
    values = apply_voi_lut(header.pixel_array, header).astype(float)
    values /= 65535 if "VOILUTSequence" in header else 2 ** int(header.BitsStored) - 1
    return 1 - values if header.PhotometricInterpretation == "MONOCHROME1" else values


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vindr")
    for seed in SEEDS:
        write_patient(folder, seed, **SMALL)
    write_tables(folder)
    return folder


@pytest.fixture(scope="module")
def files(cohort):
    return {path.stem: pydicom.dcmread(path) for path in cohort.glob("images/*/*.dicom")}


def test_tables_have_the_columns_of_the_collection_and_every_file(cohort, files):
    breasts, findings, metadata = (
        table(cohort, name) for name in ("breast-level_annotations", "finding_annotations", "metadata")
    )
    common = ["study_id", "series_id", "image_id", "laterality", "view_position", "height", "width"]
    common += ["breast_birads", "breast_density"]
    assert list(breasts[0]) == [*common, "split"]
    box = ["xmin", "ymin", "xmax", "ymax"]
    assert list(findings[0]) == [*common, "finding_categories", "finding_birads", *box, "split"]
    for rows in (breasts, findings):
        assert sorted(row["image_id"] for row in rows) == sorted(files)
        for row in rows:
            assert (cohort / "images" / row["study_id"] / f"{row['image_id']}.dicom").is_file()
    assert sorted(row["SOP Instance UID"] for row in metadata) == sorted(files)
    assert all(len(name) == 32 and int(name, 16) for name in files)


def test_headers_agree_with_the_tables(cohort, files):
    metadata = {row["SOP Instance UID"]: row for row in table(cohort, "metadata")}
    for row in table(cohort, "breast-level_annotations"):
        header = files[row["image_id"]]
        assert (header.ImageLaterality, header.ViewPosition) == (row["laterality"], row["view_position"])
        assert [header.Rows, header.Columns] == [int(row["height"]), int(row["width"])] == [256, 224]
        assert header.PatientID == metadata[row["image_id"]]["patient_id"]
        assert header.Manufacturer == metadata[row["image_id"]]["Manufacturer"] in ("SIEMENS", "HOLOGIC, Inc.")
        assert header.PixelSpacing == [1.0, 1.0]
        assert row["split"] == split_of(header.PatientID)
        assert "SYNTHETIC" in header.SeriesDescription


def test_files_show_the_phantoms_through_their_own_windows(cohort, files):
    exams = {row["image_id"]: row for row in table(cohort, "finding_annotations")}
    for seed in SEEDS:
        patient = draw_patient(seed)
        sidecar = json.loads((cohort / "truth" / f"PhantomMG_{seed:05d}.json").read_text())
        assert len(sidecar["images"]) == (6 if patient.lesion else 4)
        for image in sidecar["images"]:
            phantom = draw_view(patient, image["laterality"], image["view_position"], **SMALL)
            header, row = files[image["image_id"]], exams[image["image_id"]]
            expected = phantom.healthy if image["exam"] == "prior" else phantom.image
            tolerance = 0.0045 if header.get("VOILUTFunction") == "SIGMOID" else 0.001
            np.testing.assert_allclose(shown(header), expected, atol=tolerance)
            assert row["breast_density"] == f"DENSITY {patient.density}"
            if image["exam"] == "prior" or phantom.finding is None:
                assert (row["finding_categories"], row["xmin"], row["breast_birads"]) == (
                    "['No Finding']",
                    "",
                    "BI-RADS 1",
                )
            else:
                category = {"mass": "['Mass']", "calcification": "['Suspicious Calcification']"}
                assert row["finding_categories"] == category[patient.lesion.type]
                assert row["finding_birads"] == row["breast_birads"] == f"BI-RADS {patient.lesion.birads}"
                assert [int(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")] == phantom.finding["box"]


def test_the_earlier_examination_differs_only_within_the_box(cohort, files):
    pairs = 0
    for sidecar in sorted((cohort / "truth").glob("*.json")):
        images = json.loads(sidecar.read_text())["images"]
        exams = {(image["exam"], image["laterality"], image["view_position"]): image for image in images}
        for (exam, *place), before in exams.items():
            if exam != "prior":
                continue
            after = exams["exam", *place]
            assert before["study_id"] != after["study_id"] and before["finding"] is None
            first, second = files[before["image_id"]], files[after["image_id"]]
            assert first.PatientID == second.PatientID and first.StudyInstanceUID != second.StudyInstanceUID
            y, x = np.nonzero(first.pixel_array != second.pixel_array)
            x0, y0, x1, y1 = after["finding"]["box"]
            assert len(x) and x0 <= x.min() and x.max() < x1 and y0 <= y.min() and y.max() < y1
            pairs += 1
    assert pairs == 2 * sum(draw_patient(seed).lesion is not None for seed in SEEDS) > 0


@pytest.mark.parametrize("vendor", BITS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", ["linear", "lut", "sigmoid"])
def test_every_storage_shows_what_went_in(tmp_path, vendor, photometric, kind):
    storage = Storage(BITS[vendor], photometric, kind)
    display = np.linspace(0, 1, 3000, dtype=np.float32).reshape(50, 60)
    path = write_mammogram_dicom(
        tmp_path / "a.dcm",
        storage.encode(display),
        laterality="L",
        view="CC",
        uid_root_text="t",
        **storage.tags(),
    )
    np.testing.assert_allclose(shown(pydicom.dcmread(path)), display, atol=0.0035 if kind == "sigmoid" else 0.001)


def test_storages_vary_as_told():
    drawn = {vendor: [draw_storage(seed, vendor) for seed in range(300)] for vendor in BITS}
    assert {(s.bits, s.photometric, s.kind) for s in drawn["hologic"]} == {
        (12, "MONOCHROME2", "linear"),
        (12, "MONOCHROME2", "lut"),
    }
    assert {s.kind for s in drawn["siemens"]} == {"linear", "sigmoid"}
    assert np.mean([s.photometric == "MONOCHROME1" for s in drawn["siemens"]]) == pytest.approx(1 / 3, abs=0.09)
    assert {s.bits for s in drawn["siemens"]} == {14}


def test_the_same_patient_gives_the_same_bytes_and_splits_have_their_shares(cohort, tmp_path):
    write_patient(tmp_path, 0, **SMALL)
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (cohort / path.relative_to(tmp_path)).read_bytes()
    splits = [split_of(f"PhantomMG_{seed:05d}") for seed in range(2000)]
    assert set(splits) == {"training", "test"}
    assert splits.count("test") / 2000 == pytest.approx(0.15, abs=0.03)


def test_an_interrupted_patient_is_written_again(tmp_path):
    write_patient(tmp_path, 1, **SMALL)
    sidecar = tmp_path / "truth" / "PhantomMG_00001.json"
    content = sidecar.read_bytes()
    sidecar.unlink()
    assert not is_written(tmp_path, 1)
    write_patient(tmp_path, 1, **SMALL)
    assert is_written(tmp_path, 1) and sidecar.read_bytes() == content


def test_command_line_writes_a_cohort_and_keeps_what_is_there(tmp_path):
    options = ["--output", tmp_path, "--matrix", 128, "--withheld", "True", "--workers", 1]
    run_script("make_phantoms.py", "mammogram", "--num", 1, *options)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dicom")}
    told = run_script("make_phantoms.py", "mammogram", "--num", 2, *options).stdout
    assert "1 phantom patients written, 1 were there" in told
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())
    combinations = set()
    for sidecar in (tmp_path / "truth").glob("*.json"):
        image = json.loads(sidecar.read_text())["images"][0]
        combinations.add((image["vendor"], image["breast_density"][-1], image["area"]))
        assert (image["height"], image["width"]) == (128, 112)
    assert combinations <= set(WITHHELD)
    assert len(table(tmp_path, "metadata")) == len(list(tmp_path.rglob("*.dicom")))
    assert len(LATERALITIES) * len(VIEWS) <= len(first)


@pytest.mark.parametrize(("option", "value"), [("--matrix", "64"), ("--withheld", "maybe")])
def test_command_line_refuses_in_one_line(tmp_path, option, value):
    result = run_script("make_phantoms.py", "mammogram", "--output", tmp_path / "o", option, value, check=False)
    assert option[2:] in error_line(result)
