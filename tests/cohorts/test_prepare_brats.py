import json
import shutil

import nibabel
import numpy as np
import pytest

from common.cohorts.brats import find_cases
from common.cohorts.datalist import load_datalist, split_by_patient
from common.cohorts.prepare_brats import prepare_brats
from common.errors import InputError
from tests.conftest import error_line, run_script


def volume(path, shape=(8, 8, 8), spacing=1.0, labels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.ones(shape, np.int16) * 100
    if labels is not None:
        data[:] = 0
        data.reshape(-1)[: len(labels)] = labels
    else:
        data[2:5] = 300
    nibabel.save(nibabel.Nifti1Image(data, np.diag([spacing] * 3 + [1])), path)


def case(folder, name, parts, labels=(1, 2, 4), **options):
    for part in parts:
        is_mask = part.endswith(("seg", "label"))
        volume(folder / name / f"{name}{part}.nii.gz", labels=labels if is_mask else None, **options)


def test_all_namings_are_found_and_split_by_patient(tmp_path, capsys):
    source = tmp_path / "source"
    case(source, "BraTS2021_00001", ["_t1", "_t1ce", "_t2", "_flair", "_seg"])
    case(source, "BraTS-GLI-00002-000", ["-t1n", "-t1c", "-t2w", "-t2f", "-seg"], labels=(1, 2, 3))
    case(source, "BraTS-GLI-00002-001", ["-t1n", "-t1c", "-t2w", "-t2f", "-seg"], labels=(1, 2, 3))
    for part in ("t1", "t1c", "t2", "flair", "seg"):
        volume(source / "plain" / f"{part}.nii.gz", labels=(1, 2, 4) if part == "seg" else None)
    volume(source / "Task01" / "imagesTr" / "BRATS_001.nii.gz", shape=(8, 8, 8, 4))
    volume(source / "Task01" / "labelsTr" / "BRATS_001.nii.gz", labels=(1, 2, 3))
    case(source, "broken", ["_t1", "_t2", "_flair", "_seg"])
    path = prepare_brats(str(source), str(tmp_path / "out"), fractions=(0.5, 0.25, 0.25), workers=1)
    items = load_datalist(path)
    assert sorted(item["case"] for item in items) == [
        "BRATS_001", "BraTS-GLI-00002-000", "BraTS-GLI-00002-001", "BraTS2021_00001", "plain",
    ]  # fmt: skip
    assert next(item for item in items if item["case"] == "BRATS_001")["channels"] == [1, 2, 3, 0]
    content = json.loads(path.read_text())
    assert content["skipped"] == [{"case": "broken", "reason": "contrast T1C is missing"}]
    assert "contrast T1C is missing" in capsys.readouterr().out
    sections = [name for name in ("training", "validation", "test") for item in content[name] if "GLI" in item["case"]]
    assert len(set(sections)) == 1


def test_second_run_reads_nothing_and_a_changed_file_is_read_again(raw_cohort, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(raw_cohort, source)
    first = prepare_brats(str(source), str(tmp_path / "out"), workers=1).read_text()
    assert "6 cases read, 0 known" in capsys.readouterr().out
    assert prepare_brats(str(source), str(tmp_path / "out"), workers=1).read_text() == first
    assert "0 cases read, 6 known" in capsys.readouterr().out
    changed = next(source.rglob("*_seg.nii.gz"))
    mask = nibabel.load(changed)
    nibabel.save(nibabel.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine), changed)
    prepare_brats(str(source), str(tmp_path / "out"), workers=1)
    text = capsys.readouterr().out
    assert "1 cases read, 5 known" in text
    assert "mask is empty" in text


def test_other_grids_are_refused_by_name_or_resampled_on_request(tmp_path, capsys):
    source = tmp_path / "source"
    case(source, "x", ["_t1", "_t1ce", "_flair", "_seg"])
    volume(source / "x" / "x_t2.nii.gz", shape=(4, 4, 4), spacing=2.0)
    with pytest.raises(InputError, match="none of the 1 cases"):
        prepare_brats(str(source), str(tmp_path / "out"), workers=1)
    assert "T2 (4 x 4 x 4 voxels of 2 x 2 x 2 mm" in capsys.readouterr().out
    path = prepare_brats(str(source), str(tmp_path / "out2"), workers=1, resample=True)
    image = load_datalist(path)[0]["image"]
    assert nibabel.load(image[2]).shape == (8, 8, 8)
    assert "resampled" in image[2]


def test_split_is_seeded_exact_and_without_shared_patients():
    items = [{"case": f"c{i}", "patient": f"p{i // 2}"} for i in range(40)]
    sections = split_by_patient(items, (0.6, 0.2, 0.2), seed=1)
    assert [len(section) for section in sections.values()] == [24, 8, 8]
    patients = [{item["patient"] for item in section} for section in sections.values()]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert sections == split_by_patient(list(reversed(items)), (0.6, 0.2, 0.2), seed=1)
    assert sections != split_by_patient(items, (0.6, 0.2, 0.2), seed=2)


def test_command_line_says_in_one_line_what_is_wrong(tmp_path):
    assert "no such folder" in error_line(
        run_script("prepare_data.py", "brats", "--source", tmp_path / "no", "--output", tmp_path / "o", check=False)
    )
    (tmp_path / "empty").mkdir()
    result = run_script(
        "prepare_data.py", "brats", "--source", tmp_path / "empty", "--output", tmp_path / "o", check=False
    )
    assert "no case found" in error_line(result)


def test_real_cases_are_found_whole(real_data):
    names = {found.name: found for found in find_cases(real_data / "brain_mri")}
    for name in ("BraTS2021_01476", "BraTS-GLI-00000-000"):
        assert set(names[name].parts) == {"T1", "T1C", "T2", "FLAIR", "label"}
    assert names["BraTS-GLI-00000-000"].patient == "BraTS-GLI-00000"
