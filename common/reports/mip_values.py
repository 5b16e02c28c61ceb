"""The single values behind the tables of an evaluation of MIP synthesis, as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..io.tables import write_csv
from .mip_tables import IMAGES, lesions_of, readings_of

Records = Sequence[Mapping[str, Any]]
LESION_COLUMNS = ("instance", "birads", "read", "found", "dice", "area_ratio", "centre_distance")


def write_case_values(path: str | Path, records: Records) -> None:
    """One row a case: similarities, reconstruction, false lesions an image, share of lesions found.

    Args:
        path: the CSV file.
        records: see `MipEvaluation.evaluate_case`.
    """
    rows = []
    for record in records:
        row: dict[str, Any] = {"case": record["case"], "birads": record["birads"]}
        row["lesions"] = len(record["real"]["lesions"])
        row["ms_ssim_real_and_sample"] = _mean(record["ms_ssim_real"])
        row["ms_ssim_samples"] = _mean(record["ms_ssim_samples"])
        row["ms_ssim_reconstruction"] = record["ms_ssim_reconstruction"]
        for metric in ("psnr", "ssim", "mae"):
            row |= {f"{metric}_{region}": value for region, value in record[metric].items()}
        for images in IMAGES:
            row[f"found_{images}"] = _mean([lesion["found"] for lesion in lesions_of(record, images)])
            row[f"false_lesions_{images}"] = _mean([reading["false"] for reading in readings_of(record, images)])
        rows.append(row)
    write_csv(path, rows)


def write_lesion_values(path: str | Path, records: Records) -> None:
    """One row a requested lesion in each image: real, reconstruction and each sample, which has its number.

    Args:
        path, records: as in `write_case_values`.
    """
    rows = [
        {
            "case": record["case"],
            "images": images,
            "sample": number if images == "samples" else "",
            **{column: "" if lesion[column] is None else lesion[column] for column in LESION_COLUMNS},
        }
        for record in records
        for images in IMAGES
        for number, reading in enumerate(readings_of(record, images))
        for lesion in reading["lesions"]
    ]
    write_csv(path, rows)


def _mean(values: Sequence[float]) -> float | str:
    return sum(values) / len(values) if values else ""
