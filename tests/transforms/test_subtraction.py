import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.transforms.subtraction import Subtractiond, subtract

AFFINE = torch.diag(torch.tensor([0.7, 0.7, 1.1, 1.0], dtype=torch.float64))


def volume(values, affine=AFFINE, dtype=torch.uint8):
    return MetaTensor(torch.tensor(values, dtype=dtype).view(-1, 2, 1, 1), affine=affine)


def test_losses_of_signal_stay_negative_in_unsigned_types():
    difference = subtract(volume([10, 200]), volume([30, 50]))
    assert difference.flatten().tolist() == [-20, 150]
    assert difference.dtype == torch.float32
    assert torch.equal(difference.affine, AFFINE)
    assert subtract(volume([10, 200]), volume([30, 50]), clip=True).flatten().tolist() == [0, 150]


def test_every_phase_loses_the_same_pre_contrast_volume():
    difference = subtract(volume([10, 20, 30, 40]), volume([1, 2]))
    assert difference.flatten(1).tolist() == [[9, 18], [29, 38]]


def test_results_go_where_they_are_told():
    item = {"post": volume([5, 6]), "pred": volume([7, 8]), "pre": volume([1, 2])}
    found = Subtractiond(["post", "pred"], output_key=["sub", "sub_pred"])(item)
    assert found["sub"].flatten().tolist() == [4, 4]
    assert found["sub_pred"].flatten().tolist() == [6, 6]
    assert found["post"] is item["post"]
    replaced = Subtractiond(["pre", "post"])(item)
    assert replaced["post"].flatten().tolist() == [4, 4]
    assert replaced["pre"].flatten().tolist() == [0, 0]
    assert item["post"].flatten().tolist() == [5, 6]
    with pytest.raises(InputError, match="one name for each"):
        Subtractiond(["post", "pred"], output_key="sub")


def test_volumes_on_different_grids_are_refused_with_both_grids():
    shifted = AFFINE.clone()
    shifted[0, 3] = 3
    item = {"post": volume([1, 2], shifted), "pre": volume([1, 2]), "case": "c1"}
    with pytest.raises(InputError, match=r"c1, post: .*at \(3.0, 0.0, 0.0\).*at \(0.0, 0.0, 0.0\)"):
        Subtractiond("post")(item)
    with pytest.raises(InputError, match="2 x 1 x 1 voxels.*1 x 2 x 1 voxels"):
        subtract(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 2, 1))
    with pytest.raises(InputError, match="3 phases minus 2"):
        subtract(torch.zeros(3, 2, 1, 1), torch.zeros(2, 2, 1, 1))
