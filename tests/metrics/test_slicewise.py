"""Slice-wise SSIM against scikit-image, MS-SSIM against torchmetrics, the measures of lesions by hand."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from common.engines.contrast_measures import false_blobs, image_metrics, lesion_measures, lesion_regions
from common.metrics.slicewise import slice_ms_ssim, slice_ssim


def pair(shape=(2, 40, 36, 3)):
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(shape, generator=generator)
    return reference + 0.2 * torch.randn(shape, generator=generator), reference


def test_slice_ssim_equals_scikit_image_inside_a_region():
    image, reference = pair()
    region = torch.zeros(40, 36, 3, dtype=torch.bool)
    region[10:30, 8:25, 1:] = True
    ours = slice_ssim(image, reference, region, torch.tensor([1.0, 1.0]))
    for channel in range(2):
        maps = [
            structural_similarity(
                reference[channel, :, :, z].double().numpy(), image[channel, :, :, z].double().numpy(), data_range=1.0,
                gaussian_weights=True, use_sample_covariance=False, full=True,
            )[1]
            for z in range(3)
        ]  # fmt: skip
        expected = np.stack(maps, -1)[region.numpy()].mean()
        assert float(ours[channel]) == pytest.approx(expected, abs=1e-6)


def test_slice_ms_ssim_equals_torchmetrics_on_whole_slices():
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    image, reference = pair((1, 192, 192, 2))
    ours = slice_ms_ssim(image, reference, torch.ones(192, 192, 2, dtype=torch.bool), torch.tensor([1.0]))
    expected = [
        multiscale_structural_similarity_index_measure(
            image[..., z][None], reference[..., z][None], data_range=1.0, normalize="relu"
        )
        for z in range(2)
    ]
    assert float(ours) == pytest.approx(float(torch.stack(expected).mean()), abs=5e-3)


def test_identity_has_no_error():
    _, reference = pair()
    found = image_metrics(reference, reference, torch.ones(40, 36, 3, dtype=torch.bool))
    assert found["mae"] == found["mse"] == [0.0, 0.0]
    assert all(value == pytest.approx(1.0) for value in found["ssim"] + found["ms_ssim"])


def test_lesion_measures_by_hand():
    label = torch.zeros(6, 6, 3)
    label[2:4, 2:4, 1] = 5
    item = {"lesions": [{"instance": 5, "visible": False, "curve_type": "I"}]}
    (lesion,) = lesion_regions(item, label)
    pre, real = torch.zeros(1, 6, 6, 3), torch.zeros(2, 6, 6, 3)
    real[0, 2:4, 2:4, 1], real[1, 2:4, 2:4, 1] = 1.0, 2.0
    found = lesion_measures(lesion, pre, real, 0.5 * real)
    assert found["means"] == {"pre": 0.0, "real": [1.0, 2.0], "made": [0.5, 1.0]}
    assert (found["box_error"], found["box_error_identity"]) == (4 * 0.5 + 4 * 1.0, 4 * 1.0 + 4 * 2.0)
    assert (found["box_square"], found["box_square_identity"]) == (4 * 0.25 + 4 * 1.0, 4 * 1.0 + 4 * 4.0)
    assert found["visible"] is False
    assert not found["missed"]
    assert lesion_measures(lesion, pre, real, 0.2 * real)["missed"]


def test_false_blobs_are_counted_where_nothing_real_enhances():
    pre, real, made = (torch.zeros(1, 40, 40, 4) for _ in range(3))
    made[0, 5:15, 5:15, 1] = 0.5  # false: 10 x 10 pixels of 1 mm2
    made[0, 25:27, 25:27, 1] = 0.5  # too small
    made[0, 20:30, 5:15, 2] = real[0, 20:30, 5:15, 2] = 0.5  # real
    made[0, 5:15, 25:35, 3] = 0.2  # too faint
    region = torch.ones(40, 40, 4, dtype=torch.bool)
    assert false_blobs(pre, real, made, region, (1.0, 1.0, 1.0)) == (1, 4)
