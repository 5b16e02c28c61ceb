import numpy as np
import pytest
import torch
from monai.data import ITKReader, MetaTensor
from monai.transforms import LoadImage, Orientation
from skimage.filters import threshold_otsu

from common.errors import InputError
from common.transforms.breast_mask import SoftBreastMaskd, body_mask, breast_mask, otsu_threshold

SPACING = (2.0, 3.0, 4.0)


def torso():
    """Chest wall to 60 mm, dark lungs that the back edge cuts open, breasts of 60 mm on it 60 mm apart."""
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip((100, 50, 12), SPACING, strict=True)), indexing="ij")
    chest = (y < 60) & (x > 10) & (x < 190)
    lungs = (y < 30) & (abs(abs(x - 100) - 40) < 20)
    breasts = ((x - 100) / 30 - 1.5 * np.sign(x - 100)) ** 2 + ((y - 60) / 60) ** 2 < 1
    noise = np.random.default_rng(0).gamma(2, 2, x.shape)
    pre = np.where(breasts & (y >= 60), 800, np.where(chest & ~lungs, 90, 0)) + noise
    return pre.astype(np.float32), chest, breasts & (y >= 60)


def test_threshold_is_otsus():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 3000), rng.normal(6, 2, 1000)])
    assert otsu_threshold(values) == pytest.approx(threshold_otsu(values, 256), abs=np.ptp(values) / 256)
    assert 1 < otsu_threshold(np.array([0.0] * 5 + [1.0] + [9.0] * 5)) < 9


def test_body_is_whole_although_the_chest_is_nine_times_darker():
    pre, chest, breasts = torso()
    body = body_mask(pre, SPACING)
    expected = chest | breasts
    assert 2 * (body & expected).sum() / (body.sum() + expected.sum()) > 0.97


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_mask_begins_at_the_sternum_and_holds_the_breasts(unit):
    pre, _, breasts = torso()
    mask = breast_mask(pre * unit, SPACING, margin_mm=0)
    assert abs(int(np.argmax(mask.any(axis=(0, 2)))) - 19) <= 1  # the last chest voxel begins at 57 mm
    assert (mask & breasts).sum() / breasts.sum() > 0.98
    deeper = breast_mask(pre * unit, SPACING, margin_mm=15)
    assert np.argmax(mask.any(axis=(0, 2))) - np.argmax(deeper.any(axis=(0, 2))) == 5  # 15 mm of 3 mm


def test_soft_mask_keeps_grid_and_storage_order():
    pre, _, _ = torso()
    affine = torch.diag(torch.tensor([*SPACING, 1.0], dtype=torch.float64))
    ras = MetaTensor(pre[None], affine=affine)
    expected = SoftBreastMaskd("pre")({"pre": ras})["breast"]
    assert expected.min() >= 0
    assert 0.99 < float(expected.max()) <= 1.001
    for code in ("LAS", "SPL", "AIR"):
        stored = Orientation(code)(ras)
        mask = SoftBreastMaskd("pre", "mask")({"pre": stored})["mask"]
        assert torch.allclose(mask.affine, stored.affine)
        assert mask.shape == stored.shape
        assert torch.allclose(Orientation("RAS")(mask).as_tensor(), expected.as_tensor())
    hard = SoftBreastMaskd("pre", soft_mm=0)({"pre": ras})["breast"]
    assert np.array_equal(hard[0].numpy() > 0, breast_mask(pre, SPACING))


def test_what_holds_no_breast_is_refused():
    with pytest.raises(InputError, match="case, pre: the volume is empty or constant"):
        SoftBreastMaskd("pre")({"pre": MetaTensor(torch.zeros(1, 8, 8, 8))})
    with pytest.raises(InputError, match="nothing lies in front of the sternum"):
        breast_mask(torso()[0], SPACING, margin_mm=-500)


def test_a_real_volume(real_data):
    folder = real_data / "breast_mri" / "duke_153" / "0_pre"
    if not folder.is_dir():
        pytest.skip("no breast MRI among the real cases")
    volume = LoadImage(reader=ITKReader(), image_only=True, ensure_channel_first=True)(str(folder))
    volume = Orientation("RAS")(volume)
    mask = breast_mask(volume[0].numpy(), np.asarray(volume.pixdim))
    # Read off the picture: both breasts lie in front of row 223 (of 448, counted from the back), the heart behind 200.
    assert 0.25 < mask.mean() < 0.35
    assert abs(int(np.argmax(mask.any(axis=(0, 2)))) - 207) < 8
    assert mask[80:150, 260:380, 12].mean() > 0.99
    assert mask[280:380, 260:380, 12].mean() > 0.99
    assert mask[:, 430:].mean() < 0.02
