"""A small network that reads a mammogram: its view, its vendor, or whether what it shows is malignant.

It judges synthetic images by what was asked of them, and stands in for the unnamed diagnosis system in figure 6 of
Montoya-del-Angel et al. 2023 (arXiv 2311.09822).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import InputError
from ..knobs import check_choice

POOLINGS = ("mean", "max", "both")
PLACES = "places"


class MammogramReader(nn.Module):
    """Convolutions, then features pooled over the image, then a linear layer a head.

    The mean of a feature tells of the whole breast, its largest value of something small in it. Grad-CAM weighs a
    feature as if both were one, and then points anywhere: a reader that has to show where it looks takes `max` alone.
    Nor do labels of whole images teach it a lesion of a few pixels soon; `places` lets its training say where they are.

    The first convolution is not normalised, so that absolute grey values reach the heads. The last feature map is the
    output of the module `features`, for Grad-CAM.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        channels: Sequence[int] = (16, 32, 48, 64),
        in_channels: int = 1,
        downsamplings: int = 3,
        groups: int = 8,
        dropout: float = 0.1,
        pooling: str = "both",
        places: int = 0,
    ) -> None:
        """Build the network.

        Args:
            heads: number of classes by head.
            channels: features of each stage; two convolutions a stage.
            in_channels: of the image.
            downsamplings: the first so many stages halve the grid; the feature map is 2**downsamplings times coarser
                than the image.
            groups: of the normalisations; divides every number of channels.
            dropout: on the pooled features, in training.
            pooling: `mean`, `max` or `both`.
            places: number of classes that each place of the feature map is put in besides; 0 for none.

        Raises:
            InputError: no heads, a head with less than 2 classes or of the name `places`, or sizes that do not fit
                together.
        """
        super().__init__()
        small = [name for name, count in heads.items() if count < 2]
        if not heads or small or PLACES in heads:
            raise InputError(f"heads={dict(heads)}: give each a name and at least 2 classes, such as {{'view': 2}}")
        check_choice("pooling", pooling, POOLINGS)
        if not 1 <= downsamplings <= len(channels) or any(count % groups for count in channels):
            raise InputError(
                f"channels={list(channels)}: give multiples of groups={groups}, at least downsamplings={downsamplings}"
            )
        stages, before = [], in_channels
        for stage, count in enumerate(channels):
            stride = 2 if stage < downsamplings else 1
            first = nn.Conv2d(before, count, 3, stride, 1)
            stages += [first, *([nn.GroupNorm(groups, count)] if stage else []), nn.SiLU()]
            stages += [nn.Conv2d(count, count, 3, 1, 1), nn.GroupNorm(groups, count), nn.SiLU()]
            before = count
        self.features = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.pooling = pooling
        pooled = 2 * before if pooling == "both" else before
        self.heads = nn.ModuleDict({name: nn.Linear(pooled, count) for name, count in heads.items()})
        self.places = nn.Conv2d(before, places, 1) if places else None

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (B, classes) by head and, if there are `places`, theirs (B, places, H', W') under that name.

        Args:
            image: (B, in_channels, H, W) in [-1, 1]; H' and W' are theirs by 2**downsamplings, rounded up.
        """
        features = self.features(image)
        parts = [features.mean((2, 3))] if self.pooling != "max" else []
        parts += [features.amax((2, 3))] if self.pooling != "mean" else []
        pooled = self.dropout(torch.cat(parts, dim=1))
        logits = {name: head(pooled) for name, head in self.heads.items()}
        return logits if self.places is None else logits | {PLACES: self.places(features)}


class OneHead(nn.Module):
    """A reader as a plain classifier by one of its heads, as `monai.visualize` takes it.

    The feature map is at `reader.features`.
    """

    def __init__(self, reader: MammogramReader, head: str) -> None:
        """Wrap a reader, without copying it.

        Raises:
            InputError: the reader has no such head.
        """
        super().__init__()
        if head not in reader.heads:
            raise InputError(f"head {head}: the reader has {', '.join(reader.heads)}")
        self.reader, self.head = reader, head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes) of images (B, in_channels, H, W) in [-1, 1]."""
        return self.reader(image)[self.head]
