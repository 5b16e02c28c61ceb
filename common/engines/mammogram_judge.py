"""Networks, sampler and instruments of an evaluation of mammogram synthesis: what draws, what fills, what measures."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from ..errors import InputError
from ..io.mammogram_pictures import WHITE
from ..io.mammograms import Mammogram
from ..metrics.features import FeatureExtractor
from ..metrics.mammogram_attributes import DensityScale, density_index, measured_attributes
from ..metrics.ssim import ms_ssim
from ..networks.mammogram_reader import MammogramReader, OneHead
from ..networks.prompt_tokenizer import token_ids
from ..transforms.breast_area import area_ratio, area_word, breast_mask
from ..transforms.mammogram_painting import MammogramPainting
from ..transforms.mammogram_training import LoadMammogramd
from ..transforms.pixel_window import PixelWindow
from .reading_items import MALIGNANT

WINDOW = 11  # pixels; of MS-SSIM, torchmetrics' default, which the original used


class MammogramJudge:
    """All images here are display values (H, W), float32 in [0, 1], on the network's grid, chest wall on the left.

    Args:
        network: composite network with weights.
        sampler: callable inferer.
        tokenizer: of the prompts.
        reader: MammogramReader of view, vendor and density, trained on real images alone.
        cad: MammogramReader of malignancy, trained on real images alone.
        classes: words by head of the `reader`.
        extractors: of the distribution distances, by name.
        negative_prompt: see `PromptIdsd`.
        soft_edge: see `MammogramPainting`.
        painting_guidance: for filling regions in the whole view and in a close-up, in place of the sampler's own.
        device: of networks and sampling.
        batch_size: samples at once.
    """

    def __init__(
        self,
        network: Any,
        sampler: Any,
        tokenizer: PreTrainedTokenizerBase,
        reader: MammogramReader,
        cad: MammogramReader,
        classes: Mapping[str, Sequence[str]],
        extractors: Mapping[str, FeatureExtractor],
        negative_prompt: str | None = None,
        soft_edge: float = 0.3,
        painting_guidance: Sequence[float] | None = None,
        device: str = "cpu",
        batch_size: int = 4,
    ) -> None:
        self.network, self.sampler, self.tokenizer = network.to(device).eval(), copy.copy(sampler), tokenizer
        self.sampler.progress = False
        self.reader, self.cad = reader.to(device).eval(), OneHead(cad, MALIGNANT).to(device).eval()
        self.classes, self.extractors = {k: list(v) for k, v in classes.items()}, dict(extractors)
        self.negative_ids = token_ids(tokenizer, [negative_prompt or ""])
        self.soft_edge, self.device, self.batch_size = soft_edge, device, batch_size
        self.painting_guidance = painting_guidance
        self.size = network.image_size
        self._load = LoadMammogramd(["image", "label", "breast"], (self.size, self.size))

    def load(self, item: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """`image` as above, `breast` bool (H, W), `label` uint8 (H, W), 0 where the item has none."""
        data = self._load(dict(item))
        image = (data["image"][0].numpy() + 1) / 2
        breast = data["breast"][0].numpy() > 0 if "breast" in data else breast_mask(image)
        return {"image": image, "breast": breast, "label": data["label"][0].numpy()}

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], guidance: float | None = None) -> np.ndarray:
        """Mammograms from text, (N, H, W); `guidance` in place of the sampler's own."""
        empty = torch.zeros(len(prompts), 1, self.size, self.size)
        drawn = self._sample(torch.cat([empty, torch.ones_like(empty)], 1), prompts, seeds, guidance)
        return ((drawn + 1) / 2).numpy()

    def paint(
        self, image: np.ndarray, mask: np.ndarray, prompts: Sequence[str], seed: int, crops: Sequence[bool]
    ) -> list[np.ndarray]:
        """An image with a region filled, as a user gets it: one result for each prompt and crop, of the same noise.

        Raises:
            InputError: see `MammogramPainting`.
        """
        paintings = [MammogramPainting(_in_memory(image), mask, self.size, crop, self.soft_edge) for crop in crops]
        inputs = torch.stack([painting.inputs() for painting in paintings])
        drawn = torch.empty(len(inputs), self.size, self.size)
        for crop in sorted(set(crops)):
            group = [k for k, other in enumerate(crops) if other == crop]
            guidance = None if self.painting_guidance is None else self.painting_guidance[crop]
            drawn[group] = self._sample(inputs[group], [prompts[k] for k in group], [seed] * len(group), guidance)
        painted = [painting.paint(part.numpy()) for painting, part in zip(paintings, drawn, strict=True)]
        return [(stored / WHITE).astype(np.float32) for stored in painted]

    @torch.no_grad()
    def _sample(
        self, inputs: torch.Tensor, prompts: Sequence[str], seeds: Sequence[int], guidance: float | None
    ) -> torch.Tensor:
        """Images (N, H, W) in [-1, 1], on the CPU."""
        sampler = copy.copy(self.sampler)
        sampler.guidance_scale = sampler.guidance_scale if guidance is None else float(guidance)
        ids = token_ids(self.tokenizer, prompts)
        found = []
        for start in range(0, len(inputs), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = inputs[part].to(self.device)
            found.append(
                sampler(
                    inputs=batch,
                    network=self.network,
                    seeds=list(seeds)[part],
                    token_ids=ids[part].to(self.device),
                    negative_ids=self.negative_ids.expand(len(batch), -1).to(self.device),
                )
            )
        return torch.cat([part.float().cpu() for part in found])[:, 0].clamp(-1, 1)

    def index(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """What a density scale is fitted on: `index` (None where the image has no breast), `density`, `vendor`."""
        image = self.load(item)["image"]
        try:
            index = density_index(image, breast_mask(image), item["view"])
        except InputError:
            index = None
        return {"index": index, "density": item["density"], "vendor": item["vendor"]}

    @torch.no_grad()
    def measure(self, image: np.ndarray, asked: Mapping[str, str | None], scale: DensityScale | None) -> dict[str, Any]:
        """Attributes of an image as words: area and density by measuring, `view`, `vendor`, `density_read` by reading.

        Density is measured on the scale of the vendor that was asked for. An image without anything like a breast has
        neither area nor density (None).
        """
        logits = self.reader(self._batch(image))
        read = {head: self.classes[head][int(part.argmax())] for head, part in logits.items()}
        found: dict[str, Any] = {"area": None, "area_ratio": None, "density": None, "density_index": None}
        try:
            breast = breast_mask(image)
            found |= {"area": area_word(area_ratio(breast)), "area_ratio": area_ratio(breast)}
            if scale is not None and (asked["vendor"] or "unknown") in scale.cuts:
                found |= measured_attributes(image, breast, asked["view"], asked["vendor"], scale)
        except InputError:
            pass  # what cannot be measured is a miss
        density = read.pop("density", None)
        return {**found, **read, "density_read": density}

    @torch.no_grad()
    def malignancy(self, image: np.ndarray) -> float:
        """The classifier's probability that a malignant lesion is there."""
        return float(self.cad(self._batch(image)).softmax(1)[0, 1])

    def features(self, image: np.ndarray) -> dict[str, list[float]]:
        """Features by extractor."""
        batch = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
        return {name: extractor(batch)[0].tolist() for name, extractor in self.extractors.items()}

    def _batch(self, image: np.ndarray) -> torch.Tensor:
        return self.tensor(image)[None].to(self.device)

    @staticmethod
    def tensor(image: np.ndarray) -> torch.Tensor:
        """(1, H, W) in [-1, 1]."""
        return torch.from_numpy(np.ascontiguousarray(image, np.float32))[None] * 2 - 1


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """MS-SSIM of two images (H, W) in [0, 1]: window of 11, data range 1."""
    pair = (torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None] for image in (first, second))
    return float(ms_ssim(*pair, data_range=1.0, window_size=WINDOW))


def _in_memory(image: np.ndarray) -> Mammogram:
    """Display values as the 16-bit file that they would be."""
    return Mammogram(
        pixels=np.rint(np.clip(image, 0, 1) * WHITE).astype(np.uint16),
        window=PixelWindow.linear(0, WHITE),
        spacing=None,
        laterality=None,
        view=None,
        vendor=None,
        path=Path(),
        header=None,
        bits_stored=16,
        photometric="MONOCHROME2",
        modality=None,
    )
