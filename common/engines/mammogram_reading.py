"""Training of the networks that read mammograms: batches, loss, and what is measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.metrics import Accuracy, EpochMetric
from monai.engines import PrepareBatch
from monai.utils import CommonKeys as Keys
from torch import nn
from torch.nn import functional

from ..metrics.roc import roc_auc
from .prepare import plain
from .reading_items import FOUND, NO_ANSWER, NOTHING, OTHER, UNSURE, answer

FINDS = (NOTHING, OTHER, FOUND)  # outputs of the map of places
BACKGROUND_WEIGHT = 0.1  # nearly every place is empty
AIR = -0.9  # intensities below are no tissue


class ReadingPrepareBatch(PrepareBatch):
    """Image in; answers and map of places out.

    Close looks: a square of each image alone, around a place of its lesions, or of its breast where it has none. They
    teach what a lesion looks like many times faster than whole images, in which it is a few of 65 536 pixels. All draws
    come from torch's generator.

    Args:
        close_look: pixels along a side of the square.
        share: of batches that are made of close looks; the others show whole images.
        malignant: place of the head `malignant` among the answers, whose answer a close look decides anew; None where
            there is no such head.
    """

    def __init__(self, close_look: int = 128, share: float = 0.0, malignant: int | None = None) -> None:
        self.close_look, self.share, self.malignant = close_look, share, malignant

    def __call__(self, batchdata: dict, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
        """Returns image (B, 1, H, W), (target (B, heads), places (B, 1, H, W)), no further arguments."""
        image, target, places = (
            plain(batchdata[key], device, non_blocking) for key in (Keys.IMAGE, "target", Keys.LABEL)
        )
        if self.share and float(torch.rand(())) < self.share:
            looks = [self._look(*pair) for pair in zip(image, places, strict=True)]
            image, places = (torch.stack(parts) for parts in zip(*looks, strict=True))
            if self.malignant is not None:
                target = target.clone()
                target[:, self.malignant] = _seen(places)
        return image.float(), (target, places), (), {}

    def _look(self, image: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lesions = torch.nonzero(places[0])
        spots = lesions if len(lesions) else torch.nonzero(image[0] > AIR)
        centre = spots[int(torch.randint(len(spots), ()))].tolist() if len(spots) else [0, 0]
        shift = ((torch.rand(2) * 2 - 1) * self.close_look / 3).tolist() if len(lesions) else (0.0, 0.0)
        window = [slice(None)]
        for middle, off, length in zip(centre, shift, image.shape[1:], strict=True):
            start = round(min(max(middle + off - self.close_look / 2, 0), max(length - self.close_look, 0)))
            window.append(slice(start, start + self.close_look))
        return image[tuple(window)], places[tuple(window)]


def _seen(places: torch.Tensor) -> torch.Tensor:
    """Answer of the head `malignant`, (B,), for what maps of places (B, 1, h, w) hold."""
    found, unsure = ((places == value).flatten(1).any(1) for value in (FOUND, UNSURE))
    return torch.where(found, 1, torch.where(unsure, NO_ANSWER, 0))


class ReaderInTraining(nn.Module):
    """A reader that says also where it sees a lesion, which teaches its features to look there.

    A label of the whole image hardly tells a network which of 65 536 pixels it is about. The map comes from the last
    feature map alone and is dropped after training.

    Args:
        reader: with `features`, whose last layer is a normalisation and an activation; see `MammogramReader`.
        channels: of the last feature map.
    """

    def __init__(self, reader: nn.Module, channels: int) -> None:
        super().__init__()
        self.reader = reader
        self.places = nn.Conv2d(channels, len(FINDS), 1)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits by head, and `places` (B, 3, h, w): nothing, another lesion, a malignant one."""
        kept: list[torch.Tensor] = []
        hook = self.reader.features.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            found = self.reader(image)
        finally:
            hook.remove()
        return {**found, "places": self.places(kept[0])}


class ReadingLoss(nn.Module):
    """Mean cross-entropy of the heads, and of the map of places.

    Args:
        items: of the training section; rare words weigh more, by the inverse root of their share.
        classes: see `reading_items`.
        places_weight: of the map; 0 leaves it out.
    """

    def __init__(
        self, items: Sequence[Mapping[str, Any]], classes: Mapping[str, Sequence[str]], places_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.heads, self.places_weight = list(classes), float(places_weight)
        for head, words in classes.items():
            counts = torch.tensor([sum(answer(item, head) == word for item in items) for word in words]).float()
            weights = (counts.sum() / (len(words) * counts.clamp(min=1))).sqrt()
            self.register_buffer(f"weights_{head}", weights)
        self.register_buffer("weights_of_places", torch.tensor([BACKGROUND_WEIGHT, 1.0, 1.0]))

    def forward(self, pred: Mapping[str, torch.Tensor], target: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Scalar; `pred` as of `ReaderInTraining`, `target` as of `ReadingPrepareBatch`."""
        answers, places = target
        total = pred["places"].float().sum() * 0
        for number, head in enumerate(self.heads):
            told = answers[:, number] != NO_ANSWER
            if told.any():
                weight = getattr(self, f"weights_{head}").to(answers.device)
                loss = functional.cross_entropy(pred[head].float()[told], answers[told, number], reduction="none")
                total = total + (loss * weight[answers[told, number]]).mean() / len(self.heads)
        if self.places_weight:
            pooled = functional.adaptive_max_pool2d(places.float(), pred["places"].shape[2:])[:, 0].long()
            weight = self.weights_of_places.to(answers.device)
            if (pooled != UNSURE).any():
                loss = functional.cross_entropy(pred["places"].float(), pooled, weight, ignore_index=UNSURE)
                total = total + self.places_weight * loss
        return total


class HeadOutput:
    """Output transform of metrics: probabilities (or logits) and answers of one head, without those that lack one.

    Args:
        head: its name.
        number: its place among the answers.
        score: give the probability of the last word instead of all logits.
    """

    def __init__(self, head: str, number: int, score: bool = False) -> None:
        self.head, self.number, self.score = head, number, score

    def __call__(self, output: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """From an engine's output to predictions (n, classes) or scores (n,) and answers (n,)."""
        answers = output[Keys.LABEL][0][:, self.number]
        told = answers != NO_ANSWER
        logits = output[Keys.PRED][self.head].float()[told]
        return (logits.softmax(1)[:, -1] if self.score else logits), answers[told]


def reading_metrics(classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Ignite metrics of a validation: `<head>_accuracy`, and of a head with two words `<head>_auc`."""
    metrics: dict[str, Any] = {}
    for number, (head, words) in enumerate(classes.items()):
        metrics[f"{head}_accuracy"] = Accuracy(HeadOutput(head, number))
        if len(words) == 2:
            metrics[f"{head}_auc"] = EpochMetric(_auc, HeadOutput(head, number, score=True), check_compute_fn=False)
    return metrics


def _auc(scores: torch.Tensor, answers: torch.Tensor) -> float:
    return roc_auc(scores.numpy(), answers.numpy() == 1)


def head_sizes(classes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Number of words by head, as `MammogramReader` takes it."""
    return {head: len(words) for head, words in classes.items()}
