"""The mammogram model as a graphical tool uses it: loaded once, asked for one image at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from ..errors import InputError
from ..io.files import sha256_of_json
from ..io.mammograms import Mammogram
from ..knobs import as_path, check_knob
from ..networks.diffusers_folder import is_pipeline
from ..preflight import check_device
from ..provenance import sampling_facts
from ..transforms.mammogram_painting import MammogramPainting
from ..transforms.painting_items import EmptyMammogramd, PromptIdsd

OnStep = Callable[[int, int], None]
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Painted:
    """A mammogram with a lesion painted into it.

    Attributes:
        painting: mammogram, mask and geometry.
        pixels: (H, W), stored values, of the file's own type; outside the mask those of the file.
        after: (H, W) float32, display values in [0, 1] of `pixels`; those before are `painting.display`.
    """

    painting: MammogramPainting
    pixels: np.ndarray
    after: np.ndarray


class MammogramModel:
    """Network, tokenizer and sampler as the bundle's own configs describe them.

    Args:
        bundle_root: folder of the mammogram bundle.
        weights: a `model.pt` of the bundle's network, or a pipeline in diffusers layout (folder, or `owner/name` of the
            hub) of any size; the bundle's own where None.
        device: `cpu`, `cuda`, `cuda:N`, or `auto`, which is what the config says.
        revision: commit of the hub's repository.

    Attributes:
        is_shipped: whether the weights are those that the bundle ships.
        is_pipeline: whether they are a diffusers pipeline.
        guidance_scale: the config's own default, which is meant for the shipped weights.
        painting_guidance: the same for filling a region in the whole view and in a close-up.
        software: name and version of the bundle.

    Raises:
        InputError: weights or device that cannot be used.
    """

    def __init__(
        self, bundle_root: str | Path, weights: Any = None, device: str = "auto", revision: str | None = None
    ) -> None:
        root = Path(bundle_root)
        config = _config(root, "generate.json")
        own = as_path(config.get_parsed_content("weights"))
        self.is_shipped = weights is None or as_path(weights).resolve() == own.resolve()
        if not self.is_shipped:
            check_knob("weights", weights)
            config["weights"], config["revision"] = str(as_path(weights)), revision
        if device != "auto":
            config["device"] = str(check_device(device))
        self.is_pipeline = is_pipeline(config.get_parsed_content("weights"))
        self.name = "shipped weights" if self.is_shipped else as_path(weights).name
        self.guidance_scale = float(config.get_parsed_content("guidance_scale"))
        weights_id = config.get_parsed_content("provenance::weights_id")
        self.network = config.get_parsed_content("network")
        self.tokenizer = config.get_parsed_content("tokenizer")
        self.device = torch.device(config.get_parsed_content("device"))
        self._inferer = config.get_parsed_content("inferer")
        painting, close_up = (_config(root, "inference.json") for _ in range(2))
        close_up["crop"] = True
        self._painting = {key: painting[key] for key in ("soft_edge", "keep_detail")}
        self.painting_guidance = [float(part.get_parsed_content("guidance_scale")) for part in (painting, close_up)]
        self._example = painting.get_parsed_content("input")
        facts = {"sampler": config["sampler"], "noise_schedule": self.network.schedule_facts}
        self._facts = sampling_facts(root, config.get_parsed_content("weights"), facts, weights_id)
        self.software = (self._facts["bundle"], self._facts["version"])

    @property
    def example(self) -> Path | None:
        """The mammogram that the bundle ships; None where it ships none."""
        path = Path(self._example)
        return path if path.is_file() else None

    def identity(self, **knobs: Any) -> str:
        """What names an image that was made with some knobs, as hexadecimal hash; DICOM UIDs derive from it."""
        return sha256_of_json({**self._facts, **knobs})

    def generate(
        self,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float | None = None,
        num_steps: int = 24,
        seed: int = 0,
        laterality: str = "L",
        on_step: OnStep | None = None,
    ) -> np.ndarray:
        """A mammogram from text.

        Args:
            prompt: a sentence.
            negative_prompt: what guidance moves away from.
            guidance_scale: see `LatentDiffusionSampler`; the config's own where None.
            num_steps: network calls.
            seed: of this image, used as it is. The command line derives each sample's seed from its `--seed` and the
                sample's name, and writes it into the provenance: that number gives the same image here.
            laterality: `R` mirrors the image, so that the chest wall is on the right.
            on_step: called with the number of steps done and of all; stops by raising.

        Returns:
            Display values (H, W), float32 in [0, 1].

        Raises:
            InputError: a prompt that the text encoder cannot read, or settings that the sampler refuses.
        """
        if laterality not in ("L", "R"):
            raise InputError(f"laterality={laterality}: use L or R")
        empty = EmptyMammogramd(self.network.image_size)({})["image"]
        guidance = self.guidance_scale if guidance_scale is None else guidance_scale
        drawn = self._sample(empty, prompt, negative_prompt, guidance, num_steps, seed, on_step)
        display = (drawn + 1) / 2
        return np.ascontiguousarray(display[:, ::-1]) if laterality == "R" else display

    def paint(
        self,
        mammogram: Mammogram,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str = "",
        guidance_scale: float | None = None,
        num_steps: int = 24,
        seed: int = 0,
        crop: bool = False,
        on_step: OnStep | None = None,
    ) -> Painted:
        """A lesion painted into a mammogram.

        Args:
            mammogram: as read from its file.
            mask: (H, W), non-zero where the lesion is to be.
            crop: show the network the surroundings of the mask at finer resolution.
            prompt, negative_prompt, guidance_scale, num_steps, seed, on_step: see `generate`.

        Raises:
            InputError: as `generate` and `MammogramPainting`, or weights that cannot inpaint.
        """
        painting = MammogramPainting(mammogram, mask, self.network.image_size, crop=crop, **self._painting)
        inputs = painting.inputs()
        guidance = self.painting_guidance[crop] if guidance_scale is None else guidance_scale
        drawn = self._sample(inputs, prompt, negative_prompt, guidance, num_steps, seed, on_step)
        pixels = painting.paint(drawn)
        return Painted(painting, pixels, mammogram.window.display(pixels))

    def _sample(
        self,
        inputs: torch.Tensor,
        prompt: str,
        negative_prompt: str,
        guidance_scale: float,
        num_steps: int,
        seed: int,
        on_step: OnStep | None,
    ) -> np.ndarray:
        """One image (H, W) in [-1, 1]. A batch of one each time, so that an image doesn't depend on its neighbours."""
        if not 0 <= int(seed) <= LARGEST_SEED:
            raise InputError(f"seed={seed}: give a whole number from 0 to {LARGEST_SEED}")
        ids = PromptIdsd(self.tokenizer, negative_prompt=negative_prompt)({"prompt": prompt})
        sampler = type(self._inferer)(
            self._inferer.scheduler,
            num_steps=num_steps,
            guidance_scale=float(guidance_scale),
            eta=self._inferer.eta,
            precision=self._inferer.precision,
            progress=False,
        )
        sampler.on_step = on_step
        drawn = sampler(
            inputs[None].to(self.device),
            self.network,
            seeds=[int(seed)],
            token_ids=ids["token_ids"][None],
            negative_ids=ids["negative_ids"][None],
        )[0, 0]
        if not torch.isfinite(drawn).all():
            raise InputError("the image is not finite; choose another guidance or number of steps")
        return drawn.clamp(-1, 1).cpu().numpy()


def _config(root: Path, name: str) -> ConfigParser:
    """A config of the bundle; nothing of it is built yet."""
    path = root / "configs" / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of the mammogram bundle")
    config = ConfigParser(json.loads(path.read_text(encoding="utf-8")))
    config["bundle_root"] = str(root)
    return config
