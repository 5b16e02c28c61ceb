"""Paired translation from pre-contrast slices to phases: trainer, batch, and the metrics of each validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import PrepareBatch
from monai.utils import CommonKeys as Keys
from torch import nn
from torch.nn import functional

from ..metrics.distribution import frechet_distance, standardize
from ..metrics.features import FeatureExtractor
from ..metrics.ssim import ssim_terms
from .adversarial import AdversarialTrainer
from .prepare import plain


class TranslationPrepareBatch(PrepareBatch):
    """Pre-contrast slice in, phases and tumour mask to the loss.

    Args:
        channel_phases: number of the phase (1, 2, ...) that each output channel of the generator stands for.
    """

    def __init__(self, channel_phases: Sequence[int] = (1, 2, 3)) -> None:
        self.channels = [int(phase) - 1 for phase in channel_phases]

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns image (B, 1, H, W), (phases (B, channels, H, W), mask (B, 1, H, W)), no further arguments."""
        image = plain(batchdata[Keys.IMAGE], device, non_blocking).float()
        phases = plain(batchdata["phases"], device, non_blocking).float()[:, self.channels]
        return image, (phases, plain(batchdata[Keys.LABEL], device, non_blocking)), (), {}


class TranslationTrainer(AdversarialTrainer):
    """`AdversarialTrainer` with a conditional discriminator pyramid and feature matching, as in pix2pixHD.

    Adversarial terms are sums over scales of least-squares losses. Feature matching is the mean absolute difference of
    the discriminator's features, summed over the layers before the logits times 4 / their number, and averaged over
    scales, as the original weighs it.

    Args:
        feature_weight: of feature matching.
        **kwargs: of `AdversarialTrainer`; the discriminator returns a list of layer outputs for each scale.
    """

    def __init__(self, *, feature_weight: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feature_weight = feature_weight

    def discriminator_input(self, inputs: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Condition, once for each channel of the image, and image: (B, 2 C, H, W)."""
        return torch.cat([inputs.expand_as(image), image], dim=1)

    def generator_terms(self, judge: nn.Module, fake: torch.Tensor, real: torch.Tensor) -> dict[str, torch.Tensor]:
        """Adversarial and feature-matching terms."""
        judged_fake = judge(fake)
        with torch.no_grad():
            judged_real = judge(real)
        adversarial = sum(_squares(scale[-1], 1.0) for scale in judged_fake)
        matching = sum(
            functional.l1_loss(a.float(), b.float()) * 4 / (len(fake_scale) - 1)
            for fake_scale, real_scale in zip(judged_fake, judged_real, strict=True)
            for a, b in zip(fake_scale[:-1], real_scale[:-1], strict=True)
        )
        return {
            "adversarial": self.adversarial_weight * adversarial,
            "feature_matching": self.feature_weight * matching / len(judged_fake),
        }

    def discriminator_loss(self, judged: list[list[torch.Tensor]]) -> torch.Tensor:
        """Half the sum over scales of the squared distances to 0 for fakes and to 1 for reals."""
        halves = [scale[-1].float().chunk(2) for scale in judged]
        return 0.5 * sum(_squares(fake, 0.0) + _squares(real, 1.0) for fake, real in halves)


def _squares(logits: torch.Tensor, target: float) -> torch.Tensor:
    return (logits.float() - target).square().mean()


class TranslationMetrics:
    """Handler of a validator: paired metrics and Fréchet distances over its slices, as `state.metrics`.

    `validation_mse` and `_ssim` over whole slices (`validation_mae` is the validator's key metric, by ignite),
    `_mae_tumor` inside the tumour masks, `_fd_<name>` for each extractor; all on the networks' intensity scale, slices
    equally weighted, phases pooled. SSIM has the data range 1 of the common scale, or 2 for images in [-1, 1].

    Args:
        extractors: by name; see `common.metrics.features`.
        data_range: of SSIM.
        window_size: of SSIM.
    """

    def __init__(
        self, extractors: Mapping[str, FeatureExtractor], data_range: float = 1.0, window_size: int = 11
    ) -> None:
        self.extractors, self.data_range, self.window_size = dict(extractors), data_range, window_size
        self.sums: dict[str, list[torch.Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Collect after each batch, compute at the end of the validation."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self.sums = {}

    def _note(self, name: str, values: torch.Tensor) -> None:
        self.sums.setdefault(name, []).append(values.detach().cpu())

    def _collect(self, engine: Engine) -> None:
        pred = engine.state.output[Keys.PRED].float()
        phases, mask = engine.state.output[Keys.LABEL]
        difference = pred - phases
        self._note("mse", difference.square().flatten(1).mean(1))
        self._note("ssim", ssim_terms(pred, phases, self.data_range, self.window_size)[0].flatten(1).mean(1))
        for error, inside in zip(difference.abs(), mask[:, 0] > 0, strict=True):
            if inside.any():
                self._note("mae_tumor", error[:, inside].mean().view(1))
        for name, extractor in self.extractors.items():
            self._note(f"real_{name}", extractor(phases.flatten(0, 1)[:, None]))
            self._note(f"fake_{name}", extractor(pred.flatten(0, 1)[:, None]))

    def _finish(self, engine: Engine) -> None:
        metrics = engine.state.metrics
        for name in ("mse", "ssim", "mae_tumor"):
            if name in self.sums:
                metrics[f"validation_{name}"] = float(torch.cat(self.sums[name]).mean())
        for name in self.extractors:
            real, fake = (torch.cat(self.sums[f"{kind}_{name}"]) for kind in ("real", "fake"))
            if len(real) > 1:
                metrics[f"validation_fd_{name}"] = frechet_distance(*standardize(real, fake))


def same_metrics(extractors: Mapping[str, FeatureExtractor]) -> dict[str, str]:
    """The metrics of a validation that SAMe aggregates, with their direction: SSIM, MSE, MAE and distances."""
    distances = {f"validation_fd_{name}": "lower" for name in extractors}
    return {"validation_ssim": "higher", "validation_mse": "lower", "validation_mae": "lower"} | distances
