import json

import numpy as np
import pydicom
import pytest

from common.cohorts.datalist import load_datalist
from common.cohorts.optimam import find_optimam, prepare_optimam
from common.errors import InputError
from common.io.mammogram_dicom import write_mammogram_dicom
from common.phantoms.mammogram import make_mammogram
from common.transforms.mammogram_frame import MammogramFrame

SHAPE, SIZE = (256, 224), 128
MARK = {"MarkID": 7, "X1": "50", "Y1": "90", "X2": "70", "Y2": "120"}


def uid(number):
    return f"1.2.826.0.1.3680043.9.3218.1.1.{number}.0"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Two clients; images 1 to 4 pass the filters, 5 is raw, 6 has an implant, 7 is an XCCL view, 8 is damaged."""
    root = tmp_path_factory.mktemp("omidb")
    changes = {
        5: {"PresentationIntentType": "FOR PROCESSING"},
        6: {"BreastImplantPresent": "YES"},
        7: {"ViewPosition": "XCCL"},
    }
    phantom = make_mammogram(3, "CC", "L", shape=SHAPE, spacing_mm=1.0)
    stored = np.rint(phantom.image * 4095).astype(np.uint16)
    for number in range(1, 9):
        client = "optm1" if number < 3 else "demd2"
        path = root / "images" / client / uid(100 + number // 3) / f"{uid(number)}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"laterality": "L", "view": "CC", "bits_stored": 12, "window": (2048, 4096), "spacing": (0.07, 0.07)}
        write_mammogram_dicom(path, stored, uid_root_text=str(number), manufacturer="HOLOGIC, Inc.", **options)
        if number in changes:
            dataset = pydicom.dcmread(path)
            for name, value in changes[number].items():
                setattr(dataset, name, value)
            dataset.save_as(path)
    path.write_bytes(path.read_bytes()[:150])
    return root


@pytest.fixture
def with_json(database):
    """Marks in the clients' JSON files: two on image 1, none on image 2, one on image 3."""
    one = {**MARK, "Mass": 1, "WithCalcification": "WithCalcification"}
    two = {**MARK, "X1": "20", "X2": "40", "SuspiciousCalcifications": "SuspiciousCalcifications"}
    three = {**MARK, "Conspicuity": "Subtle"}
    clients = {
        "optm1": {uid(100): {uid(200): {uid(1): {"7": one, "8": two}, uid(2): None}, "StudyDate": "2014-01-01"}},
        "demd2": {uid(101): {uid(201): {uid(3): {"9": three}, uid(4): {}}}},
    }
    for client, studies in clients.items():
        path = database / "data" / client / f"imagedb_{client}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ClientID": client, "Site": "optm", "STUDIES": studies}))
    return database


def test_marks_of_json_files_reach_their_images_all_of_them(with_json, tmp_path, capsys):
    path = prepare_optimam(with_json, tmp_path, size=SIZE, workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    assert set(items) == {uid(number) for number in (1, 2, 3, 4)}
    assert [lesion["type"] for lesion in items[uid(1)]["lesions"]] == ["mass", "calcification"]
    frame = MammogramFrame(SHAPE, SIZE, flip=False)
    np.testing.assert_allclose(items[uid(1)]["lesions"][0]["box"], frame.box_to_network(50, 90, 70, 120), atol=1)
    assert [lesion["type"] for lesion in items[uid(3)]["lesions"]] == ["lesion"]
    for number in (2, 4):
        assert items[uid(number)]["lesions"] == [] and items[uid(number)]["prompt"].endswith("without a lesion")
    assert items[uid(1)]["patient"] == items[uid(2)]["patient"] == "optm1" and items[uid(3)]["patient"] == "demd2"
    assert items[uid(1)]["vendor"] == "hologic" and items[uid(1)]["spacing"] == [0.14, 0.14]


def test_each_filter_says_how_many_it_left_out(with_json, tmp_path, capsys):
    path = prepare_optimam(with_json, tmp_path, size=64, workers=1)
    left_out = json.loads(path.read_text())["left_out"]
    assert list(left_out.values()) == [1, 1, 1, 1]
    told = capsys.readouterr().out
    for reason in left_out:
        assert f"left out 1 images: {reason}" in told
    assert "not for presentation" in left_out and "with an implant" in left_out


def test_a_table_stands_in_for_the_json_files(database, tmp_path):
    table = tmp_path / "marks.csv"
    table.write_text(
        "image,client,laterality,view,x1,y1,x2,y2,type,birads,density\n"
        f"{uid(1)},optm1,L,CC,50,90,70,120,mass,5,3\n"
        f"{uid(1)}.dcm,optm1,L,CC,20,90,40,120,calcification,3,3\n"
        f"{uid(3)},,,,,,,,,,D\n"
    )
    path = prepare_optimam(database, tmp_path / "out", str(table), size=SIZE, workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    assert [(e["type"], e["pathology"]) for e in items[uid(1)]["lesions"]] == [
        ("mass", "malignant"),
        ("calcification", "benign"),
    ]
    assert items[uid(1)]["density"] == "C" and items[uid(3)]["density"] == "D"
    assert items[uid(3)]["patient"] == "demd2" and items[uid(3)]["lesions"] == []
    assert items[uid(2)]["prompt"].endswith("without a lesion")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,cleint\n1.2,a\n", "did you mean client"),
        ("image,x1,y1,x2,y2\n1.2,1,2,3,\n", "without y2"),
        ("image,density\n1.2,hgh\n", "did you mean high"),
    ],
)
def test_mistakes_in_tables_are_refused(database, tmp_path, text, told):
    table = tmp_path / "marks.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=told):
        find_optimam(database, table, workers=1)


def test_unusable_sources_are_refused(tmp_path, with_json):
    with pytest.raises(InputError, match="no such folder"):
        find_optimam(tmp_path / "none")
    with pytest.raises(InputError, match="no DICOM file"):
        find_optimam(tmp_path)
    with pytest.raises(InputError, match="imagedb_"):
        find_optimam(with_json / "images", workers=1)
    broken = with_json / "data" / "optm1" / "imagedb_optm1.json"
    broken.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        find_optimam(with_json, workers=1)
    marks = {**MARK, "X1": "left"}
    broken.write_text(json.dumps({"STUDIES": {uid(100): {uid(200): {uid(1): {"7": marks}}}}}))
    with pytest.raises(InputError, match="corners are no numbers"):
        find_optimam(with_json, workers=1)
