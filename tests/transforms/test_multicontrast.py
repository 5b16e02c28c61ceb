import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.transforms.multicontrast import (
    CropToBraind,
    ExtendBraind,
    LoadContrastsd,
    NormalizeBraind,
    RestoreBraind,
    brain_mask,
)


def head():
    rng = np.random.default_rng(0)
    image = np.zeros((4, 12, 14, 10), np.float32)
    image[:, 2:9, 3:12, 1:8] = rng.uniform(100, 900, (4, 7, 9, 7))
    image[0, 4, 4, 4] = 0  # a hole in one contrast is not background
    return image


def test_z_score_over_nonzero_voxels_of_each_contrast():
    image = head()
    normalized = np.asarray(NormalizeBraind("image", background=0.0)({"image": MetaTensor(image)})["image"])
    for raw, scaled in zip(image, normalized, strict=True):
        voxels = raw[raw != 0]
        assert np.allclose(scaled[raw != 0], (voxels - voxels.mean()) / voxels.std(ddof=1), atol=1e-4)
        assert (scaled[raw == 0] == 0).all()


def test_background_of_its_own_stays_below_the_brain():
    normalized = NormalizeBraind("image", background=-4.0)({"image": MetaTensor(head())})["image"]
    brain = torch.from_numpy((head() != 0).any(0))
    assert (normalized[:, ~brain] == -4).all()
    assert (normalized[:, brain] >= -3.5).all()
    assert torch.equal(brain_mask(normalized.as_tensor(), -4.0), brain)


def test_crop_takes_the_box_of_any_contrast_and_the_same_for_the_mask():
    mask = torch.arange(12 * 14 * 10).view(1, 12, 14, 10).float()
    item = CropToBraind("image")({"image": MetaTensor(head()), "label": MetaTensor(mask)})
    assert item["image"].shape == (4, 7, 9, 7)
    assert torch.equal(item["label"].as_tensor(), mask[:, 2:9, 3:12, 1:8])
    assert item["canvas"].tolist() == [[0, 0, 0], [7, 9, 7]]
    assert torch.isnan(item["atlas_canvas"]).all()


def test_crop_keeps_world_coordinates_and_inverts():
    affine = torch.tensor([[2.0, 0, 0, -9], [0, 2, 0, 4], [0, 0, 3, 1], [0, 0, 0, 1]], dtype=torch.float64)
    image = MetaTensor(head(), affine=affine)
    crop = CropToBraind("image")
    item = crop({"image": image, "label": MetaTensor(torch.ones(1, 12, 14, 10), affine=affine)})
    corner = affine @ torch.tensor([2.0, 3, 1, 1], dtype=torch.float64)
    assert torch.allclose(item["image"].affine[:, 3].double(), corner)
    back = crop.inverse(item)
    assert torch.equal(back["image"].as_tensor(), image.as_tensor())
    assert torch.allclose(back["image"].affine.double(), affine)
    assert back["label"].shape == (1, 12, 14, 10)


def test_brain_survives_extension_and_restoration_exactly():
    normalized = NormalizeBraind("image", background=-4.0)({"image": MetaTensor(head())})["image"]
    extended = ExtendBraind("pred", background=-4.0)({"pred": normalized, "image": normalized})
    assert extended["pred"].shape == (5, 12, 14, 10)
    assert (extended["pred"][:4] > -4).all()
    restored = RestoreBraind("pred", intensity="zscore")(extended)["pred"]
    brain = torch.from_numpy((head() != 0).any(0))
    assert torch.equal(restored[:, brain].as_tensor(), normalized[:, brain].as_tensor())
    assert (restored[:, ~brain] == 0).all()


def test_reference_intensities_are_positive_and_invert():
    z = torch.tensor([-2.0, 0, 3]).view(1, 3, 1, 1)
    item = {"pred": torch.cat([z, torch.ones_like(z)])}
    restored = RestoreBraind("pred", "reference", mean=[100.0], std=[20.0])(item)["pred"]
    assert restored.flatten().tolist() == [60, 100, 160]


def test_contrasts_on_different_grids_are_refused_by_name(tmp_path):
    paths = []
    for name, spacing in zip(("t1", "t1c", "t2", "flair"), (1, 1, 2, 1), strict=True):
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        nibabel.save(nibabel.Nifti1Image(np.ones((5, 6, 7), np.float32), np.diag([spacing] * 3 + [1])), paths[-1])
    with pytest.raises(InputError, match="T2 .* is not on the grid of T1"):
        LoadContrastsd("image")({"image": paths, "case": "x"})
