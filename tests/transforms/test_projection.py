import itertools

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, SaveImage

from common.errors import InputError
from common.transforms.projection import MaximumIntensityProjectiond, project

AFFINE = torch.tensor([[2.0, 0, 0, -9], [0, 3, 0, 4], [0, 0, 5, 1], [0, 0, 0, 1]], dtype=torch.float64)
CODES = ["".join(pick) for order in itertools.permutations(("LR", "AP", "SI")) for pick in itertools.product(*order)]


def volume():
    return MetaTensor(np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32), affine=AFFINE)


@pytest.mark.parametrize("code", CODES[::5])
@pytest.mark.parametrize(("direction", "axis"), [("left-right", 1), ("coronal", 2), ("superior-inferior", 3)])
def test_direction_is_anatomical_in_any_storage_order(code, direction, axis):
    stored = Orientation(code)(volume())
    found = Orientation("RAS")(project(stored, direction))
    assert torch.equal(found.as_tensor(), volume().as_tensor().amax(axis, keepdim=True))
    affine = AFFINE.clone()  # one voxel as thick as the volume, at its centre
    sides = volume().shape[axis]
    affine[axis - 1, 3] += affine[axis - 1, axis - 1] * (sides - 1) / 2
    affine[axis - 1, axis - 1] *= sides
    assert torch.allclose(found.affine, affine)


@pytest.mark.parametrize("code", ["RAS", "LPI", "SAL"])
@pytest.mark.parametrize(("slab", "unit"), [((2, 5), "voxel"), ((11, 21), "mm"), ((21.4, 9.0), "mm")])
def test_a_slab_holds_what_lies_in_it(code, slab, unit):
    found = Orientation("RAS")(project(Orientation(code)(volume()), "axial", "mean", slab, unit))
    assert torch.allclose(found.as_tensor(), volume().as_tensor()[..., 2:5].mean(3, keepdim=True))
    assert found.affine[2].tolist() == [0, 0, 15, 16]  # slices at 11, 16, 21 mm


def test_oblique_volumes_go_along_their_nearest_axis():
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([2, 3, 5])
    oblique = MetaTensor(volume().as_tensor(), affine=torch.from_numpy(affine))
    found = project(oblique, "anterior-posterior", "min")
    assert torch.equal(found.as_tensor(), oblique.as_tensor().amin(2, keepdim=True))
    centre = np.array([1.0, 0, 3, 1])
    assert np.allclose(found.affine.numpy() @ centre, affine @ np.array([1.0, 2.5, 3, 1]))


def test_a_saved_projection_keeps_its_own_grid(tmp_path):
    volume_in = volume()[:1]
    volume_in.meta |= {"original_affine": AFFINE.numpy(), "spatial_shape": np.array([5, 6, 7])}
    item = MaximumIntensityProjectiond("x", "superior-inferior")({"x": volume_in})
    SaveImage(tmp_path, separate_folder=False, resample=True, squeeze_end_dims=False, print_log=False)(item["x"])
    saved = nibabel.load(next(tmp_path.iterdir()))
    assert saved.shape == (5, 6, 1, 1)
    assert np.allclose(saved.header.get_zooms()[:3], (2, 3, 35))
    assert volume_in.meta["spatial_shape"].tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": "up"}, "direction=up: use left-right"),
        ({"mode": "median"}, "mode=median"),
        ({"slab": (100, 120)}, "holds no voxel, the volume spans 1 to 31"),
        ({"slab": (3, 3), "slab_unit": "voxel"}, "holds no voxel"),
    ],
)
def test_wrong_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        project(volume(), **arguments)
