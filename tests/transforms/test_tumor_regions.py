import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.transforms.tumor_regions import canonical_regions, region_channels, region_map


@pytest.mark.parametrize(
    ("labels", "values", "path", "expected"),
    [
        ("brats", {1, 2, 4}, "", {1: 1, 2: 2, 4: 3}),
        ("brats2023", {1, 2, 3}, "", {1: 1, 2: 2, 3: 3}),
        ("msd", {1, 2, 3}, "", {1: 2, 2: 1, 3: 3}),
        ("whole", {1, 2, 7}, "", {1: 4, 2: 4, 7: 4}),
        ("{1: oedema, 2: enhancing}", {1, 2}, "", {1: 2, 2: 3}),
        ({1: "oedema", 2: "enhancing"}, {1, 2}, "", {1: 2, 2: 3}),
        ("auto", {1, 2, 4}, "any_seg.nii.gz", {1: 1, 2: 2, 4: 3}),
        ("auto", {1}, "any_seg.nii.gz", {1: 4}),
        ("auto", {1, 2, 3}, "BraTS-GLI-00000-000-seg.nii.gz", {1: 1, 2: 2, 3: 3}),
        ("auto", {1, 2, 3}, "BRATS_001.nii.gz", {1: 2, 2: 1, 3: 3}),
    ],
)
def test_values_are_read_as_their_convention_says(labels, values, path, expected):
    mapping = region_map(labels, values, path)
    assert {value: mapping[value] for value in values} == expected


@pytest.mark.parametrize(
    ("labels", "values", "words"),
    [
        ("auto", {1, 2, 3}, ("brats2023", "msd", "--labels")),
        ("auto", {1, 2}, ("brats", "msd", "--labels")),
        ("auto", {7}, ("7", "no known set")),
        ("brats", {1, 3}, ("label 3", "0, 1, 2, 4")),
        ("glioma", {1}, ("glioma", "unknown")),
        ("{1: skull}", {1}, ("skull", "not a region")),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused_with_the_reason(labels, values, words):
    with pytest.raises(InputError) as error:
        region_map(labels, values, "x_seg.nii.gz")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_empty_and_fractional_masks_are_refused():
    with pytest.raises(InputError, match="empty"):
        canonical_regions(MetaTensor(torch.zeros(1, 4, 4, 4)), "brats")
    with pytest.raises(InputError, match="between whole numbers"):
        canonical_regions(MetaTensor(torch.full((1, 4, 4, 4), 0.5)), "brats")


def test_channels_of_unknown_regions_give_the_whole_tumour_only():
    mask = torch.tensor([0.0, 1, 2, 3, 4]).view(1, 5, 1, 1)
    channels = region_channels(mask)[:, :, 0, 0]
    assert channels.tolist() == [[0, 1, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert torch.equal(region_channels(mask[None])[0], region_channels(mask))
