import numpy as np
import pytest
import torch

from common.metrics.adherence import has_expected_order, region_medians
from common.phantoms.brain_tumor import CONTRASTS, make_brain_tumor
from common.phantoms.write_brats import case_files, write_case
from common.transforms.geometry import ATLAS_BOX_MM


@pytest.fixture(scope="module")
def phantoms():
    return [make_brain_tumor(seed, spacing_mm=4.0) for seed in range(10)]


def test_same_seed_same_voxels_other_seed_other_patient(phantoms):
    again = make_brain_tumor(0, spacing_mm=4.0)
    assert np.array_equal(again.image, phantoms[0].image)
    assert np.array_equal(again.label, phantoms[0].label)
    assert (phantoms[0].label != phantoms[1].label).any()


def test_heads_fill_the_atlas_box_and_tumours_lie_inside(phantoms):
    for phantom in phantoms:
        brain = (phantom.image > 0).any(0)
        corners = np.argwhere(brain)
        low, high = corners.min(0) * 4.0, (corners.max(0) + 1) * 4.0
        assert (low >= np.array(ATLAS_BOX_MM[0]) - 6).all()
        assert (high <= np.array(ATLAS_BOX_MM[1]) + 6).all()
        assert (high - low > [110, 145, 100]).all()
        assert phantom.label.any()
        assert not (phantom.label.astype(bool) & ~brain).any()


def test_intensities_have_the_order_of_each_contrast(phantoms):
    for phantom in phantoms:
        brain = torch.from_numpy((phantom.image > 0).any(0))
        medians = region_medians(torch.from_numpy(phantom.image), torch.from_numpy(phantom.label), brain)
        assert all(has_expected_order(medians, CONTRASTS).values())


def test_noise_is_what_was_asked_for(phantoms):
    phantom = phantoms[0]
    bright = phantom.clean[0] > 400
    assert (phantom.image[0] - phantom.clean[0])[bright].std() == pytest.approx(12, rel=0.05)


def test_files_are_brats_shaped_and_identical_twice(tmp_path):
    for run in ("a", "b"):
        write_case(tmp_path / run, 3, "brats2021", 5.0)
    for first, second in zip(*(case_files(tmp_path / run, 3, "brats2021") for run in "ab"), strict=True):
        assert first.read_bytes() == second.read_bytes()
    import nibabel

    mask = nibabel.load(case_files(tmp_path / "a", 3, "brats2021")[-1])
    assert nibabel.aff2axcodes(mask.affine) == ("L", "P", "S")
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2, 4}
    assert b"SYNTHETIC" in mask.header["descrip"].tobytes()
