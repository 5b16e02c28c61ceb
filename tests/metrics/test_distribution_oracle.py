"""FID, KID and MS-SSIM against torchmetrics, on the same features and images."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from common.metrics.distribution import frechet_distance, kernel_distance
from common.metrics.ssim import ms_ssim

SIDE = 4
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class Pixels(torch.nn.Module):
    """Features are the pixels of the first channel, so that features can be handed over as images."""

    num_features = SIDE**2

    def forward(self, images):
        return images[:, 0].flatten(1).float() / 64


def sets():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 200, (60, 1, SIDE, SIDE), generator=generator)
    second = torch.randint(20, 256, (45, 1, SIDE, SIDE), generator=generator)
    second[:, :, 1] = second[:, :, 0] // 2 + 30
    return [part.to(torch.uint8).repeat(1, 3, 1, 1) for part in (first, second)]


def test_frechet_distance_equals_torchmetrics():
    metric = FrechetInceptionDistance(feature=Pixels(), input_img_size=(3, SIDE, SIDE)).set_dtype(torch.float64)
    real, other = sets()
    metric.update(real, real=True)
    metric.update(other, real=False)
    expected = float(metric.compute())
    assert expected > 1
    assert frechet_distance(Pixels()(real), Pixels()(other)) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_of_all_equals_torchmetrics():
    metric = KernelInceptionDistance(feature=Pixels(), subsets=1, subset_size=45)
    real, other = sets()
    real = real[:45]
    metric.update(real, real=True)
    metric.update(other, real=False)
    expected = float(metric.compute()[0])
    assert expected > 0.1
    assert kernel_distance(Pixels()(real), Pixels()(other)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("side", "scales"), [(176, 5), (96, 4), (48, 3), (24, 2), (12, 1)])
def test_ms_ssim_of_any_size_is_made_of_torchmetrics_parts(side, scales):
    """torchmetrics' own MS-SSIM takes no side below 161 and counts the mirrored border at its last scale.

    Here its parts are put together: contrast of each scale, and the last scale's map without that border.
    """
    generator = torch.Generator().manual_seed(side)
    first = torch.rand(2, 1, side, side + 8, generator=generator, dtype=torch.float64)
    second = first + 0.2 * torch.randn(first.shape, generator=generator, dtype=torch.float64)
    weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64)
    ours = ms_ssim(first, second, 1.0, window_size=11)[:, 0]
    expected = torch.ones(2, dtype=torch.float64)
    for scale, weight in enumerate(weights / weights.sum()):
        arguments = {"data_range": 1.0, "sigma": 1.5, "kernel_size": 11, "reduction": "none"}
        if scale == scales - 1:
            _, full = structural_similarity_index_measure(first, second, return_full_image=True, **arguments)
            part = full[..., 5:-5, 5:-5].flatten(1).mean(1)
        else:
            part = structural_similarity_index_measure(first, second, return_contrast_sensitivity=True, **arguments)[1]
        expected *= part**weight
        first, second = (torch.nn.functional.avg_pool2d(image, 2) for image in (first, second))
    assert ours.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
