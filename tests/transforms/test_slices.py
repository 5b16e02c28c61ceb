"""Slices to the network's grid and back; loading of phases; the translator against a plain re-computation."""

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.sampling.slice_translator import SliceTranslator
from common.transforms.phases import LoadPhasesd, ToSlicesd
from common.transforms.slice_grid import SliceGrid


def test_square_slices_of_the_right_size_pass_unchanged():
    slices = torch.rand(3, 2, 32, 32)
    grid = SliceGrid((32, 32), (1.0, 1.0), (32, 32))
    assert torch.equal(grid.to_network(slices), slices)
    assert torch.equal(grid.to_volume(slices), slices)


def test_shrinking_averages_areas():
    slices = torch.arange(16.0).view(1, 1, 4, 4)
    small = SliceGrid((4, 4), (1.0, 1.0), (2, 2)).to_network(slices)
    assert torch.equal(small[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))


@pytest.mark.parametrize(
    ("matrix", "spacing", "padded"), [((40, 32), (1.0, 1.0), (40, 40)), ((40, 40), (1.0, 0.5), (40, 80))]
)
def test_other_slices_are_padded_to_a_square_in_millimetres(matrix, spacing, padded):
    grid = SliceGrid(matrix, spacing, (20, 20))
    assert grid.padded == padded
    ramp = torch.linspace(0, 1, matrix[0])[:, None].expand(matrix)[None, None].contiguous()
    back = grid.to_volume(grid.to_network(ramp))
    assert back.shape == ramp.shape
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    assert torch.allclose(back[inner], ramp[inner], atol=0.03)
    outside = grid.to_network(torch.ones(1, 1, *matrix), background=-1.0)
    assert outside.min() == -1


def cohort(folder, shape=(16, 16, 4), moved=None):
    rng = np.random.default_rng(0)
    paths = []
    for phase in range(4):
        affine = np.diag([2.0, 2.0, 3.0, 1.0])
        if phase == moved:
            affine[0, 3] = 5
        paths.append(str(folder / f"{phase}.nii.gz"))
        nibabel.save(nibabel.Nifti1Image(rng.integers(0, 99, shape).astype(np.int16), affine), paths[-1])
    return {"case": "x", "image": paths[0], "phases": paths[1:]}


def test_phases_are_loaded_with_the_box_as_mask(tmp_path):
    item = LoadPhasesd()({**cohort(tmp_path), "box": [[2, 3, 1], [5, 4, 3]]})
    assert item["image"].shape == (1, 16, 16, 4)
    assert item["phases"].shape == (3, 16, 16, 4)
    assert item["label"].sum() == 3 * 1 * 2
    assert item["label"][0, 2:5, 3:4, 1:3].all()


def test_phases_on_another_grid_are_refused_and_named(tmp_path):
    with pytest.raises(InputError, match="phase 2 .* is not on the grid of the pre-contrast volume"):
        LoadPhasesd()(cohort(tmp_path, moved=2))


def test_too_few_phases_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 3 post-contrast phases, 4 are needed"):
        LoadPhasesd(num_phases=4)(cohort(tmp_path))


def test_volumes_become_stacks_of_slices():
    volume = MetaTensor(torch.rand(2, 8, 8, 5), affine=torch.eye(4))
    stack = ToSlicesd("x", size=(8, 8), mode=["area"], background=[0.0])({"x": volume})["x"]
    assert torch.equal(stack[3, 1], volume[1, :, :, 3].as_tensor())


class Brighter(torch.nn.Module):
    """Phase k is the image plus k tenths, doubled where the left half is mirrored in."""

    def forward(self, image):
        ramp = torch.linspace(0, 1, image.shape[2], device=image.device)[:, None]
        return torch.cat([image + k / 10 + 0.01 * ramp for k in (1, 2, 3)], dim=1)


def volume(shape=(12, 12, 7)):
    return MetaTensor(torch.rand(1, 1, *shape), affine=torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0]))[None])


def test_translator_keeps_detail_and_geometry():
    image = volume()
    made = SliceTranslator((6, 6), batch_size=3)(image, Brighter())
    assert made.shape == (1, 3, 12, 12, 7)
    assert isinstance(made, MetaTensor)
    change = made.as_tensor() - image.as_tensor()
    for k in (1, 2, 3):
        assert torch.allclose(change[:, k - 1], torch.full_like(change[:, 0], k / 10), atol=0.011)


def test_batches_give_the_same_result():
    image = volume()
    one, many = (SliceTranslator((6, 6), batch_size=size)(image, Brighter()) for size in (1, 7))
    assert torch.allclose(one, many, atol=1e-6)


def test_flip_average_is_symmetric_and_channels_of_one_phase_are_averaged():
    image = volume()
    image[:] = 0.5
    made = SliceTranslator((12, 12), flip_average=True, channel_phases=(2, 1, 1))(image, Brighter())
    assert made.shape[1] == 2
    assert torch.allclose(made, made.flip(2), atol=1e-6)
    # Channel 0 stands for phase 2; channels 1 and 2, 0.2 and 0.3, for phase 1.
    assert torch.allclose(made[0, 0].mean(), torch.tensor(0.5 + 0.25 + 0.005), atol=1e-4)
    assert torch.allclose(made[0, 1].mean(), torch.tensor(0.5 + 0.1 + 0.005), atol=1e-4)


def test_display_orientation_turns_slices_for_the_network_and_back():
    class Corner(torch.nn.Module):
        """Marks the pixel in the first row (front) and first column (patient's right) of what it is shown."""

        def forward(self, image):
            marked = torch.zeros_like(image)
            marked[:, :, 0, 0] = 1
            return image + marked

    image = volume((6, 6, 2))
    made = SliceTranslator((6, 6), channel_phases=(1,), display_orientation=True)(image, Corner())
    change = (made - image).as_tensor()[0, 0]
    # In RAS, X grows towards the patient's right and Y towards the front.
    assert torch.allclose(change[-1, -1], torch.ones(2), atol=1e-6)
    assert change.abs().sum() == pytest.approx(2, abs=1e-4)


def test_masks_keep_small_lesions_when_slices_shrink():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5, 9] = 3
    small = SliceGrid((16, 16), (1.0, 1.0), (4, 4)).to_network(mask, mode="mask")
    assert small.sum() == small[0, 0, 1, 2] == 1
