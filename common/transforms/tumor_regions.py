"""What the values of a brain tumour mask mean, and the mask in the form that the networks read.

Cohorts number the regions differently, and the numbers collide: 1 is necrosis in BraTS and oedema in the Medical
Segmentation Decathlon. The convention is therefore said (`labels`), or taken from the file's name or values only
where one reading is possible.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Mapping
from pathlib import Path

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..errors import InputError
from ..io.volumes import load_volume

BACKGROUND, NECROSIS, OEDEMA, ENHANCING = 0, 1, 2, 3
WHOLE = 4  # tumour of unknown region, canonical value of a whole-tumour mask
REGION_VALUES = {
    "background": BACKGROUND,
    "necrosis": NECROSIS,
    "oedema": OEDEMA,
    "enhancing": ENHANCING,
    "whole": WHOLE,
}
REGION_NAMES = {value: name for name, value in REGION_VALUES.items()}

CONVENTIONS: dict[str, dict[int, int]] = {
    "brats": {1: NECROSIS, 2: OEDEMA, 4: ENHANCING},
    "brats2023": {1: NECROSIS, 2: OEDEMA, 3: ENHANCING},
    "msd": {1: OEDEMA, 2: NECROSIS, 3: ENHANCING},
}
FILE_NAMES = (
    (re.compile(r"BraTS-[A-Z]+-\d+-\d+", re.IGNORECASE), "brats2023"),
    (re.compile(r"BraTS\d{0,4}_\w*\d+_seg", re.IGNORECASE), "brats"),
    (re.compile(r"^BRATS_\d{3}\.nii"), "msd"),
)


def region_map(labels: str | Mapping, values: set[int], path: str = "") -> dict[int, int]:
    """Map from a mask's values to the canonical regions (1 necrosis, 2 oedema, 3 enhancing, 4 whole tumour).

    Args:
        labels: `auto`, `brats`, `brats2023`, `msd`, `whole`, or a map such as `{1: oedema, 2: enhancing}`.
        values: the non-zero values that occur in the mask.
        path: the mask's file, for messages and, under `auto`, for its name.

    Raises:
        InputError: the convention is unknown, a value is not in it, or `auto` leaves more than one reading.
    """
    where = path or "the mask"
    if isinstance(labels, str) and labels.strip().startswith("{"):
        labels = _parse_map(labels)
    if isinstance(labels, Mapping):
        mapping = {int(value): _region(name) for value, name in labels.items()}
        return _checked(mapping, values, where, "the given map")
    if labels == "whole":
        return dict.fromkeys(values, WHOLE)
    if labels in CONVENTIONS:
        return _checked(CONVENTIONS[labels], values, where, f"labels={labels}")
    if labels != "auto":
        raise InputError(
            f"labels={labels}: unknown; use auto, {', '.join(CONVENTIONS)}, whole or a map such as {{1: oedema}}"
        )
    return _automatic(values, where, path)


def _automatic(values: set[int], where: str, path: str) -> dict[int, int]:
    name = Path(path).name
    if values == {1}:
        return {1: WHOLE}
    for pattern, convention in FILE_NAMES:
        if pattern.search(name):
            return _checked(CONVENTIONS[convention], values, where, f"{convention}, which the file's name tells")
    fitting = {key: value for key, value in CONVENTIONS.items() if values <= set(value)}
    readings = {tuple(sorted((v, mapping[v]) for v in values)) for mapping in fitting.values()}
    if len(readings) == 1:
        return next(iter(fitting.values()))
    found = ", ".join(map(str, sorted(values)))
    if not readings:
        raise InputError(f"{where}: values {found} fit no known set; say --labels brats|brats2023|msd|whole or a map")
    raise InputError(
        f"{where}: values {found} can be read as {' or as '.join(fitting)}, which mean different regions; say --labels"
    )


def _region(name: str | int) -> int:
    if name in REGION_VALUES:
        return REGION_VALUES[name]
    raise InputError(f"labels: {name} is not a region; use {', '.join(REGION_VALUES)}")


def _parse_map(text: str) -> dict:
    pairs = re.sub(r"([A-Za-z]+)", r"'\1'", text.replace("'", "").replace('"', ""))
    try:
        return dict(ast.literal_eval(pairs))
    except (ValueError, SyntaxError) as error:
        raise InputError(f"labels={text}: not a map; write for example {{1: oedema, 2: enhancing}}") from error


def _checked(mapping: dict[int, int], values: set[int], where: str, source: str) -> dict[int, int]:
    unknown = sorted(values - set(mapping))
    if unknown:
        known = ", ".join(map(str, [0, *sorted(mapping)]))
        raise InputError(
            f"{where}: label {unknown[0]} is not in {source} ({known}); "
            "name the right set with --labels brats|brats2023|msd|whole or a map"
        )
    return mapping


def canonical_regions(mask: MetaTensor, labels: str | Mapping, path: str = "") -> MetaTensor:
    """Mask in any convention, shape (1, X, Y, Z), to canonical values (see `region_map`), same shape and geometry.

    Raises:
        InputError: empty mask, values that are not whole numbers, or as `region_map`.
    """
    where = path or "the mask"
    rounded = mask.round()
    if not torch.allclose(mask, rounded, atol=1e-3):
        raise InputError(f"{where}: holds values between whole numbers; a label mask is needed, not a probability map")
    values = {int(v) for v in torch.unique(rounded)} - {0}
    if not values:
        raise InputError(f"{where}: the mask is empty, no voxel is marked; give a mask with a tumour")
    mapping = region_map(labels, values, path)
    canonical = torch.zeros_like(rounded)
    for value, region in mapping.items():
        canonical[rounded == value] = region
    if not (canonical > 0).any():
        raise InputError(f"{where}: every value is mapped to background; give a mask with a tumour")
    return canonical


class LoadMaskd(MapTransform):
    """Load one mask from an item's path, shape (1, X, Y, Z); see `load_volume` for what is refused."""

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = load_volume(str(item[key]))
        return item


class CanonicalRegionsd(MapTransform):
    """Dictionary form of `canonical_regions`; the file name is read from the volume's metadata.

    Args:
        keys: masks of shape (1, X, Y, Z).
        labels: convention; an item's own `labels` entry, as datalists have it, comes first.
    """

    def __init__(self, keys: KeysCollection, labels: str | Mapping = "auto") -> None:
        super().__init__(keys)
        self.labels = labels

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        item = dict(data)
        for key in self.key_iterator(item):
            path = str(item[key].meta.get("filename_or_obj", ""))
            labels = item.get("labels", self.labels)
            item[key] = canonical_regions(item[key], labels, path)
        return item


class RegionChannelsd(MapTransform):
    """Canonical mask to condition channels: whole tumour, necrosis, oedema, enhancing; float in {0, 1}.

    A mask of unknown regions (value 4) leaves the three region channels zero, as training does at random.
    """

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = region_channels(item[key])
        return item


def region_channels(mask: torch.Tensor) -> torch.Tensor:
    """Canonical mask (1, X, Y, Z) or (B, 1, X, Y, Z) to four channels in its place; metadata is kept."""
    channel = mask.ndim - 4
    parts = [mask > 0, mask == NECROSIS, mask == OEDEMA, mask == ENHANCING]
    return torch.cat(parts, dim=channel).float()
