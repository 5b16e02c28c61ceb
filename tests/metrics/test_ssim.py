import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from common.metrics.ssim import ms_ssim, ssim_terms


def pair(*shape):
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(*shape, generator=generator, dtype=torch.float64) * 5
    return first, first + 0.4 * torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(24, 30), (16, 20, 18)])
def test_map_equals_scikit_image_inside(shape):
    first, second = pair(1, 1, *shape)
    ours = ssim_terms(first, second, 5.0, window_size=11, sigma=1.5)[0][0, 0].numpy()
    _, theirs = structural_similarity(
        first[0, 0].numpy(), second[0, 0].numpy(), data_range=5.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, truncate=3.5, full=True,
    )  # fmt: skip
    inner = tuple(slice(5, n - 5) for n in shape)
    assert np.allclose(ours, theirs[inner], atol=1e-7)


def test_data_range_of_each_channel_counts():
    first, second = pair(1, 2, 16, 16)
    both = ssim_terms(first, second, torch.tensor([[5.0, 2.0]]), 7)[0]
    for channel, span in enumerate((5.0, 2.0)):
        alone = ssim_terms(first[:, channel : channel + 1], second[:, channel : channel + 1], span, 7)[0]
        assert torch.allclose(both[:, channel : channel + 1], alone)


def test_five_scales_equal_torchmetrics():
    first, second = pair(2, 1, 192, 192)
    ours = ms_ssim(first, second, 5.0, window_size=11).mean()
    theirs = multiscale_structural_similarity_index_measure(first, second, data_range=5.0, kernel_size=11, sigma=1.5)
    assert float(ours) == pytest.approx(float(theirs), abs=2e-3)  # theirs pads at the border


def test_small_volumes_get_fewer_scales_and_identity_gives_one():
    first, second = pair(1, 1, 16, 16, 8)
    assert float(ms_ssim(first, first, 5.0)) == pytest.approx(1.0)
    assert 0 < float(ms_ssim(first, second, 5.0)) < 1


@pytest.mark.parametrize(
    ("side", "expected"), [(192, 0.9573170012903849), (256, 0.9556937800349433), (48, 0.940444775443404)]
)
def test_ms_ssim_equals_torchmetrics_before_it_averaged_mirrored_borders(side, expected):
    """torchmetrics 1.0.1: multiscale_structural_similarity_index_measure(a, b, data_range=1.0), at 48 pixels with
    betas=(0.0448, 0.2856, 0.3001) over their sum. Later versions count positions whose window leaves the image."""
    generator = torch.Generator().manual_seed(5)
    first, noise = (torch.rand(1, 1, side, side, generator=generator, dtype=torch.float64) for _ in range(2))
    second = (first + 0.3 * noise).clamp(0, 1)
    assert float(ms_ssim(first, second, 1.0, window_size=11)) == pytest.approx(expected, rel=1e-5)
