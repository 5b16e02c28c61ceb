"""Training items of text-conditioned diffusion from cached latents: generation and inpainting by one network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..cohorts.mammogram_prompts import MammogramAttributes, random_prompt
from ..engines.seeding import derive_seed
from ..errors import InputError
from ..networks.prompt_tokenizer import token_ids
from ..transforms.breast_area import area_word
from .cache import LatentCache

logger = logging.getLogger(__name__)
# Of healthy images that are generated, the share whose prompt says so; the plain sentence means them too.
SAYS_HEALTHY = 0.3
# Of regions to fill, the share whose prompt names the lesion alone, and among these the share that calls it "a lesion".
SHORT_PROMPT, GENERIC_LESION = 0.3, 0.3


class PairEncoder(nn.Module):
    """What `LatentCache` asks for, for an image and the same image with a region blank: (B, 2, H, W) to 2 L channels.

    Args:
        network: composite network; the masked image's latent is kept without deviation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation, (B, 2 L, h, w); see the class."""
        mean, std = self.network.encode(image[:, :1])
        masked = self.network.encode(image[:, 1:])[0]
        return torch.cat([mean, masked], 1), torch.cat([std, torch.zeros_like(std)], 1)


def attributes_of(item: Mapping[str, Any], magnified: bool = False, number: int | None = None) -> MammogramAttributes:
    """What a datalist item's prompt may say.

    Args:
        item: of a datalist. Of an image of which nobody said whether it has lesions, nothing is said of them.
        magnified: it is shown as a close-up.
        number: of the lesion that is meant, 0 for a place without one; by default the first, for the whole image.
    """
    lesions = item.get("lesions", [])
    lesion = next((entry for entry in lesions if number is None or entry.get("number") == number), None)
    without = "none" if item.get("findings_known", True) and not lesions else None
    return MammogramAttributes(
        view=item.get("view"),
        vendor=item.get("vendor"),
        density=item.get("density"),
        area=None if item.get("area_ratio") is None else area_word(item["area_ratio"]),
        lesion=lesion["type"] if lesion else without,
        pathology=lesion.get("pathology") if lesion else None,
        magnified=magnified,
    )


class InpaintingLatents(Dataset):
    """Cached latents as training items: all draws derive from (seed, epoch, index).

    Args:
        cache: of a `PairEncoder`, from items of `RandInpaintingd`.
        items: the datalist, in the cache's order.
        network: measured composite network, for the normalisation.
        tokenizer: of the prompts.
        image_size: (H, W) of the network's images.
        num_timesteps: of the noise schedule.
        seed: of the whole training.
        inpaint_share: share of items that fill a region; the others draw the whole image, from an empty one under a
            mask of ones. A close-up is always filled.
        outside_weight, mask_weight: loss weight of a filled item: the first everywhere, plus the second in the mask,
            scaled to a mean of 1.
        caption_dropout: share of items with an empty prompt, for guidance.
        keep_attribute: probability with which each attribute is said.
        lesion_passes: how often an epoch passes over the cases with a lesion once more, to fill their regions; cohorts
            hold few of them.
        repeats: how often an epoch passes over all of this.
    """

    def __init__(
        self,
        cache: LatentCache,
        items: Sequence[Mapping[str, Any]],
        network: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        image_size: Sequence[int],
        num_timesteps: int = 1000,
        seed: int = 0,
        inpaint_share: float = 0.5,
        outside_weight: float = 0.3,
        mask_weight: float = 6.0,
        caption_dropout: float = 0.1,
        keep_attribute: float = 0.85,
        lesion_passes: int = 0,
        repeats: int = 1,
    ) -> None:
        self.cache, self.items, self.tokenizer = cache, items, tokenizer
        self.shift, self.scale = network.latent_shift[0].cpu(), network.latent_scale[0].cpu()
        self.paints = network.paints
        with torch.no_grad():
            nothing = torch.zeros(1, 1, *image_size, device=network.latent_shift.device)
            self.empty = network.normalize(network.encode(nothing)[0])[0].cpu()
        self.num_timesteps, self.seed, self.repeats = num_timesteps, seed, repeats
        self.unknown_vendors = _unknown_vendors(tokenizer, items)
        lesions = [case for case, item in enumerate(items) if "label" in item] if self.paints else []
        self.cases = [*range(len(items)), *lesions * lesion_passes]
        self.inpaint_share = inpaint_share if self.paints else 0.0
        self.outside_weight, self.mask_weight = outside_weight, mask_weight
        self.caption_dropout, self.keep_attribute = caption_dropout, keep_attribute
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random draws the next items get."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cases) * self.repeats

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, index))
        place = index % len(self.cases)
        case = self.cases[place]
        k = int(torch.randint(self.cache.mean.shape[1], (), generator=generator))
        mean, std, label = (
            torch.from_numpy(np.asarray(array[case, k], np.float32))
            for array in (self.cache.mean, self.cache.std, self.cache.mask)
        )
        count = len(self.scale)
        draws = torch.rand(3, generator=generator)
        noise = torch.randn(2, count, *mean.shape[1:], generator=generator)
        close_up = bool(label[1, 0, 0] > 0.5)
        fills = self.paints and (close_up or place >= len(self.items) or bool(draws[0] < self.inpaint_share))
        mask = label[:1] if fills else torch.ones_like(label[:1])
        masked = (mean[count:] - self.shift) / self.scale if fills else self.empty
        weight = self.outside_weight + self.mask_weight * mask if fills else torch.ones_like(mask)
        weight = weight / weight.mean()  # a small region counts as much as a large one
        number = int(label[2, 0, 0]) if fills else None
        prompt = "" if draws[1] < self.caption_dropout else self._prompt(case, close_up, number, generator)
        return {
            "latent": (mean[:count] + std[:count] * noise[0] - self.shift) / self.scale,
            "noise": noise[1],
            "timestep": (draws[2] * self.num_timesteps).long(),
            "plane": torch.cat([mask, masked]) if self.paints else mask[:0],
            "weight": weight,
            "token_ids": token_ids(self.tokenizer, [prompt])[0],
        }

    def _prompt(self, case: int, close_up: bool, number: int | None, generator: torch.Generator) -> str:
        attributes = attributes_of(self.items[case], close_up, number)
        if attributes.vendor in self.unknown_vendors:
            attributes = replace(attributes, vendor=None)
        fills = number is not None
        draws = torch.rand(2, generator=generator)
        if fills and draws[0] < SHORT_PROMPT:
            generic = attributes.lesion not in (None, "none") and draws[1] < GENERIC_LESION
            lesion, pathology = ("lesion", None) if generic else (attributes.lesion, attributes.pathology)
            attributes = MammogramAttributes(lesion=lesion, pathology=pathology, magnified=close_up)
        elif not fills and attributes.lesion == "none" and draws[1] >= SAYS_HEALTHY:
            attributes = replace(attributes, lesion=None)
        return random_prompt(attributes, generator, self.keep_attribute)


def _unknown_vendors(tokenizer: PreTrainedTokenizerBase, items: Sequence[Mapping[str, Any]]) -> set[str]:
    """Vendors of the items that the tokenizer has no word for; prompts leave them out."""
    unknown = set()
    for vendor in sorted({item["vendor"] for item in items if item.get("vendor")}):
        try:
            token_ids(tokenizer, [vendor])
        except InputError:
            unknown.add(vendor)
    if unknown:
        logger.warning(
            f"vendors that the tokenizer has no word for are not said in prompts: {', '.join(sorted(unknown))}"
        )
    return unknown
