"""What the values of a brain tumour mask mean, and the mask in the form that the networks read.

Cohorts number the regions differently, and the numbers collide: 1 is necrosis in BraTS and oedema in the Medical
Segmentation Decathlon. The convention is therefore said (`labels`), or taken from the file's name or values only
where one reading is possible. Segments (`.seg.nrrd`, DICOM SEG) tell it by their names and codes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys

from ..errors import InputError
from ..io.segment_files import is_dicom_file, is_segment_file, read_segment_file
from ..io.volumes import load_volume
from .segment_regions import (
    ENHANCING,
    NECROSIS,
    OEDEMA,
    REGION_NAMES,
    REGION_VALUES,
    WHOLE,
    paint_regions,
)

MOST_SHOWN = 10
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
    table = _label_table(labels)
    if table is not None:
        mapping = {_whole_number(value): region for value, region in table.items()}
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
    found = ", ".join(map(str, sorted(values)[:MOST_SHOWN])) + (", ..." if len(values) > MOST_SHOWN else "")
    if not readings:
        raise InputError(f"{where}: values {found} fit no known set; say --labels brats|brats2023|msd|whole or a map")
    raise InputError(
        f"{where}: values {found} can be read as {' or as '.join(fitting)}, which mean different regions; say --labels"
    )


def _label_table(labels: str | Mapping) -> dict[str, int] | None:
    """Canonical region by value or segment name, as text; None where `labels` is a word."""
    if isinstance(labels, str):
        text = labels.strip()
        if not text.startswith("{"):
            return None
        pairs = [entry.rpartition(":")[::2] for entry in text[1:-1].split(",")]
        labels = {key.strip(" \"'"): name.strip(" \"'") for key, name in pairs}
        if not text.endswith("}") or not all(labels):
            raise InputError(f"labels={text}: not a map; write for example {{1: oedema, 2: enhancing}}")
    unknown = [name for name in labels.values() if name not in REGION_VALUES]
    if unknown:
        raise InputError(f"labels: {unknown[0]} is not a region; use {', '.join(REGION_VALUES)}")
    return {str(key).strip(): REGION_VALUES[name] for key, name in labels.items()}


def _whole_number(value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise InputError(
            f"labels: {value} is no value of a label map; names go with .seg.nrrd and DICOM SEG"
        ) from error


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
    return as_regions(mask.round(), _map_of(mask, labels, path), path)


def _map_of(mask: MetaTensor, labels: str | Mapping, path: str) -> dict[int, int]:
    where = path or "the mask"
    rounded = mask.round()
    if not torch.allclose(mask, rounded, atol=1e-3):
        raise InputError(f"{where}: holds values between whole numbers; a label mask is needed, not a probability map")
    values = {int(v) for v in torch.unique(rounded)} - {0}
    if not values:
        raise InputError(f"{where}: the mask is empty, no voxel is marked; give a mask with a tumour")
    return region_map(labels, values, path)


def as_regions(mask: MetaTensor, mapping: Mapping[int, int], path: str = "") -> MetaTensor:
    """Mask of whole numbers to canonical values by a map of them.

    Raises:
        InputError: nothing but background is left.
    """
    canonical = torch.zeros_like(mask)
    for value, region in mapping.items():
        canonical[mask == value] = region
    if not (canonical > 0).any():
        raise InputError(f"{path or 'the mask'}: every value is mapped to background; give a mask with a tumour")
    return canonical


def load_mask(
    path: str, labels: str | Mapping = "auto", reference: str | None = None
) -> tuple[MetaTensor, dict[int, int]]:
    """Load one mask from any of its forms.

    Args:
        path: a label map (NIfTI, NRRD, MetaImage), or segments (`.seg.nrrd`, DICOM SEG).
        labels: convention, see `region_map`; for segments, `auto` reads their names and codes, a map names them or
            their label values, and a word is the convention of their label values.
        reference: image whose grid DICOM segments belong to; they say nothing of slices without a segment.

    Returns:
        The mask (1, X, Y, Z) in whole numbers, the file's own or, of segments, canonical ones; and the map from its
        values to canonical regions.

    Raises:
        InputError: unreadable, empty, or of unknown meaning.
    """
    if not is_segment_file(path):
        mask = load_volume(path)
        return mask.round(), _map_of(mask, labels, path)
    grid = None
    if is_dicom_file(path):
        if reference is None:
            raise InputError(
                f"{path}: a DICOM segmentation leaves out the slices without a segment, so the head's place is not "
                "known; pass --reference with an image of the patient on the grid that was segmented"
            )
        image = load_volume(reference)
        grid = tuple(image.shape[1:]), image.affine.numpy()
    segmentation = read_segment_file(path, grid)
    table = _label_table(labels)
    if table is None and labels != "auto":
        by_value = region_map(labels, {segment.value for segment in segmentation.segments}, path)
        table = {str(value): region for value, region in by_value.items()}
    regions = paint_regions(segmentation, table or {}, path)
    affine = torch.from_numpy(np.array(segmentation.affine))
    meta = {
        "filename_or_obj": path,
        "affine": affine,
        "original_affine": affine,
        "space": SpaceKeys.RAS,
        "spatial_shape": np.array(regions.shape),
        "original_channel_dim": "no_channel",
    }
    mask = MetaTensor.ensure_torch_and_prune_meta(regions.astype(np.float32), meta)[None]
    return mask, {value: value for value in REGION_NAMES if value and (regions == value).any()}


class LoadRegionsd(MapTransform):
    """Load masks as canonical regions (1, X, Y, Z), see `load_mask` and `region_map`.

    Args:
        keys: paths; an item's `reference` gives DICOM segments their grid.
        labels: convention; an item's own `labels` entry, as datalists have it, comes first.
    """

    def __init__(self, keys: KeysCollection, labels: str | Mapping = "auto") -> None:
        super().__init__(keys)
        self.labels = labels

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        item = dict(data)
        for key in self.key_iterator(item):
            path = str(item[key])
            mask, mapping = load_mask(path, item.get("labels", self.labels), item.get("reference"))
            item[key] = as_regions(mask, mapping, path)
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
