import nibabel
import numpy as np
import pytest

from common.cohorts.draw_masks import mask_of_raters, masks_from_boxes
from common.cohorts.lesion_annotations import read_annotation
from common.errors import InputError
from tests.conftest import error_line, run_script

AFFINE = np.diag([1.5, 1.5, 1.0, 1.0])


def image(folder, name="a_mip.nii.gz", values=None):
    values = np.zeros((32, 24, 1), np.float32) if values is None else values
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), folder / name)
    return folder / name


def test_boxes_become_masks_with_classes(tmp_path):
    image(tmp_path), image(tmp_path, "b.nii.gz")
    (tmp_path / "t.csv").write_text("case,x0,y0,x1,y1,birads\na,4,4,10,8,4\na,20,10,26,20,6\nb,,,,,\n")
    arguments = ("--table", tmp_path / "t.csv", "--images", tmp_path, "--output", tmp_path / "out")
    run_script("draw_masks.py", "boxes", *arguments)
    first, second = (read_annotation(tmp_path / "out" / f"{case}_mask.nii.gz") for case in "ab")
    assert sorted(first.classes.values()) == [4, 6]
    assert second.classes == {}
    classes = first.class_map()
    assert (classes[6, 5], classes[23, 15], classes[15, 8]) == (4, 6, 0)
    assert (classes == 4).sum() == pytest.approx(np.pi / 4 * 6 * 4, rel=0.15)


def test_what_is_wrong_with_a_table_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("case,x0\na,4\n")
    with pytest.raises(InputError, match="needs the columns"):
        masks_from_boxes(tmp_path / "t.csv", tmp_path, tmp_path / "out")
    (tmp_path / "t.csv").write_text("case,x0,y0,x1,y1,birads\na,4,4,10,8,4\n")
    with pytest.raises(InputError, match="no image of case a"):
        masks_from_boxes(tmp_path / "t.csv", tmp_path, tmp_path / "out")
    image(tmp_path)
    (tmp_path / "t.csv").write_text("case,x0,y0,x1,y1,birads\na,4,4,x,8,4\n")
    with pytest.raises(InputError, match="four whole numbers"):
        masks_from_boxes(tmp_path / "t.csv", tmp_path, tmp_path / "out")


def test_shares_of_raters(tmp_path):
    for name, value in (("r1_mask", 4), ("r2_mask", 5)):
        drawn = np.zeros((32, 24, 1), np.uint8)
        drawn[4:10, 4:10] = value
        drawn[20:22, 4:6] = 3 if value == 4 else 0
        image(tmp_path, f"{name}.nii.gz", drawn)
    path = mask_of_raters([str(tmp_path / "r1_mask.nii.gz"), str(tmp_path / "r2_mask.nii.gz")], str(tmp_path / "out"))
    shares = read_annotation(path).fractions
    assert np.allclose(shares[:, 6, 6], [0, 0, 0.5, 0.5, 0])
    assert np.allclose(shares[:, 20, 4], [0, 0.5, 0, 0, 0])
    line = error_line(run_script("draw_masks.py", "raters", "--masks", "x", "--output", tmp_path, check=False))
    assert "two or more raters" in line
