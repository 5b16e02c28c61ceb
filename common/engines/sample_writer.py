"""Write each sample of a sampling run as a folder that appears whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from ..io.files import write_json
from ..io.segmentation_writer import SEG_NRRD, save_segmentation
from ..io.terminology import BRAIN_TUMOUR
from ..io.volumes import save_nifti
from ..outputs import PREVIEW, PROVENANCE, contrast_file, mask_file, sample_name
from ..reports.pictures import save_png
from ..reports.previews import case_preview
from ..sampling.plan import SamplePlan
from ..transforms.segment_regions import BACKGROUND, REGION_NAMES
from ..transforms.tumor_regions import as_regions, load_mask

logger = logging.getLogger(__name__)


class SampleWriter:
    """Handler of the sampling evaluator.

    Args:
        plan: names, folders and provenance of the samples.
        contrasts: names of the channels.
        output_grid: `input` (the mask's own) or `model`.
        mask_format: `nifti`, or `seg.nrrd` to write the mask for 3D Slicer too.
        description: text for headers; begins with SYNTHETIC.
    """

    def __init__(
        self,
        plan: SamplePlan,
        contrasts: Sequence[str],
        output_grid: str = "input",
        mask_format: str = "nifti",
        description: str = "SYNTHETIC",
    ) -> None:
        self.plan, self.contrasts = plan, tuple(contrasts)
        self.output_grid, self.mask_format, self.description = output_grid, mask_format, description

    def attach(self, engine: Engine) -> None:
        """Write after each batch, list all pairs at the end."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._write(item, output["pred"], item["image"])

    def _write(self, item: Mapping[str, Any], pred: torch.Tensor, condition: torch.Tensor) -> None:
        case, sample = str(item["case"]), int(item["sample"])
        name = sample_name(case, sample)
        image = torch.as_tensor(pred).detach().float().cpu().numpy()
        path = str(condition.meta["filename_or_obj"])
        mask, regions, affine, mapping = self._mask(path, name, condition, pred)

        folder = self.plan.output_dir / f".{name}.partial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        text = f"{self.description}, condition mask"
        save_nifti(folder / mask_file(case, sample), mask, affine, text)
        if self.mask_format == SEG_NRRD[1:]:
            there = {value: region for value, region in sorted(mapping.items()) if region and (mask == value).any()}
            kinds = {value: BRAIN_TUMOUR[REGION_NAMES[region]] for value, region in there.items()}
            drawn = np.where(np.isin(mask, list(kinds)), mask, 0)
            save_segmentation(folder / mask_file(case, sample, SEG_NRRD), drawn, affine, kinds, text)
        for contrast, volume in zip(self.contrasts, image, strict=True):
            save_nifti(
                folder / contrast_file(case, sample, contrast), volume, affine, f"{self.description}, {contrast}"
            )
        title = f"{self.description}   {name}"
        save_png(folder / PREVIEW, case_preview(image, regions, affine, self.contrasts, title), title)
        names = {value: REGION_NAMES[region] for value, region in sorted(mapping.items())}
        write_json(folder / PROVENANCE, {**self.plan.provenance[name], "regions": names})
        logger.info(f"written: {self.plan.replace(name, folder)}")

    def _mask(
        self, path: str, name: str, condition: torch.Tensor, pred: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, int]]:
        """On the output's grid: mask in the user's own values, in canonical values, affine; and how the two map."""
        source, mapping = load_mask(path, self.plan.labels(name), self.plan.references.get(name))
        values = torch.as_tensor(source[0]).to(torch.int16)
        if self.output_grid == "input":
            regions = torch.as_tensor(as_regions(source, mapping, path)[0]).to(torch.int16)
            affine = source.affine
        else:
            whole, *parts = torch.as_tensor(condition).cpu() > 0.5
            regions = whole.to(torch.int16) * 4
            for region, part in enumerate(parts, start=1):
                regions[part] = region
            values = torch.zeros_like(regions)
            for value, region in mapping.items():
                if region != BACKGROUND:
                    values[regions == region] = value
            affine = pred.affine
        dtype = np.uint8 if int(values.max()) < 256 and int(values.min()) >= 0 else np.int16
        return values.numpy().astype(dtype), regions.numpy().astype(np.uint8), np.asarray(affine, float), mapping

    def _finish(self, engine: Engine) -> None:
        path = self.plan.list_pairs(self.contrasts)
        logger.info(f"synthetic pairs: {path}")
