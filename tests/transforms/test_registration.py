import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from common.errors import InputError
from common.transforms.registration import register_phase

SPACING = np.array([2.0, 2.0, 3.0])
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])  # left-handed, as scanners write


def tissue():
    """Smooth structure within a body; shape (48, 44, 24)."""
    rng = np.random.default_rng(4)
    texture = ndimage.gaussian_filter(rng.normal(size=(48, 44, 24)), 2.0)
    grid = np.stack(np.meshgrid(*(np.linspace(-1.25, 1.25, n) for n in texture.shape), indexing="ij"))
    body = ndimage.gaussian_filter(((grid**2).sum(0) < 1).astype(float), 1.0)
    return body * (300 + 900 * texture / texture.std() * 0.15)


def moved(volume, displacement_mm):
    """The volume with its content displaced by a constant or by a field (3, X, Y, Z), millimetres along the axes."""
    shift = (
        np.broadcast_to(np.asarray(displacement_mm, float), (3, *volume.shape))
        if np.ndim(displacement_mm) == 4
        else (np.asarray(displacement_mm, float).reshape(3, 1, 1, 1) * np.ones((1, *volume.shape)))
    )
    return ndimage.map_coordinates(
        volume, np.indices(volume.shape) - shift / SPACING.reshape(3, 1, 1, 1), order=3, mode="nearest"
    )


def as_volume(array):
    return MetaTensor(torch.from_numpy(np.atleast_3d(array).astype(np.float32))[None], affine=torch.from_numpy(AFFINE))


def error(image, reference):
    return float(np.abs(np.asarray(image)[0] - reference).mean())


def test_rigid_recovers_a_shift_of_three_millimetres_in_another_contrast():
    pre = tissue()
    enhanced = 1.6 * pre + 40 * (pre > 1)
    post = as_volume(moved(enhanced, (3, 0, 0)))
    found = register_phase(post, as_volume(pre), "rigid")
    assert error(found, enhanced) < error(post, enhanced) / 5
    assert np.allclose(found.affine, AFFINE)
    assert found.dtype == torch.float32
    assert torch.equal(register_phase(post, as_volume(pre), "rigid"), found)


def test_demons_follow_a_smooth_deformation():
    pre = tissue()
    x, y, z = np.indices(pre.shape)
    field = np.stack([3 * np.sin(y / 9), 3 * np.cos(x / 10), 2 * np.sin(x / 12 + z / 8)])
    post = as_volume(moved(1.3 * pre, field))
    found = register_phase(post, as_volume(pre), "demons")
    assert error(found, 1.3 * pre) < error(post, 1.3 * pre) / 3


def test_phases_on_another_grid_come_to_that_of_the_pre_contrast_volume():
    pre = as_volume(tissue())
    phases = torch.cat([pre, 2 * pre])
    part = phases[:, 4:, 2:-3]
    part.affine = torch.from_numpy(AFFINE @ np.array([[1, 0, 0, 4], [0, 1, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    found = register_phase(part, pre, "none")
    assert found.shape == phases.shape
    assert torch.allclose(found[:, 4:, 2:-3].as_tensor(), phases[:, 4:, 2:-3].as_tensor(), atol=0.05)
    assert torch.allclose(found[:, :4, 2:-3].as_tensor(), phases[:, 4:5, 2:-3].as_tensor(), atol=0.05)  # the border


def test_what_cannot_be_registered_is_refused():
    pre = as_volume(tissue())
    with pytest.raises(InputError, match="method=affine: use none or rigid or demons"):
        register_phase(pre, pre, "affine")
    far = as_volume(tissue())
    far.affine = torch.from_numpy(AFFINE + np.array([[0, 0, 0, 9000.0], *[[0] * 4] * 3]))
    with pytest.raises(InputError, match="channel 0: rigid registration failed"):
        register_phase(far, pre, "rigid")
