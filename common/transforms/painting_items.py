"""Items of the mammogram samplers: a mammogram with a region to be painted, or nothing but a prompt."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from transformers import PreTrainedTokenizerBase

from ..errors import InputError
from ..io.mammogram_masks import load_mask
from ..io.mammograms import load_mammogram
from ..io.painted_files import AUTO, check_writable, format_of
from ..networks.prompt_tokenizer import token_ids
from .mammogram_painting import MammogramPainting

# Paintings kept in memory between reading and writing; one of full size takes about 200 MB.
KEPT = 2


class PaintingReader:
    """Reads mammogram and mask, once for a sample that is drawn and then written.

    Args:
        size: pixels along a side of the network's grid.
        crop, soft_edge, keep_detail: see `MammogramPainting`.
        any_modality, laterality, view: see `load_mammogram`.
        output_format: of what will be written, checked before anything is drawn.
    """

    def __init__(
        self,
        size: int,
        crop: bool = False,
        soft_edge: float = 0.3,
        keep_detail: bool = True,
        any_modality: bool = False,
        laterality: str | None = None,
        view: str | None = None,
        output_format: str = AUTO,
    ) -> None:
        self.size, self.output_format = int(size), output_format
        self.painting = {"crop": crop, "soft_edge": soft_edge, "keep_detail": keep_detail}
        self.reading = {"any_modality": any_modality, "laterality": laterality, "view": view}
        self._read = lru_cache(KEPT)(self._load)

    def __call__(self, image: str, mask: str) -> MammogramPainting:
        """The painting of a mammogram's and a mask's file.

        Raises:
            InputError: as `load_mammogram`, `load_mask` and `MammogramPainting`.
        """
        return self._read(str(image), str(mask))

    def _load(self, image: str, mask: str) -> MammogramPainting:
        mammogram = load_mammogram(image, **self.reading)
        check_writable(mammogram, format_of(mammogram, self.output_format))
        try:
            return MammogramPainting(mammogram, load_mask(mask), self.size, **self.painting)
        except InputError as error:
            raise InputError(f"{mask}: {error}" if str(error).startswith("mask") else str(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_read"}  # for workers of a data loader

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read = lru_cache(KEPT)(self._load)


class LoadPaintingd(MapTransform):
    """`image` (a path), with `mask`, to the network's input (2, size, size); the paths stay as `mammogram` and `mask`.

    Args:
        keys: `image`.
        reader: see `PaintingReader`.
    """

    def __init__(self, keys: KeysCollection, reader: PaintingReader) -> None:
        super().__init__(keys)
        self.reader = reader

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns the item with the array.

        Raises:
            InputError: no mask, or as `PaintingReader`.
        """
        item = dict(data)
        for key in self.keys:
            mask = item.get("mask", item.get("label"))
            if mask is None:
                raise InputError(f"{item[key]}: no mask; name the image in which the lesion is drawn")
            item |= {"mammogram": str(item[key]), "mask": str(mask)}
            item[key] = self.reader(item["mammogram"], item["mask"]).inputs()
        return item


class EmptyMammogramd(Transform):
    """Adds `image`, (2, size, size): nothing known, everything to be drawn.

    Args:
        size: pixels along a side of the network's grid.
    """

    def __init__(self, size: int) -> None:
        self.size = int(size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns the item with the array."""
        shape = (1, self.size, self.size)
        return {**data, "image": torch.cat([torch.zeros(shape), torch.ones(shape)])}


class PromptIdsd(Transform):
    """Adds `token_ids` of the item's prompt and `negative_ids`, each (T,).

    Args:
        tokenizer: of the weights.
        prompt: of items that have none of their own.
        negative_prompt: what guidance moves away from; empty for nothing in particular.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, prompt: str | None = None, negative_prompt: str | None = None
    ) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        self.negative_ids = token_ids(tokenizer, [negative_prompt or ""])[0]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns the item with the ids.

        Raises:
            InputError: as `token_ids`.
        """
        prompt = data.get("prompt", self.prompt)
        return {**data, "token_ids": token_ids(self.tokenizer, [prompt])[0], "negative_ids": self.negative_ids}
