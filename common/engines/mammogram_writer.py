"""Write each drawn or painted mammogram as a folder that appears whole, and a contact sheet."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..cohorts.mammogram_prompts import view_of
from ..errors import InputError
from ..io.files import sha256_of_json, write_json
from ..io.painted_files import AUTO, DESCRIPTION, DICOM, PAINTED, PNG, SUFFIXES, format_of, save_drawn, save_painted
from ..outputs import PREVIEW, PROVENANCE, SAMPLES_SHEET, mammogram_file, sample_name
from ..reports.mammogram_pictures import difference_picture, outlined, picture
from ..reports.pictures import mosaic, save_gray16, save_png
from ..sampling.plan import SamplePlan
from ..transforms.mammogram_painting import painting_facts
from ..transforms.painting_items import PaintingReader

logger = logging.getLogger(__name__)
SHEET_COLUMNS, CELL = 8, 192


class _Writer(ABC):
    """Handler of a sampling evaluator.

    Args:
        plan: names, folders and provenance of the samples.
    """

    title = DESCRIPTION

    def __init__(self, plan: SamplePlan) -> None:
        self.plan = plan

    def attach(self, engine: Engine) -> None:
        """Write after each batch, the contact sheet at the end."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, lambda engine: self.finish())

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            name = sample_name(str(item["case"]), int(item["sample"]))
            drawn = torch.as_tensor(output["pred"]).detach().float().cpu().numpy()[0]
            if not np.isfinite(drawn).all():
                raise InputError(f"{name}: the sample is not finite; check the sampler's settings")
            folder = self.plan.output_dir / f".{name}.partial"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            facts = self.write(folder, name, item, drawn)
            write_json(folder / PROVENANCE, {**self.plan.provenance[name], **facts})
            logger.info(f"written: {self.plan.replace(name, folder)}")

    @abstractmethod
    def write(self, folder: Path, name: str, item: dict[str, Any], drawn: np.ndarray) -> dict[str, Any]:
        """Write the files of one sample, image (H, W) in [-1, 1]; returns what its provenance is to say further."""

    def identity(self, name: str) -> tuple[str, tuple[str, str]]:
        """What UIDs derive from, and name and version of the bundle."""
        record = self.plan.provenance[name]
        return sha256_of_json(record), (record["bundle"], record["version"])

    def finish(self) -> None:
        """The contact sheet of all finished samples, those of earlier runs too."""
        cells = []
        for name in self.plan.provenance:
            with Image.open(self.plan.output_dir / name / PREVIEW) as preview:
                share = CELL / preview.height
                cells.append(np.asarray(preview.convert("RGB").resize((round(share * preview.width), CELL))))
        columns = max(1, min(len(cells), SHEET_COLUMNS * CELL // max(cell.shape[1] for cell in cells)))
        rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        title = f"{self.title}   {len(cells)} samples"
        save_png(self.plan.output_dir / SAMPLES_SHEET, mosaic(rows, [""] * columns, title), title)


class DrawnMammogramWriter(_Writer):
    """Writes mammograms that were drawn from text: the image, a preview, the provenance.

    Args:
        plan: see above.
        laterality: `L` keeps the chest wall on the left, `R` mirrors the image.
        output_format: `png` (16 bits), `nifti` or `dicom`.
    """

    def __init__(self, plan: SamplePlan, laterality: str = "L", output_format: str = PNG) -> None:
        super().__init__(plan)
        self.laterality, self.output_format = laterality, output_format
        for record in plan.provenance.values() if output_format == DICOM else ():
            if view_of(record["prompt"]) is None:
                raise InputError(
                    f"prompt {record['prompt']!r}: names no view (such as 'in MLO view'), which a DICOM file needs; "
                    "name one, or say --output_format png"
                )

    def write(self, folder: Path, name: str, item: dict[str, Any], drawn: np.ndarray) -> dict[str, Any]:
        """See the class."""
        display = (drawn + 1) / 2
        display = display[:, ::-1] if self.laterality == "R" else display
        identity, software = self.identity(name)
        path = folder / mammogram_file(name, SUFFIXES[self.output_format])
        view = view_of(str(item["prompt"]))
        save_drawn(
            path,
            display,
            self.output_format,
            identity=identity,
            laterality=self.laterality,
            view=view,
            software=software,
        )
        title = f"{DESCRIPTION}: {item['prompt']}"
        save_png(folder / PREVIEW, mosaic([[picture(display)]], [""], title), title)
        return {}


class PaintedMammogramWriter(_Writer):
    """Writes mammograms into which a lesion was painted: image, mask, before and after, provenance.

    Args:
        plan: see above.
        reader: see `PaintingReader`.
        output_format: `png`, `nifti`, `dicom`, or `auto`: that of the input.
    """

    title = PAINTED

    def __init__(self, plan: SamplePlan, reader: PaintingReader, output_format: str = AUTO) -> None:
        super().__init__(plan)
        self.reader, self.output_format = reader, output_format

    def write(self, folder: Path, name: str, item: dict[str, Any], drawn: np.ndarray) -> dict[str, Any]:
        """See the class."""
        painting = self.reader(item["mammogram"], item["mask"])
        mammogram = painting.mammogram
        kind = format_of(mammogram, self.output_format)
        identity, software = self.identity(name)
        pixels = painting.paint(drawn)
        path = folder / mammogram_file(name, SUFFIXES[kind])
        save_painted(path, pixels, mammogram, kind, identity=identity, software=software)
        save_gray16(folder / mammogram_file(name, ".png", "mask"), painting.mask.astype(np.float32), f"{PAINTED}: mask")
        before, after = painting.display, mammogram.window.display(pixels)
        row = [outlined(picture(before), painting.mask), picture(after), difference_picture(before, after)]
        title = f"{PAINTED}   {name}"
        save_png(folder / PREVIEW, mosaic([row], ("before, mask", "SYNTHETIC lesion", "difference"), title), title)
        return painting_facts(painting)
