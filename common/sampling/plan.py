"""Which samples to draw: inputs as users give them, seeds, and what is done already."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cohorts.datalist import SECTIONS, load_datalist
from ..cohorts.pairs import write_pair_datalist
from ..errors import InputError
from ..io.files import replace_folder, sha256_of_file
from ..io.segment_files import is_dicom_file
from ..io.volumes import case_name, find_volumes, volume_suffix
from ..knobs import as_path
from ..outputs import DATALIST, sample_name
from .output_plan import OutputPlan, as_case

logger = logging.getLogger(__name__)
# Keys of an item that name files, and what they are called in a provenance.
INPUT_FILES = (("image", "input"), ("class_file", "input_classes"), ("reference", "reference"), ("mask", "mask"))
MASK_NAME = re.compile(r"(seg|mask|label)(\.seg)?$", re.IGNORECASE)


def find_masks(
    path: str | Path, reference: str | None = None, sections: Sequence[str] = SECTIONS
) -> list[dict[str, Any]]:
    """Masks to sample from, as a user names them.

    Args:
        path: a mask file (see `tumor_regions.load_mask`); a `datalist.json`, or a folder that holds one; any other
            folder (its files named as masks, or all its volumes where none is).
        reference: image or brain mask of the patient, for a single mask file.
        sections: of a datalist.

    Returns:
        Items with `case`, `image` (the mask's path) and, where known, `reference` and `labels`.

    Raises:
        InputError: nothing there, or nothing that can be a mask.
    """
    path = as_path(path)
    if path.suffix == ".json":
        items = [_from_datalist(item, path) for item in load_datalist(path, sections)]
    elif (path / DATALIST).is_file():
        items = [_from_datalist(item, path / DATALIST) for item in load_datalist(path / DATALIST, sections)]
    elif path.is_dir():
        volumes = find_volumes(path)
        masks = [p for p in volumes if MASK_NAME.search(p.name[: -len(volume_suffix(p))])] or volumes
        items = [{"case": case_name(p), "image": str(p)} for p in masks]
    elif path.exists():
        items = [{"case": case_name(path.stem if is_dicom_file(path) else path), "image": str(path)}]
    else:
        raise InputError(f"input {path}: no such file or folder; give a mask, a folder of masks or a datalist.json")
    if not items:
        raise InputError(
            f"input {path}: no mask found; give NIfTI or NRRD masks, for example X_seg.nii.gz or X.seg.nrrd"
        )
    if reference is not None:
        if len(items) > 1:
            raise InputError(
                "reference: goes with a single mask; for several, give each its `reference` in a datalist.json"
            )
        reference = as_path(reference)
        if not reference.is_file():
            raise InputError(f"reference {reference}: no such file")
        items[0]["reference"] = str(reference)
    tell_apart(items, path)
    return items


def tell_apart(items: list[dict[str, Any]], path: Path) -> None:
    """Drop repetitions (one mask in several sections), give cases of the same name that of their folder as well.

    Raises:
        InputError: that does not tell them apart either.
    """
    unique = {(item["case"], str(item["image"])): item for item in items}
    items[:] = unique.values()
    for attempt in range(2):
        counts = Counter(item["case"] for item in items)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated and attempt:
            raise InputError(
                f"input {path}: several inputs are named {repeated[0]}; rename them, or name each in a datalist.json"
            )
        for item in items:
            if item["case"] in repeated:
                item["case"] = f"{Path(item['image']).parent.name}_{item['case']}"


def _from_datalist(item: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if "label" not in item:
        raise InputError(f"{path}: case {item.get('case', '?')} has no label to sample from")
    kept = {key: item[key] for key in ("reference", "labels") if key in item}
    return {"case": item.get("case", case_name(item["label"])), "image": item["label"], **kept}


def sample_seed(seed: int, case: str, sample: int) -> int:
    """63-bit seed of one sample; depends on the run's seed, the case's name and the sample's number alone."""
    digest = hashlib.sha256(f"{seed}|{case}|{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class SamplePlan(OutputPlan):
    """The items of one sampling run.

    Args:
        cases: from `find_masks`, or plain paths as other tools set them.
        output_dir: where the samples' folders are.
        facts: provenance that all samples share (bundle, weights, knobs).
        num_samples: how many for each mask.
        first_sample: number of the first one; sample 7 alone is the same as sample 7 among ten.
        seed: of the run.
        overwrite: replace samples of another provenance instead of refusing.

    Attributes:
        items: what is to be drawn: `case`, `sample`, `seed`, and where given `image`, `reference`, `labels`, `mask`,
            `prompt`.
        provenance: record of each sample, by its folder's name.
        done: names of samples that exist with the same provenance.
        references: of samples whose case has one, its path.

    Raises:
        InputError: a sample of another provenance exists.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any] | str],
        output_dir: str,
        facts: Mapping[str, Any],
        num_samples: int = 1,
        first_sample: int = 0,
        seed: int = 0,
        overwrite: bool = False,
    ) -> None:
        super().__init__(output_dir, overwrite)
        self.references: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for case in map(as_case, cases):
            for sample in range(first_sample, first_sample + num_samples):
                record = self._record(case, sample, facts, seed, hashes)
                item = {**case, "sample": sample, "seed": record["seed"]}
                name = sample_name(case["case"], sample)
                self.add(name, record, item)
                if case.get("reference"):
                    self.references[name] = str(case["reference"])
        self.log_done("samples")

    @staticmethod
    def _record(
        case: Mapping[str, Any], sample: int, facts: Mapping[str, Any], seed: int, hashes: dict[str, str]
    ) -> dict[str, Any]:
        record = {**facts, "case": case["case"], "sample": sample, "seed": sample_seed(seed, case["case"], sample)}
        record |= {key: case[key] for key in ("labels", "prompt") if key in case}
        for key, name in INPUT_FILES:
            path = case.get(key)
            if path and Path(path).is_file():
                if path not in hashes:
                    hashes[path] = sha256_of_file(path)
                record |= {name: Path(path).name, f"{name}_sha256": hashes[path]}
        return record

    def labels(self, name: str) -> str | Mapping:
        """How the values of one sample's mask are read: as its datalist item says, else as the run's knob says."""
        return self.provenance[name].get("labels", "auto")

    def list_pairs(self, contrasts: Sequence[str]) -> Path:
        """Write the `datalist.json` of all finished samples in the output folder; returns its path."""
        return write_pair_datalist(self.output_dir, contrasts)

    def replace(self, name: str, finished: Path) -> Path:
        """Put a finished temporary folder in its place; an older one goes only now."""
        return replace_folder(finished, self.output_dir / name)
