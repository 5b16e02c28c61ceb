import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from common.metrics.paired import mae, percentile_range, psnr, ssim


def test_region_metrics_against_scikit_image_and_by_hand():
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(2, 14, 15, 16))
    image = reference + rng.normal(0, 0.3, reference.shape)
    region = rng.random(reference.shape[1:]) > 0.4
    args = torch.from_numpy(image), torch.from_numpy(reference), torch.from_numpy(region)
    span = percentile_range(args[1], args[2])
    for channel in range(2):
        inside = reference[channel][region]
        low, high = np.percentile(inside, [0.1, 99.9])
        assert float(span[channel]) == pytest.approx(high - low)
        expected = peak_signal_noise_ratio(inside, image[channel][region], data_range=high - low)
        assert float(psnr(*args, span)[channel]) == pytest.approx(expected)
        assert float(mae(*args)[channel]) == pytest.approx(np.abs(image - reference)[channel][region].mean())


def test_ssim_of_a_region_leaves_other_voxels_out():
    reference = torch.rand(1, 24, 24, 24, dtype=torch.float64)
    image = reference.clone()
    image[:, :, :, 20:] = 0
    region = torch.zeros(24, 24, 24, dtype=torch.bool)
    region[:, :, 6:14] = True  # windows of 11 end before voxel 20
    assert float(ssim(image, reference, region, torch.tensor([1.0]))[0]) == pytest.approx(1.0)
    assert float(ssim(image, reference, ~region, torch.tensor([1.0]))[0]) < 1
