"""Images that an evaluation keeps beside its records, and the search for copies of training images among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.image_stream import middle_slice
from ..evaluation.memorisation import add_memorisation, copy_rows
from ..io.files import write_atomically
from ..io.tables import write_csv
from ..metrics.copies import find_copies
from ..outputs import COPIES_CSV, COPY_SHEET, SAMPLES_SHEET
from ..reports.contact_sheet import save_contact_sheet
from ..reports.copy_sheet import save_copy_sheet
from ..reports.report import Figure, Report
from .case_records import CaseRecords

Items = Sequence[Mapping[str, Any]]
SAMPLE, REAL = "sample", "real"


@dataclass(frozen=True)
class CopySets:
    """What is compared.

    Attributes:
        samples: items, or requests, of which a sample was kept.
        training: items that the model was trained on, of which the real image was kept.
        held_out: real items that it was not trained on, likewise: they say what an honest distance is.
    """

    samples: Items
    training: Items
    held_out: Items


class KeptImages:
    """One image, or volume, an item and kind, in half precision.

    Args:
        records: of the evaluation; images of other facts are not reused.
    """

    def __init__(self, records: CaseRecords) -> None:
        self.records = records

    def keep(self, kind: str, item: Mapping[str, Any], image: np.ndarray) -> None:
        """Write an image, before the record that it belongs to.

        Args:
            kind: `SAMPLE` or `REAL`.
            item: of the datalist.
            image: (H, W) or (X, Y, Z), on [0, 1] or standardised.
        """
        half = np.asarray(image, np.float16)
        write_atomically(self._path(kind, item), lambda temporary: np.save(temporary, half))

    def load(self, kind: str, item: Mapping[str, Any]) -> np.ndarray:
        """An image that was kept, float32."""
        return np.load(self._path(kind, item)).astype(np.float32)

    def stream(self, kind: str, items: Items) -> Iterator[tuple[str, np.ndarray]]:
        """(case, image) one after the other."""
        return ((item["case"], self.load(kind, item)) for item in items)

    def _path(self, kind: str, item: Mapping[str, Any]) -> Path:
        return self.records.path(f"{kind} image", item).with_suffix(".npy")


def add_copies(
    report: Report,
    output_dir: Path,
    kept: KeptImages,
    sets: CopySets,
    features: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> None:
    """Compare the kept samples with the training images.

    Appends tables, curves and the sheet of the closest pairs to a report, and the verdict to its facts; without
    training images the verdict says so.

    Args:
        report: gets them.
        output_dir: for sheet and table.
        kept: has all images of `sets`.
        sets: what is compared.
        features: (N, F) of samples, training images and held-out images, in their order; None to compare pixels alone.
    """
    if not sets.training:
        report.facts["memorisation"] = "not tested: the datalist has no training section"
        return
    found = find_copies(
        kept.stream(SAMPLE, sets.samples), kept.stream(REAL, sets.training), kept.stream(REAL, sets.held_out), features
    )
    add_memorisation(report, found)
    by_name = {kind: {i["case"]: i for i in part} for kind, part in ((SAMPLE, sets.samples), (REAL, sets.training))}
    save_copy_sheet(
        output_dir / COPY_SHEET,
        found,
        lambda name: kept.load(SAMPLE, by_name[SAMPLE][name]),
        lambda name: kept.load(REAL, by_name[REAL][name]),
    )
    report.figures.append(
        Figure("Closest pairs, pictures", output_dir / COPY_SHEET, "Synthetic, nearest training, difference.")
    )
    write_csv(output_dir / COPIES_CSV, copy_rows(found))


def add_examples(
    report: Report, output_dir: Path, kept: KeptImages, items: Items, window: tuple[float, float], most: int = 16
) -> None:
    """Append a sheet of real images beside samples of the same cases; of volumes the middle axial slice.

    Args:
        report: gets it.
        output_dir: for the picture.
        kept: has both images of each of `items`.
        items: held out.
        window: values that are shown as black and white.
        most: cases.
    """
    low, high = window
    shown = [
        [np.clip((middle_slice(kept.load(kind, item)) - low) / (high - low), 0, 1) for item in items[:most]]
        for kind in (REAL, SAMPLE)
    ]
    save_contact_sheet(output_dir / SAMPLES_SHEET, *shown)
    report.figures.append(Figure("Examples", output_dir / SAMPLES_SHEET, "Real images, and samples of the same cases."))
