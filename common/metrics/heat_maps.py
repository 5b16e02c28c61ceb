"""Where a classifier looks: Grad-CAM, saliency and occlusion maps, and how much of them falls on a lesion.

The three are those of figure 6 in Montoya-del-Angel et al. 2023 (arXiv 2311.09822), through `monai.visualize`; the
pointing game is that of Zhang et al. 2018 (arXiv 1608.00507). Every map is (H, W), float32 in [0, 1] with its largest
value at 1, high where the image speaks for the class; a map of zeros says that nothing does.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from monai.visualize import GradCAM, OcclusionSensitivity, SmoothGrad, VanillaGrad
from scipy import ndimage
from torch import nn

from ..errors import InputError

METHODS = ("grad_cam", "saliency", "occlusion")
AIR = -0.95  # network intensities below are no tissue
ROUNDING = 1e-5  # of log-odds, relative: batches of other sizes differ by so much


def heat_maps(
    model: nn.Module, image: torch.Tensor, target: int, layer: str = "reader.features"
) -> dict[str, np.ndarray]:
    """The maps of all three methods, by name, with their default options; see `grad_cam`, `saliency`, `occlusion`."""
    return {
        "grad_cam": grad_cam(model, image, target, layer),
        "saliency": saliency(model, image, target),
        "occlusion": occlusion(model, image, target),
    }


def grad_cam(model: nn.Module, image: torch.Tensor, target: int, layer: str = "reader.features") -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017), bilinear from the grid of a feature map to that of the image.

    Args:
        model: from images (B, 1, H, W) to logits (B, classes); left as it is.
        image: (1, H, W) in [-1, 1].
        target: class that is explained.
        layer: name of the module whose output is the feature map.

    Raises:
        InputError: no such module or class, or an image of another shape.
    """
    if layer not in dict(model.named_modules()):
        raise InputError(f"layer {layer}: the network has no module of that name")
    with _gradients():
        # monai hands maps out upside down unless told how to finish them.
        method = GradCAM(_prepared(model, image, target), layer, postprocessing=lambda values: values)
        return _scaled(method(_batch(image).requires_grad_(), class_idx=target))


def saliency(
    model: nn.Module, image: torch.Tensor, target: int, num_samples: int = 16, noise: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Size of the gradient of the class's logit at each pixel (Simonyan et al. 2014).

    Args:
        model, image, target: as for `grad_cam`.
        num_samples: noisy copies of the image whose gradients are averaged as root mean square (SmoothGrad, Smilkov et
            al. 2017); 0 for the image itself alone.
        noise: standard deviation, as a share of the image's range.
        seed: of the noise.

    Raises:
        InputError: no such class, or an image of another shape.
    """
    with _gradients(), torch.random.fork_rng(devices=_devices(image)):
        torch.manual_seed(seed)
        prepared, smooth = _prepared(model, image, target), num_samples > 0
        method = SmoothGrad(prepared, noise, num_samples, verbose=False) if smooth else VanillaGrad(prepared)
        return _scaled(method(_batch(image), index=target).abs())


def occlusion(
    model: nn.Module,
    image: torch.Tensor,
    target: int,
    patch: int | None = None,
    overlap: float = 0.5,
    region: np.ndarray | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """How much the class's log-odds fall where squares of the image are covered (Zeiler and Fergus 2014).

    Squares are filled with the median of the region's tissue, and within it only: tissue painted into the air would be
    a finding of its own. Log-odds are told where probabilities are long at 1. What raises them counts as 0.

    Args:
        model, image, target: as for `grad_cam`.
        patch: edge of the square in pixels; None is an eighth of the image's shorter side.
        overlap: of neighbouring squares, from 0 to below 1.
        region: bool (H, W), where the image may be covered; None is all that is brighter than air.
        batch_size: images at once.

    Raises:
        InputError: no such class, an image or region of another shape, or nothing to cover.
    """
    prepared, batch = _prepared(model, image, target), _batch(image)
    height, width = image.shape[1:]
    inside = batch > AIR if region is None else torch.as_tensor(np.asarray(region, bool), device=image.device)
    if inside.shape[-2:] != (height, width):
        raise InputError(f"region {tuple(inside.shape)}: of another shape than the image {(height, width)}")
    if not inside.any():
        raise InputError("occlusion: no pixel of the image may be covered; is it a mammogram?")
    inside = inside.expand_as(batch)
    tissue = batch[inside & (batch > AIR)]
    method = OcclusionSensitivity(
        _Within(prepared, batch, inside),
        mask_size=patch or max(1, min(height, width) // 8),
        n_batch=batch_size,
        verbose=False,
        mode=float((tissue if tissue.numel() else batch[inside]).median()),
        overlap=overlap,
        activate=lambda logits: _log_odds(logits, target),
    )
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a non-tuple sequence")  # within monai
        baseline = _log_odds(prepared(batch), target).view(1, 1, 1, 1)
        fall = (baseline - method(batch)[0]) * inside
    return _scaled(torch.where(fall > ROUNDING * baseline.abs().clamp(min=1), fall, 0.0))


def pointing_game(heat_map: np.ndarray, where: np.ndarray | Sequence[float], tolerance: float = 0.0) -> bool:
    """Whether the largest value of a map lies on a lesion.

    Args:
        heat_map: (H, W); of equal largest values the first counts, row by row. A map of zeros points nowhere.
        where: mask (H, W), or box (x0, y0, x1, y1) with its last column and row excluded.
        tolerance: pixels from the lesion that still count as on it.

    Raises:
        InputError: a mask of another shape, or an empty one.
    """
    lesion = _lesion_mask(where, heat_map.shape)
    peak = np.unravel_index(int(np.argmax(heat_map)), heat_map.shape)
    return bool(heat_map[peak] > 0 and ndimage.distance_transform_edt(~lesion)[peak] <= tolerance)


def energy_in(heat_map: np.ndarray, where: np.ndarray | Sequence[float]) -> float:
    """Share of a map's sum that lies on a lesion, 0 for a map of zeros; arguments and errors as `pointing_game`."""
    lesion = _lesion_mask(where, heat_map.shape)
    total = float(heat_map.sum(dtype=np.float64))
    return float(heat_map[lesion].sum(dtype=np.float64)) / total if total > 0 else 0.0


class _Within(nn.Module):
    """A network that sees an image as it is outside a region, whatever was done to it there."""

    def __init__(self, model: nn.Module, image: torch.Tensor, inside: torch.Tensor) -> None:
        super().__init__()
        self.model, self.image, self.inside = model, image, inside

    def forward(self, changed: torch.Tensor) -> torch.Tensor:
        return self.model(torch.where(self.inside, changed, self.image))


@contextmanager
def _gradients() -> Iterator[None]:
    """Gradients are recorded, wherever this is called from."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _prepared(model: nn.Module, image: torch.Tensor, target: int) -> nn.Module:
    """A copy: monai's methods leave hooks in a network, clear its gradients and need parameters that have them."""
    if image.ndim != 3 or image.shape[0] != 1:
        raise InputError(f"heat map: an image (1, H, W) is needed, not {tuple(image.shape)}")
    prepared = copy.deepcopy(model).eval().requires_grad_(True)
    with torch.no_grad():
        count = prepared(_batch(image)).shape[1]
    if not 0 <= target < count:
        raise InputError(f"class {target}: the network has classes 0 to {count - 1}")
    return prepared


def _batch(image: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W), a plain tensor that gradients can be taken of."""
    return torch.Tensor(image.detach().as_subclass(torch.Tensor)).float().clone()[None]


def _devices(image: torch.Tensor) -> list[torch.device]:
    return [image.device] if image.device.type == "cuda" else []


def _log_odds(logits: torch.Tensor, target: int) -> torch.Tensor:
    """(B, 1) of a class against all others together."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target : target + 1] - others.logsumexp(1, keepdim=True)


def _scaled(values: torch.Tensor) -> np.ndarray:
    """(1, 1, H, W) to (H, W) with the largest value at 1; zeros stay zeros."""
    found = values.detach().float().cpu().numpy()[0, 0]
    largest = float(found.max())
    return np.clip(found / largest, 0, 1).astype(np.float32) if largest > 0 else np.zeros_like(found)


def _lesion_mask(where: np.ndarray | Sequence[float], shape: tuple[int, ...]) -> np.ndarray:
    if np.ndim(where) == 1:
        x0, y0, x1, y1 = (round(float(value)) for value in where)
        lesion = np.zeros(shape, bool)
        lesion[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    else:
        lesion = np.asarray(where, bool)
    if lesion.shape != shape:
        raise InputError(f"lesion mask {lesion.shape}: of another shape than the heat map {shape}")
    if not lesion.any():
        raise InputError("the lesion's mask is empty, or its box lies beside the image; give one with a pixel in it")
    return lesion
