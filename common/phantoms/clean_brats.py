"""The noise-free twin of a phantom case, to state what its noise allows any reconstruction to reach."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel

from ..io.files import make_output_dir
from ..io.volumes import save_nifti
from .brain_tumor import make_brain_tumor

_NAME = re.compile(r"PhantomBraTS_(\d+)$")


def is_phantom(item: Mapping[str, Any]) -> bool:
    """Whether a datalist item is one of our brain tumour phantoms, by its name."""
    return bool(_NAME.search(str(item.get("case", ""))))


def write_clean_twin(item: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Draw the phantom of a datalist item again and write its contrasts without noise; returns the twin's item."""
    seed = int(_NAME.search(item["case"]).group(1))
    source = nibabel.load(item["image"][0])
    phantom = make_brain_tumor(seed, float(source.header.get_zooms()[0]))
    folder = make_output_dir(folder)
    paths = [folder / f"{item['case']}_clean_{channel}.nii.gz" for channel in range(len(phantom.clean))]
    for path, volume in zip(paths, phantom.clean, strict=True):
        save_nifti(path, volume[::-1, ::-1], source.affine, "SYNTHETIC phantom without noise")
    return {**item, "image": [str(path) for path in paths]}
