"""Write the synthetic phases of each case as a folder that appears whole: volumes, subtractions, MIPs, a picture."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from ..io.dicom_writer import write_dicom_series
from ..io.files import replace_folder, write_json
from ..io.volumes import save_nifti, save_nrrd
from ..outputs import PREVIEW, PROVENANCE, dce_file
from ..reports.pictures import save_png
from ..reports.previews import phases_preview
from ..sampling.case_plan import CasePlan
from ..transforms.intensity import restore
from ..transforms.projection import project
from ..transforms.subtraction import subtract

logger = logging.getLogger(__name__)
KINDS = ("phase", "subtraction", "mip")


class PhaseWriter:
    """Handler of the translating evaluator; one phase at a time, so that memory holds few volumes.

    Args:
        plan: names, folders and provenance of the cases.
        phases: numbers of the phases, in channel order.
        normalization: as in training. Under `minmax` the range of a synthetic phase is not known, so that subtractions
            and MIPs would mean nothing and are left out.
        output_format: `nifti`, `nrrd` or `dicom` (one series a volume).
        clip_subtraction: set losses of signal to 0 in subtraction volumes; MIPs always are of gains.
        description: text for headers; begins with SYNTHETIC.
        patient_id: PatientID of DICOM output.
    """

    def __init__(
        self,
        plan: CasePlan,
        phases: Sequence[int],
        normalization: str = "common",
        output_format: str = "nifti",
        clip_subtraction: bool = False,
        description: str = "SYNTHETIC",
        patient_id: str = "SYNTHETIC",
    ) -> None:
        self.plan, self.phases, self.output_format = plan, tuple(phases), output_format
        self.comparable = normalization == "common"
        self.clip_subtraction, self.description, self.patient_id = clip_subtraction, description, str(patient_id)

    def attach(self, engine: Engine) -> None:
        """Write after each batch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            folder = self.plan.output_dir / f".{item['case']}.partial"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                self._write(folder, item, output["pred"])
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, item: Mapping[str, Any], pred: MetaTensor) -> None:
        case = str(item["case"])
        # Normalised by own ranges, a phase's is not known: it gets that of the pre-contrast volume.
        scale = item["scale"] if "factor" in item["scale"] else next(iter(item["scale"].values()))
        scale = {key: float(value) for key, value in scale.items()}
        # The input again from its file: the batch's copy has been turned and scaled, and rounding would show.
        pre = item["source"]
        projections = []
        for phase, volume in zip(self.phases, pred, strict=True):
            volume = MetaTensor(restore(torch.as_tensor(volume)[None].cpu(), **scale), meta=dict(pre.meta))
            self._save(folder, case, "phase", phase, volume)
            if not self.comparable:
                continue
            difference = subtract(volume, pre, self.clip_subtraction)
            self._save(folder, case, "subtraction", phase, difference)
            mip = project(difference.clamp(min=0))
            self._save(folder, case, "mip", phase, mip)
            projections.append(mip)
        title = f"{self.description}   {case}"
        picture = phases_preview(pre, torch.as_tensor(pred).cpu(), scale, projections, self.phases, title)
        save_png(folder / PREVIEW, picture, title)
        if not self.comparable:
            logger.warning(f"{case}: phases have the range of the pre-contrast volume, not their own: no subtractions")
        write_json(folder / PROVENANCE, {**self.plan.provenance[case], "scale": scale})
        logger.info(f"written: {replace_folder(folder, self.plan.output_dir / case)}")

    def _save(self, folder: Path, case: str, kind: str, phase: int, volume: MetaTensor) -> None:
        array, affine = np.asarray(volume[0], np.float32), np.asarray(volume.affine, float)
        text = f"{self.description}, {kind} {phase}"
        if self.output_format == "nrrd":
            save_nrrd(folder / dce_file(case, kind, phase, ".nrrd"), array, affine, text)
        elif self.output_format == "dicom":
            record = self.plan.provenance[case]
            origin = str({key: record[key] for key in sorted(record) if key not in ("case", "input")})
            write_dicom_series(
                folder / dce_file(case, kind, phase, ""),
                array,
                affine,
                description=text,
                series_number=100 * (KINDS.index(kind) + 1) + phase,
                uid_root_text=origin,
                frame_of_reference_text=str(record["input_sha256"]),
                patient_id=self.patient_id,
                software=record["bundle"],
                software_version=record["version"],
            )
        else:
            save_nifti(folder / dce_file(case, kind, phase), array, affine, text)
