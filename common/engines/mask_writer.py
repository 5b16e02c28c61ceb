"""Write the tumour mask of each case as a folder that appears whole: the mask, a picture, provenance."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from ..errors import InputError
from ..io.dicom_segmentation import write_dicom_segmentation
from ..io.files import replace_folder, write_json
from ..io.segmentation_writer import SEG_NRRD, save_segmentation
from ..io.terminology import BREAST_TUMOUR
from ..io.volumes import save_nifti, save_nrrd
from ..outputs import PREVIEW, PROVENANCE, tumour_mask_file
from ..reports.mask_preview import mask_preview
from ..reports.pictures import save_png
from ..sampling.case_plan import CasePlan

logger = logging.getLogger(__name__)
SUFFIXES = {"nifti": ".nii.gz", "nrrd": ".nrrd", "seg.nrrd": SEG_NRRD, "dicom": ".dcm"}
TUMOUR = {1: BREAST_TUMOUR}


class MaskWriter:
    """Handler of the segmenting evaluator.

    Args:
        plan: names, folders and provenance of the cases.
        output_format: `nifti` or `nrrd` (label map), `seg.nrrd` (segmentation of 3D Slicer), `dicom` (DICOM SEG of a
            DICOM series).
        description: text for headers.
    """

    def __init__(
        self, plan: CasePlan, output_format: str = "nifti", description: str = "tumour mask by nnU-Net, not reviewed"
    ) -> None:
        self.plan, self.output_format, self.description = plan, output_format, description

    def attach(self, engine: Engine) -> None:
        """Write after each batch.

        Raises:
            InputError: DICOM segmentations are asked for, and an image is no DICOM series.
        """
        if self.output_format == "dicom":
            for item in self.plan.items:
                if not self.plan.sources[item["case"]].is_dir():
                    raise InputError(
                        f"{item['case']}: DICOM segmentations refer to a DICOM series; choose another --output_format"
                    )
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            case = str(item["case"])
            folder = self.plan.output_dir / f".{case}.partial"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                self._write(folder, case, item, output["pred"])
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, case: str, item: Mapping[str, Any], pred: MetaTensor) -> None:
        source: MetaTensor = item["source"]
        mask = torch.as_tensor(pred)[0].cpu().numpy().round().astype(np.uint8)
        found = bool(mask.any())
        # A DICOM segmentation has at least one frame: one without a tumour cannot be written.
        if found or self.output_format != "dicom":
            path = folder / tumour_mask_file(case, SUFFIXES[self.output_format])
            self._save(path, case, mask, np.asarray(source.affine, float))
        volume = float(mask.astype(bool).sum() * np.abs(np.linalg.det(np.asarray(source.affine, float)[:3, :3])) / 1000)
        if not found:
            logger.warning(f"{case}: no tumour was found")
        save_png(folder / PREVIEW, mask_preview(source, mask > 0, f"{case}   {volume:.1f} ml"), self.description)
        write_json(folder / PROVENANCE, {**self.plan.provenance[case], "tumour_ml": round(volume, 4)})
        logger.info(f"written: {replace_folder(folder, self.plan.output_dir / case)}")

    def _save(self, path: Path, case: str, mask: np.ndarray, affine: np.ndarray) -> None:
        if self.output_format == "seg.nrrd":
            save_segmentation(path, mask, affine, TUMOUR, self.description)
        elif self.output_format == "nrrd":
            save_nrrd(path, mask, affine, self.description)
        elif self.output_format == "dicom":
            record = self.plan.provenance[case]
            facts = {key: record[key] for key in sorted(record) if key not in ("case", "input")}
            write_dicom_segmentation(
                path,
                mask,
                affine,
                TUMOUR,
                self.plan.sources[case],
                description=self.description,
                software=(record["bundle"], record["version"]),
                uid_root_text=str(facts),
            )
        else:
            save_nifti(path, mask, affine, self.description)
