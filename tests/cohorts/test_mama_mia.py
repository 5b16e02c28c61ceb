import json
import shutil

import nibabel
import numpy as np
import pytest

from common.cohorts.datalist import load_datalist
from common.cohorts.lesion_masks import mask_box
from common.cohorts.mama_mia import MamaMiaCase, find_cases
from common.cohorts.prepare_dce import prepare_mama_mia
from common.errors import InputError
from common.io.volumes import load_volume, save_nifti
from common.phantoms.breast_dce import make_breast_dce
from common.phantoms.write_breast_dce import write_case
from tests.conftest import error_line, run_script

SMALL = {"shape": (64, 64, 20), "spacing_mm": (5.3, 5.3, 6.4)}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for seed in range(4):
        write_case(folder, seed, "nifti", **SMALL)
    return folder


def files(source, seed):
    expert = source / "segmentations" / "expert"
    return source / "images" / f"PhantomDCE_{seed:05d}", expert / f"phantomdce_{seed:05d}.nii.gz"


def prepare(source, **options):
    return prepare_mama_mia(str(source), str(source.parent / "out"), workers=1, **options)


def test_cases_are_used_where_they_lie(source, capsys):
    path = prepare(source, fractions=(0.5, 0.25, 0.25))
    content = json.loads(path.read_text())
    assert [len(content[name]) for name in ("training", "validation", "test")] == [2, 1, 1]
    assert content["cohort"] == "mama_mia" and content["split"] == "leak_free"
    items = {item["case"]: item for item in load_datalist(path)}
    for seed in range(4):
        phantom, item = make_breast_dce(seed, **SMALL), items[f"PhantomDCE_{seed:05d}"]
        images, mask = files(source, seed)
        assert item["image"] == str(images / f"phantomdce_{seed:05d}_0000.nii.gz") and item["label"] == str(mask)
        assert item["seconds"] == list(phantom.seconds) and item["lesions"] == phantom.lesions
        assert item["box"] == mask_box(load_volume(mask)[0].numpy())
    prepare(source, fractions=(0.5, 0.25, 0.25))
    assert "0 cases read, 4 known" in capsys.readouterr().out
    assert not list((source.parent / "out").rglob("*.nii.gz"))


def test_other_layouts_and_cases_without_a_mask_are_found(source):
    root = source.parent / "other"
    (root / "images" / "DUKE_007").mkdir(parents=True)
    (root / "images" / "ISPY1_1001").mkdir()
    (root / "images" / ".ISPY1_1002.partial").mkdir()
    (root / "segmentations" / "automatic").mkdir(parents=True)
    images, mask = files(source, 0)
    for phase in range(4):
        file = images / f"phantomdce_00000_{phase:04d}.nii.gz"
        shutil.copy(file, root / "images" / "DUKE_007" / f"DUKE_007_{phase:04d}.nii.gz")
        shutil.copy(file, root / "images" / "ISPY1_1001" / f"ispy1_1001_{phase:04d}.nii.gz")
        shutil.copy(file, root / "images" / ".ISPY1_1002.partial" / f"ispy1_1002_{phase:04d}.nii.gz")
    shutil.copy(mask, root / "segmentations" / "duke_007.nii.gz")
    shutil.copy(mask, root / "segmentations" / "automatic" / "ispy1_1001.nii.gz")
    assert [(case.name, case.patient) for case in find_cases(root)] == [
        ("DUKE_007", "Breast_MRI_007"), ("ISPY1_1001", "ISPY1_1001"),
    ]  # fmt: skip
    items = {item["case"]: item for item in load_datalist(prepare(root))}
    assert items["DUKE_007"]["label"].endswith("segmentations/duke_007.nii.gz")
    assert items["DUKE_007"]["seconds"] is None and "lesions" not in items["DUKE_007"]
    assert not {"label", "box", "lesions"} & set(items["ISPY1_1001"])
    content = json.loads(prepare(root, split="single_phase").read_text())
    assert content["skipped"] == [{"case": "ISPY1_1001", "reason": "not a patient of split single_phase"}]
    assert [item["case"] for item in content["training"]] == ["DUKE_007"]


def test_broken_cases_are_skipped_and_say_why(source, capsys):
    images, _ = files(source, 0)
    (images / "phantomdce_00000_0002.nii.gz").unlink()
    images, _ = files(source, 1)
    image = nibabel.load(images / "phantomdce_00001_0001.nii.gz")
    save_nifti(images / "phantomdce_00001_0001.nii.gz", np.asarray(image.dataobj)[:-1], image.affine)
    _, mask = files(source, 2)
    empty = nibabel.load(mask)
    save_nifti(mask, np.zeros(empty.shape, np.uint8), empty.affine)
    _, mask = files(source, 3)
    mask.with_name("phantomdce_00003.json").write_text('{"seconds": [100, 90, 200]}')
    with pytest.raises(InputError, match="none of the 4 cases"):
        prepare(source)
    text = capsys.readouterr().out
    assert "phase 0002 is missing, 3 after contrast are needed" in text
    assert "phantomdce_00001_0001.nii.gz (63 x 64 x 20 voxels" in text
    assert "the mask is empty" in text
    assert "one rising number above 0" in text
    (item,) = load_datalist(prepare(source, num_phases=1, fractions=(1, 0, 0)))
    assert item["case"] == "PhantomDCE_00000" and len(item["phases"]) == len(item["seconds"]) == 1


def test_a_mask_on_other_axes_is_refused_since_files_stay_as_they_are(source, capsys):
    _, mask = files(source, 0)
    nibabel.save(nibabel.as_closest_canonical(nibabel.load(mask)), mask)
    prepare(source)
    assert "the mask phantomdce_00000.nii.gz is not on the grid of the images" in capsys.readouterr().out


def test_one_case_in_two_folders_is_refused(source):
    images, _ = files(source, 0)
    shutil.copytree(images, source / "copy" / images.name)
    with pytest.raises(InputError, match="case phantomdce_00000 lies in 2 folders"):
        find_cases(source)


def test_duke_numbers_alone_are_the_collections_patients():
    assert MamaMiaCase("duke_012").patient == "Breast_MRI_012"
    assert MamaMiaCase("NACT_01").patient == "NACT_01"


def test_command_line_says_in_one_line_what_is_wrong(tmp_path):
    (tmp_path / "empty").mkdir()
    options = ["mama_mia", "--source", tmp_path / "empty", "--output", tmp_path / "o"]
    assert "no case found" in error_line(run_script("prepare_data.py", *options, check=False))
