"""HD95 against all distances of all surface voxels."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from common.metrics.segmentation import hausdorff95, mask_scores


def surface(mask, spacing):
    edge = mask & ~ndimage.binary_erosion(mask)
    return np.argwhere(edge) * np.asarray(spacing)


def by_hand(first, second, spacing):
    a, b = surface(first, spacing), surface(second, spacing)
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    return max(np.percentile(distances.min(1), 95), np.percentile(distances.min(0), 95))


@pytest.mark.parametrize("seed", range(4))
def test_hd95_by_hand(seed):
    rng = np.random.default_rng(seed)
    spacing = (0.8, 1.1, 2.5)
    masks = [ndimage.gaussian_filter(rng.random((20, 18, 14)), 2) > 0.5 for _ in range(2)]
    # Away from the border, where erosion would count the volume's edge as surface.
    for mask in masks:
        mask[[0, -1]] = mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    found = hausdorff95(*(torch.from_numpy(mask) for mask in masks), spacing)
    assert found == pytest.approx(by_hand(*masks, spacing), rel=1e-5)


def test_shifted_block():
    first, second = torch.zeros(20, 20, 20, dtype=torch.bool), torch.zeros(20, 20, 20, dtype=torch.bool)
    first[5:9, 5:9, 5:9] = True
    second[7:11, 5:9, 5:9] = True
    scores = mask_scores(second, first, (1.5, 1.0, 1.0))
    assert scores["dice"] == pytest.approx(0.5)
    assert scores["hd95"] == pytest.approx(3.0)


def test_no_surface():
    empty, full = torch.zeros(4, 4, 4, dtype=torch.bool), torch.ones(4, 4, 4, dtype=torch.bool)
    assert np.isnan(hausdorff95(empty, full, (1, 1, 1)))
    assert mask_scores(empty, full, (1, 1, 1))["dice"] == 0
