import numpy as np
import pytest
import torch
from monai.metrics import FIDMetric
from scipy import linalg

from common.metrics.distribution import frechet_distance, kernel_distance, standardize


def samples(n=60, features=8, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(features, features, generator=torch.Generator().manual_seed(9))
    return torch.randn(n, features, generator=generator) @ mixing + shift


def test_frechet_equals_the_formula_by_scipy_and_monai():
    first, second = samples(seed=1), samples(seed=2, shift=0.5)
    s1, s2 = np.cov(first.double().numpy().T), np.cov(second.double().numpy().T)
    difference = (first.double().mean(0) - second.double().mean(0)).numpy()
    expected = difference @ difference + np.trace(s1 + s2 - 2 * linalg.sqrtm(s1 @ s2).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, second) == pytest.approx(
        float(FIDMetric()(first.double(), second.double())), rel=1e-3
    )


def test_frechet_of_two_known_gaussians():
    first = torch.tensor([[-1.0], [1.0]])  # mean 0, variance 2
    second = torch.tensor([[1.0], [5.0]])  # mean 3, variance 8
    assert frechet_distance(first, second) == pytest.approx(9 + 2 + 8 - 2 * (2 * 8) ** 0.5)


def test_kernel_distance_by_hand():
    first, second = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    expected = (1 * 2 + 1) ** 3 + (0 * 3 + 1) ** 3 - 2 * (1 + 4**3 + 1 + 7**3) / 4
    assert kernel_distance(first, second) == pytest.approx(expected)


def test_kernel_distance_is_unbiased_at_any_size():
    values = [kernel_distance(samples(12, 4, seed=2 * i), samples(12, 4, seed=2 * i + 1)) for i in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 300**0.5
    assert kernel_distance(samples(12, 4, seed=1), samples(12, 4, seed=2, shift=2.0)) > np.quantile(values, 0.95)


def test_standardize_uses_the_reference_alone():
    reference, other = standardize(samples(seed=1), samples(seed=2))
    assert torch.allclose(reference.mean(0), torch.zeros(8), atol=1e-5)
    assert torch.allclose(reference.std(0), torch.ones(8), atol=1e-5)
    assert not torch.allclose(other.mean(0), torch.zeros(8), atol=1e-3)
