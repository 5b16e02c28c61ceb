"""Write each sampled MIP as a folder that appears whole, and a contact sheet of each mask's samples."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..cohorts.lesion_annotations import read_annotation, save_annotation, save_annotation_segments
from ..cohorts.pairs import find_mip_pairs, write_mip_datalist
from ..errors import InputError
from ..io.files import write_json
from ..io.segmentation_writer import SEG_NRRD
from ..io.volumes import save_nifti, save_nrrd
from ..outputs import PREVIEW, PROVENANCE, contact_sheet, mask_file, mip_file, sample_name
from ..reports.mip_pictures import CLASS_COLORS, class_picture, display, legend, mip_picture, outlined
from ..reports.pictures import mosaic, save_gray16, save_png
from ..sampling.plan import SamplePlan
from ..transforms.lesion_frame import LesionFrame

logger = logging.getLogger(__name__)
DESCRIPTION = "SYNTHETIC breast MRI subtraction MIP, not a patient"
SHEET_COLUMNS = 11
NIFTI, NRRD, PICTURE = ".nii.gz", ".nrrd", ".png"


class MipWriter:
    """Handler of the sampling evaluator.

    A sample's folder holds the MIP (float32 in [-1, 1]), a 16-bit PNG of it, the mask with its classes, a preview and
    the provenance.

    Args:
        plan: names, folders and provenance of the samples.
        size: pixels (X, Y) of the network's grid.
        label_meaning, classes, project: how masks were read, see `read_annotation`.
        output_grid: `input` (the mask's own pixels) or `model`.
        output_format: `nifti`, `nrrd`, or `auto`: NRRD where the mask is NRRD.
        mask_format: `nifti`, or `seg.nrrd` to write masks for 3D Slicer too; shares of raters are no segments.
    """

    def __init__(
        self,
        plan: SamplePlan,
        size: Sequence[int],
        label_meaning: str = "auto",
        classes: Any = None,
        project: bool = False,
        output_grid: str = "input",
        output_format: str = "auto",
        mask_format: str = "nifti",
    ) -> None:
        self.plan, self.size = plan, tuple(int(n) for n in size)
        self.reading = {"label_meaning": label_meaning, "classes": classes, "project": project}
        self.output_grid, self.output_format, self.mask_format = output_grid, output_format, mask_format

    def attach(self, engine: Engine) -> None:
        """Write after each batch; contact sheets and the list of all pairs at the end."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, lambda engine: self.finish())

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            path = str(item["image"].meta["filename_or_obj"])
            self._write(str(item["case"]), int(item["sample"]), path, output["pred"])

    def _write(self, case: str, sample: int, path: str, pred: torch.Tensor) -> None:
        name = sample_name(case, sample)
        image = torch.as_tensor(pred).detach().float().cpu().numpy()[0]
        if not np.isfinite(image).all():
            raise InputError(
                f"{name}: the sample is not finite; check the sampler's settings (eta, num_steps, precision)"
            )
        annotation = read_annotation(path, **self.reading)
        frame = LesionFrame(annotation, self.size)
        shown = frame.annotation_on_network(annotation)
        classes = shown.class_map()
        suffix = self._suffix(path)

        folder = self.plan.output_dir / f".{name}.partial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if self.output_grid == "input":
            written, affine = frame.image_to_file(image), annotation.affine
        else:
            written, affine = image, frame.network_affine
            annotation = shown
        text = f"{DESCRIPTION}: condition"
        save_annotation(folder / mask_file(case, sample), annotation, text)
        if self.mask_format == SEG_NRRD[1:] and annotation.fractions is not None:
            logger.warning(f"{name}: a soft mask has no segments; it is written as NIfTI alone")
        elif self.mask_format == SEG_NRRD[1:]:
            save_annotation_segments(folder / mask_file(case, sample, SEG_NRRD), annotation, CLASS_COLORS, text)
        mip = folder / mip_file(case, sample, suffix)
        if suffix == NRRD:
            save_nrrd(mip, written[..., None], affine, DESCRIPTION)
        else:
            save_nifti(mip, written[..., None], affine, DESCRIPTION)
        title = f"{DESCRIPTION}   {name}"
        save_gray16(folder / mip_file(case, sample, PICTURE), display((image + 1) / 2), title)
        row = [class_picture(classes), mip_picture(image), outlined(image, classes)]
        captions = ("mask", "SYNTHETIC MIP", legend(list(annotation.classes.values())))
        save_png(folder / PREVIEW, mosaic([row], captions, title), title)
        write_json(folder / PROVENANCE, self.plan.provenance[name])
        logger.info(f"written: {self.plan.replace(name, folder)}")

    def _suffix(self, path: str) -> str:
        if self.output_format == "auto":
            return NRRD if path.lower().endswith(NRRD) else NIFTI
        return NRRD if self.output_format == "nrrd" else NIFTI

    def finish(self) -> None:
        """Contact sheets (mask, then samples, as Figure 1 of the paper) and the `datalist.json` of all pairs."""
        for case in dict.fromkeys(record["case"] for record in self.plan.provenance.values()):
            self._contact_sheet(case)
        logger.info(f"synthetic pairs: {write_mip_datalist(self.plan.output_dir)}")

    def _contact_sheet(self, case: str) -> None:
        """All finished samples of a case, those of earlier runs too."""
        pairs = [pair for pair in find_mip_pairs(self.plan.output_dir) if pair["patient"] == case]
        mask = read_annotation(pairs[0]["label"])
        cells = [class_picture(LesionFrame(mask, self.size).annotation_on_network(mask).class_map())]
        for pair in sorted(pairs, key=lambda pair: int(pair["case"].removeprefix(f"{case}_sample"))):
            with Image.open(Path(pair["image"]).parent / f"{pair['case']}_mip{PICTURE}") as picture:
                cells.append((np.asarray(picture) / 257).astype(np.uint8))
        rows = [cells[start : start + SHEET_COLUMNS] for start in range(0, len(cells), SHEET_COLUMNS)]
        title = f"{DESCRIPTION}   {case}: mask, then {len(pairs)} samples"
        save_png(self.plan.output_dir / contact_sheet(case), mosaic(rows, [""] * SHEET_COLUMNS, title), title)
