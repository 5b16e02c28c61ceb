"""Subtraction images: what contrast has added, phase minus pre-contrast volume, in float and without wrapping round."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..io.volumes import describe_grid, same_grid


def subtract(post: torch.Tensor, pre: torch.Tensor, clip: bool = False) -> torch.Tensor:
    """`post - pre` on one grid, in float32; metadata of `post` is kept.

    Args:
        post: (C, X, Y, Z), one or more phases, any real data type.
        pre: (1, X, Y, Z), or one channel for each of `post`, in the same units.
        clip: set losses of signal to 0, as the paper does for display. They carry motion and noise, so that clipped
            images are biased upward; figures are better taken without.

    Raises:
        InputError: the volumes lie on different grids or their channels do not pair; tensors without geometry are
            compared by shape.
    """
    placed = isinstance(post, MetaTensor) and isinstance(pre, MetaTensor)
    if not (same_grid(post, pre) if placed else post.shape[-3:] == pre.shape[-3:]):
        names = [describe_grid(v) if placed else " x ".join(map(str, v.shape[-3:])) + " voxels" for v in (post, pre)]
        raise InputError(
            f"the post-contrast volume ({names[0]}) is not on the grid of the pre-contrast volume ({names[1]}); "
            "bring it there first"
        )
    if pre.shape[0] not in (1, post.shape[0]):
        raise InputError(f"{post.shape[0]} phases minus {pre.shape[0]} pre-contrast channels: give one, or one a phase")
    plain = pre.as_subclass(torch.Tensor).to(torch.float32)
    difference = post.to(torch.float32) - plain.to(post.device)
    return difference.clamp_(min=0) if clip else difference


class Subtractiond(MapTransform):
    """Dictionary form of `subtract`.

    Args:
        keys: post-contrast volumes (C, X, Y, Z).
        reference_key: pre-contrast volume.
        clip: as in `subtract`.
        output_key: where results go, one for each key; None replaces the volumes.

    Raises:
        InputError: as `subtract`, with the case and the key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str = "pre",
        clip: bool = False,
        output_key: str | Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reference_key, self.clip = reference_key, bool(clip)
        names = self.keys if output_key is None else (output_key,) if isinstance(output_key, str) else tuple(output_key)
        if len(names) != len(self.keys):
            raise InputError(f"output_key={output_key}: give one name for each of the keys {', '.join(self.keys)}")
        self.output_keys = names

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, output in self.key_iterator(item, self.output_keys):
            try:
                # From `data`: the reference may be among the keys and be replaced on the way.
                item[output] = subtract(data[key], data[self.reference_key], self.clip)
            except InputError as error:
                raise InputError(f"{item.get('case', 'case')}, {key}: {error}") from error
        return item
