import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from common.cohorts.datalist import save_datalist
from common.errors import InputError
from common.sampling.lesion_plan import find_annotations


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros((6, 6), np.uint8)
    if path.suffix == ".png":
        Image.fromarray(labels).save(path)
    elif path.suffix == ".nrrd":
        path.write_bytes(b"NRRD0004\n")  # is only looked for here
    else:
        nibabel.save(nibabel.Nifti1Image(labels[..., None], np.eye(4)), path)
    return path


def cases(path):
    return [item["case"] for item in find_annotations(path)]


def test_one_file_of_any_kind(tmp_path):
    for name in ("a.nii.gz", "a_mask.nii.gz", "a.seg.nrrd", "a.png", "a_label.png"):
        mask = write(tmp_path / name)
        assert find_annotations(mask) == [{"case": "a", "image": str(mask)}]


def test_a_folder_gives_its_masks_or_all_its_images(tmp_path):
    for name in ("a.png", "b.nii.gz", "deep/c.nii.gz", ".hidden.png"):
        write(tmp_path / name)
    (tmp_path / "b.json").write_text("{}")
    assert cases(tmp_path) == ["a", "b", "c"]
    write(tmp_path / "d_mask.nii.gz")
    write(tmp_path / "e.seg.nrrd")
    write(tmp_path / "f_seg.png")
    assert cases(tmp_path) == ["d", "e", "f"]


def test_equal_names_are_told_apart(tmp_path):
    for folder in ("p1", "p2"):
        write(tmp_path / folder / "mask.nii.gz")
    assert cases(tmp_path) == ["p1_mask", "p2_mask"]
    write(tmp_path / "p1" / "mask.png")
    with pytest.raises(InputError, match="several inputs are named p1_mask"):
        find_annotations(tmp_path)


def test_a_datalist_by_name_or_by_folder(tmp_path):
    mask, breast = write(tmp_path / "m" / "z_mask.nii.gz"), write(tmp_path / "m" / "z_breast.nii.gz")
    items = [
        {"case": "z", "patient": "z", "label": str(mask), "image": str(mask), "breast": str(breast)},
        {"case": "y", "patient": "y", "label": str(mask)},
    ]
    save_datalist(tmp_path / "datalist.json", {"test": items[:1], "training": items[1:]})
    expected = [{"case": "z", "image": str(mask), "breast": str(breast)}, {"case": "y", "image": str(mask)}]
    assert sorted(find_annotations(tmp_path), key=lambda i: i["case"], reverse=True) == expected
    assert find_annotations(tmp_path / "datalist.json", ["test"]) == expected[:1]
    (tmp_path / "bad.json").write_text(json.dumps({"test": [{"case": "x", "patient": "x"}]}))
    with pytest.raises(InputError, match="case x has no label"):
        find_annotations(tmp_path / "bad.json")


@pytest.mark.parametrize("name", ["missing.nii.gz", "empty", "boxes.csv"])
def test_nothing_to_sample_from_is_one_clear_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "boxes.csv").write_text("case,x0,y0,x1,y1,birads\n")
    with pytest.raises(InputError, match=f"input {tmp_path / name}"):
        find_annotations(tmp_path / name)
