"""Synthetic image-mask pairs as other tools read them: a `datalist.json`, or an nnU-Net raw data set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from ..errors import InputError
from ..io.files import make_output_dir, write_json
from ..io.volumes import VOLUME_SUFFIXES, load_volume, save_nifti
from ..outputs import DATALIST, PROVENANCE, contrast_file, mask_file, mip_file
from ..transforms.tumor_regions import WHOLE, canonical_regions
from .datalist import save_datalist

REGION_LABELS = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 3}
WHOLE_LABELS = {"background": 0, "tumour": 1}
HEADER = "SYNTHETIC condition mask"


def find_pairs(folder: str | Path, contrasts: Sequence[str]) -> list[dict[str, Any]]:
    """Finished samples under a folder as datalist items: `case`, `patient` (the mask's case), `image`, `label`."""
    items = []
    for record_path in sorted(Path(folder).glob(f"*/{PROVENANCE}")):
        if record_path.parent.name.startswith("."):
            continue
        record = json.loads(record_path.read_text(encoding="utf-8"))
        case, sample, home = record["case"], record["sample"], record_path.parent
        item = {
            "case": home.name,
            "patient": case,
            "synthetic": True,
            "image": [str(home / contrast_file(case, sample, contrast)) for contrast in contrasts],
            "label": str(home / mask_file(case, sample)),
        }
        if "regions" in record:
            item["labels"] = record["regions"]
        items.append(item)
    return items


def write_pair_datalist(folder: str | Path, contrasts: Sequence[str]) -> Path:
    """List all finished samples of a folder in its `datalist.json`, all as training cases; returns the path."""
    path = Path(folder) / DATALIST
    save_datalist(path, {"training": find_pairs(folder, contrasts)}, cohort="synthetic", synthetic=True)
    return path


def find_mip_pairs(folder: str | Path) -> list[dict[str, Any]]:
    """Finished MIP samples under a folder as datalist items: `case`, `patient` (the mask's case), `image`, `label`."""
    items = []
    for record_path in sorted(Path(folder).glob(f"*/{PROVENANCE}")):
        if record_path.parent.name.startswith("."):
            continue
        record = json.loads(record_path.read_text(encoding="utf-8"))
        case, sample, home = record["case"], record["sample"], record_path.parent
        images = [home / mip_file(case, sample, suffix) for suffix in VOLUME_SUFFIXES]
        image = next(path for path in images if path.is_file())
        label = str(home / mask_file(case, sample))
        items.append({"case": home.name, "patient": case, "synthetic": True, "image": str(image), "label": label})
    return items


def write_mip_datalist(folder: str | Path) -> Path:
    """List all finished MIP samples of a folder in its `datalist.json`, all as training cases; returns the path."""
    path = Path(folder) / DATALIST
    save_datalist(path, {"training": find_mip_pairs(folder)}, cohort="synthetic", synthetic=True)
    return path


def write_nnunet_raw(
    items: Sequence[dict[str, Any]], nnunet_raw: str | Path, dataset_id: int, name: str, contrasts: Sequence[str]
) -> Path:
    """Datalist items to an nnU-Net v2 raw data set; the folder appears whole.

    Masks have canonical region values, or 1 for all tumour as soon as one case's regions are unknown.

    Args:
        items: with `case`, `image` (a file a contrast) and `label`.
        nnunet_raw: the folder that nnU-Net knows as `nnUNet_raw`.
        dataset_id: 1 to 999.
        name: of the data set, letters and digits.
        contrasts: channel names.

    Returns:
        `DatasetXXX_name` within `nnunet_raw`.

    Raises:
        InputError: the data set exists already, or the name or number cannot be used.
    """
    if not 1 <= dataset_id <= 999 or not re.fullmatch(r"\w+", name):
        raise InputError(
            f"dataset_id {dataset_id}, name {name}: give a number from 1 to 999 and a name of letters and digits"
        )
    target = Path(nnunet_raw) / f"Dataset{dataset_id:03d}_{name}"
    if target.exists():
        raise InputError(f"{target}: exists already; choose another dataset_id or remove it")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    images, labels = make_output_dir(partial / "imagesTr"), make_output_dir(partial / "labelsTr")
    for item in items:
        for channel, path in enumerate(item["image"]):
            shutil.copyfile(path, images / f"{item['case']}_{channel:04d}.nii.gz")
        mask = canonical_regions(load_volume(item["label"]), item.get("labels", "auto"), item["label"])
        save_nifti(labels / f"{item['case']}.nii.gz", np.asarray(mask[0], np.uint8), np.asarray(mask.affine), HEADER)
    written = sorted(labels.glob("*.nii.gz"))
    unknown = any((np.asarray(nibabel.load(path).dataobj) == WHOLE).any() for path in written)
    if unknown:
        for path in written:
            mask = nibabel.load(path)
            save_nifti(path, np.minimum(np.asarray(mask.dataobj), 1), mask.affine, HEADER)
    write_json(
        partial / "dataset.json",
        {
            "channel_names": {str(i): contrast for i, contrast in enumerate(contrasts)},
            "labels": WHOLE_LABELS if unknown else REGION_LABELS,
            "numTraining": len(items),
            "file_ending": ".nii.gz",
            "description": "synthetic image-mask pairs",
        },
    )
    partial.rename(target)
    return target
