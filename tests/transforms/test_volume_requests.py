"""What a server's request adds to an item, and that items without a request pass unchanged."""

import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.transforms.label_maps import RefuseLabelMapd, is_label_map
from common.transforms.volume_requests import RequestedChanneld, RequestedImaged

PRED = torch.arange(3 * 8, dtype=torch.float32).reshape(3, 2, 2, 2)
SCALE = {"offset": 10.0, "factor": 4.0}


def test_without_a_request_the_item_passes_unchanged():
    item = {"pred": PRED, "scale": SCALE, "case": "a"}
    assert RequestedChanneld("pred", "phase", [1, 2, 3], "scale")(item) == item


@pytest.mark.parametrize("wanted", [2, "2", [2, 1, 3], (2,)])
def test_the_requested_channel_comes_in_the_scanner_s_units(wanted):
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0]))
    item = {"pred": MetaTensor(PRED, affine=affine), "scale": SCALE, "phase": wanted}
    got = RequestedChanneld("pred", "phase", [1, 2, 3], "scale")(item)["pred"]
    assert torch.equal(got.as_tensor(), PRED[1:2] * 4 + 10)
    assert torch.equal(got.affine.float(), affine)


def test_scale_of_volumes_that_were_normalised_by_their_own_ranges():
    own = {"image": {"offset": torch.tensor([1.0]), "factor": torch.tensor([2.0])}}
    got = RequestedChanneld("pred", "phase", [1, 2, 3], "scale")({"pred": PRED, "scale": own, "phase": 1})
    assert torch.equal(got["pred"], PRED[:1] * 2 + 1)


def test_names_and_what_is_none_of_them():
    transform = RequestedChanneld("pred", "contrast", ["T1", "T1C", "FLAIR"])
    assert torch.equal(transform({"pred": PRED, "contrast": "flair"})["pred"], PRED[2:])
    with pytest.raises(InputError, match="contrast=T9: use T1 or T1C or FLAIR"):
        transform({"pred": PRED, "contrast": "T9"})
    with pytest.raises(InputError, match="use T1"):
        transform({"pred": PRED, "contrast": []})


def test_an_image_that_the_server_does_not_have():
    assert RequestedImaged("image")({"image": "a.nii.gz"}) == {"image": "a.nii.gz"}
    with pytest.raises(InputError, match="names no image"):
        RequestedImaged("image")({"image": ""})


def test_label_maps_are_told_from_images():
    image = torch.rand(1, 20, 20, 20, generator=torch.Generator().manual_seed(0))
    mask = (image > 0.7).float() + (image > 0.9)
    assert is_label_map(mask)
    assert not is_label_map(image)
    assert not is_label_map((image * 400).round())
    assert not is_label_map(mask / 3)
    # A few voxels apart from a constant air: what the sample of the volume does not show is still found.
    sparse = torch.zeros(1, 40, 40, 40)
    sparse.view(-1)[1:200:2] = torch.arange(100.0) + 1
    assert not is_label_map(sparse)
    assert RefuseLabelMapd("image")({"image": image})["image"] is image
    with pytest.raises(InputError, match="holds 3 whole numbers only"):
        RefuseLabelMapd("image")({"image": mask})
