"""BraTS-style cohorts: four skull-stripped contrasts and a tumour mask a case, in any of the usual namings.

Understood are BraTS 2021 (`_t1 _t1ce _t2 _flair _seg`), BraTS 2023 (`-t1n -t1c -t2w -t2f -seg`), plain
(`t1 t1c t2 flair seg` in a folder a case) and the Medical Segmentation Decathlon's Task01 (4D files in `imagesTr`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch

from ..errors import InputError
from ..io.volumes import case_name, describe_grid, find_volumes, load_volume, same_grid, save_nifti, volume_suffix
from ..transforms.tumor_regions import canonical_regions

CONTRASTS = ("T1", "T1C", "T2", "FLAIR")
# Task01 stores FLAIR, T1, T1 with contrast, T2 along its fourth axis.
MSD_CHANNELS = (1, 2, 3, 0)

_SUFFIXES = {
    "t1": "T1", "t1n": "T1", "t1ce": "T1C", "t1c": "T1C", "t1gd": "T1C", "t2": "T2", "t2w": "T2",
    "flair": "FLAIR", "t2f": "FLAIR", "seg": "label", "mask": "label", "label": "label",
}  # fmt: skip
_FILE = re.compile(
    rf"^(?P<case>.*?)[_\-.]?(?P<part>{'|'.join(sorted(_SUFFIXES, key=len, reverse=True))})$", re.IGNORECASE
)


@dataclass
class BratsCase:
    """One case as found on disk: `parts` maps T1, T1C, T2, FLAIR (or `image`, a 4D file) and `label` to files."""

    name: str
    parts: dict[str, Path] = field(default_factory=dict)

    @property
    def patient(self) -> str:
        """BraTS 2023 names end in a time point, which is not part of the patient."""
        match = re.fullmatch(r"(BraTS-[A-Za-z]+-\d+)-\d{3}", self.name)
        return match.group(1) if match else self.name


def find_cases(source: str | Path) -> list[BratsCase]:
    """All cases under a folder, complete or not, sorted by name.

    Raises:
        InputError: the folder does not exist or holds no file named like a contrast.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"source {source}: no such folder")
    cases: dict[tuple[Path, str], BratsCase] = {}
    for path in find_volumes(source):
        if path.parent.name in ("imagesTr", "imagesTs"):
            case = cases.setdefault((path.parent.parent, case_name(path)), BratsCase(case_name(path)))
            case.parts["image"] = path
            label = path.parent.parent / "labelsTr" / path.name
            if label.is_file():
                case.parts["label"] = label
            continue
        match = _FILE.match(path.name[: -len(volume_suffix(path))])
        if path.parent.name in ("labelsTr", "labelsTs") or not match:
            continue
        name = match["case"] or path.parent.name
        case = cases.setdefault((path.parent, name), BratsCase(name))
        case.parts.setdefault(_SUFFIXES[match["part"].lower()], path)
    if not cases:
        raise InputError(
            f"source {source}: no case found; expected files such as X_t1.nii.gz, X_t1ce.nii.gz, X_t2.nii.gz, "
            "X_flair.nii.gz, X_seg.nii.gz, their BraTS 2023 names, or Task01's imagesTr and labelsTr"
        )
    counts = Counter(case.name for case in cases.values())
    for (folder, _), case in cases.items():
        if counts[case.name] > 1:  # for example patient/session/t1.nii.gz: the path tells them apart
            case.name = "_".join([*folder.relative_to(source).parts, case.name])
    return sorted(cases.values(), key=lambda case: (case.name, str(case.parts)))


def check_case(case: BratsCase, labels: str | dict = "auto", resample_to: Path | None = None) -> dict[str, Any]:
    """Read one case whole and return its datalist item.

    Args:
        case: from `find_cases`.
        labels: convention of the mask (see `tumor_regions.region_map`).
        resample_to: folder for contrasts resampled to the T1C grid; None refuses contrasts on different grids.

    Returns:
        `case`, `patient`, `image` (four files in the order of CONTRASTS, or one 4D file with `channels`), `label`,
        `labels`.

    Raises:
        InputError: a part is missing, unreadable, on another grid, or the mask is unusable.
    """
    missing = [] if "image" in case.parts else [c for c in CONTRASTS if c not in case.parts]
    if missing:
        raise InputError(f"{case.name}: contrast {', '.join(missing)} is missing")
    if "label" not in case.parts:
        raise InputError(f"{case.name}: the tumour mask is missing")
    label = load_volume(case.parts["label"])
    canonical_regions(label, labels, str(case.parts["label"]))
    item: dict[str, Any] = {"case": case.name, "patient": case.patient}
    if "image" in case.parts:
        image = load_volume(case.parts["image"], channels_last=True)
        if image.shape[0] != len(MSD_CHANNELS):
            raise InputError(f"{case.name}: {case.parts['image']} has {image.shape[0]} channels, four are needed")
        if not same_grid(image, label):
            raise InputError(f"{case.name}: mask and image are on different grids")
        item |= {"image": str(case.parts["image"]), "channels": list(MSD_CHANNELS)}
    else:
        volumes = {name: load_volume(case.parts[name]) for name in CONTRASTS}
        paths = _on_one_grid(case, volumes, label, resample_to)
        item["image"] = [str(paths[name]) for name in CONTRASTS]
    item["label"] = str(case.parts["label"])
    if labels != "auto":
        item["labels"] = labels
    return item


def _on_one_grid(
    case: BratsCase, volumes: dict[str, MetaTensor], label: MetaTensor, folder: Path | None
) -> dict[str, Path]:
    target = volumes["T1C"]
    if not same_grid(label, target):
        raise InputError(
            f"{case.name}: the mask ({describe_grid(label)}) is not on the grid of T1C ({describe_grid(target)})"
        )
    paths = {name: case.parts[name] for name in CONTRASTS}
    for name, volume in volumes.items():
        if same_grid(volume, target):
            continue
        if folder is None:
            raise InputError(
                f"{case.name}: {name} ({describe_grid(volume)}) is not on the grid of T1C ({describe_grid(target)}); "
                "pass --resample to bring it there"
            )
        resampled = ResampleToMatch(mode="bilinear", padding_mode="zeros")(volume, target)
        paths[name] = folder / f"{case.name}_{name}.nii.gz"
        folder.mkdir(parents=True, exist_ok=True)
        save_nifti(
            paths[name], torch.as_tensor(resampled[0]).numpy(), target.affine.numpy(), f"{name} on the grid of T1C"
        )
    return paths
