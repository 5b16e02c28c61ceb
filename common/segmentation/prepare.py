"""From a datalist to crops of single breasts, corrected for the bias field: the images that nnU-Net gets."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ..cohorts.datalist import load_datalist
from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file, sha256_of_json, write_json
from ..io.volumes import describe_grid, load_volume, same_grid, save_nifti
from ..knobs import check_choice
from ..outputs import dce_file
from ..parallel import map_parallel
from ..transforms.bias_field import correct_bias_field
from ..transforms.breast_sides import CROPS, WHOLE, breast_sides
from .layout import CASES, Workspace

logger = logging.getLogger(__name__)
TESTED = ("pre", "post")


def prepare_cases(
    workspace: Workspace,
    datalist: str | Path,
    synthetic: str | Path | None = None,
    phase: int = 1,
    crop: str = "breast",
    bias_correction: bool = True,
    workers: int = 1,
) -> dict[str, Any]:
    """Write crops of all cases that are not there yet.

    Training cases give the side that holds the tumour (both, if both do), with the mask; test cases give every side of
    each real image, cut by the image alone. Volumes are turned to LPS, so that nnU-Net always sees axial slices the
    same way round; origin and spacing are those of the voxels.

    Args:
        workspace: where to.
        datalist: with `image` (pre-contrast), `phases`, `label` and `patient`; its sections `training` (and
            `validation`, which is trained on too, since folds are made from all) and `test`.
        synthetic: output folder of the breast DCE bundle for the training cases, or None.
        phase: which phase after contrast is `post`, from 1; the synthetic one has the same number.
        crop: `breast` or `none`.
        bias_correction: whether N4 is applied.
        workers: processes.

    Returns:
        What `cases.json` holds: `facts`, `training` and `test` cases with `case`, `patient`, `sides`.

    Raises:
        InputError: a case lacks an image, a mask or its synthetic phase, or images lie on different grids.
    """
    check_choice("crop", crop, CROPS)
    if isinstance(phase, bool) or not isinstance(phase, int) or phase < 1:
        raise InputError(f"phase={phase}: give the number of a phase after contrast, from 1")
    sections = {
        "training": load_datalist(datalist, ("training", "validation")),
        "test": load_datalist(datalist, "test", required=False),
    }
    _check_patients(sections, datalist)
    folder = None if synthetic is None else Path(synthetic)
    jobs = [_job(item, name == "test", folder, phase) for name, items in sections.items() for item in items]
    facts = {"phase": phase, "crop": crop, "bias_correction": bool(bias_correction)}
    _check_earlier(workspace, {**facts, "synthetic": folder is not None})
    make_output_dir(workspace.prepared / "cases")
    work = functools.partial(_prepare, workspace=workspace, facts=facts)
    records = map_parallel(work, jobs, workers, "preparing")
    content = {
        "facts": {**facts, "synthetic": folder is not None},
        "training": [record for record in records if not record["test"]],
        "test": [record for record in records if record["test"]],
    }
    write_json(workspace.prepared / CASES, content)
    return content


def read_cases(workspace: Workspace) -> dict[str, Any]:
    """What `prepare_cases` returned.

    Raises:
        InputError: nothing has been prepared.
    """
    path = workspace.prepared / CASES
    if not path.is_file():
        raise InputError(f"{workspace.root}: holds no prepared cases; run scripts/nnunet.py convert first")
    return json.loads(path.read_text(encoding="utf-8"))


def _check_patients(sections: Mapping[str, Sequence[Mapping[str, Any]]], datalist: str | Path) -> None:
    """No patient in training and test, no case twice."""
    patients = {name: {str(item["patient"]) for item in items} for name, items in sections.items()}
    shared = sorted(patients["training"] & patients["test"])
    if shared:
        raise InputError(f"{datalist}: patient {shared[0]} is in training and in test; split by patient again")
    names = [item["case"] for items in sections.values() for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{datalist}: case {twice[0]} is listed twice; give each case a name of its own")


def _check_earlier(workspace: Workspace, facts: Mapping[str, Any]) -> None:
    """Refuse other settings beside trained models, whose images would be gone."""
    path = workspace.prepared / CASES
    if path.is_file() and workspace.has_trained():
        earlier = json.loads(path.read_text(encoding="utf-8"))["facts"]
        changed = sorted(key for key in facts if earlier.get(key) != facts[key])
        if changed:
            raise InputError(
                f"{workspace.root}: holds models trained with other {', '.join(changed)}; choose another --output"
            )


def _job(item: Mapping[str, Any], test: bool, synthetic: Path | None, phase: int) -> dict[str, Any]:
    case = item["case"]
    phases = item.get("phases") or []
    if not isinstance(item.get("image"), str) or len(phases) < phase or "label" not in item:
        raise InputError(f"case {case}: needs a pre-contrast image, {phase} phases after contrast and a tumour mask")
    images = {"pre": item["image"], "post": phases[phase - 1]}
    if synthetic is not None and not test:
        images["syn"] = str(synthetic / case / dce_file(case, "phase", phase))
        if not Path(images["syn"]).is_file():
            raise InputError(
                f"{images['syn']}: no such file; make synthetic phases of the training cases with the bundle "
                "breast_dce_contrast_gan first (--input the same datalist)"
            )
    return {
        "case": case,
        "patient": str(item["patient"]),
        "test": test,
        "images": images,
        "label": item["label"],
    }


def _prepare(job: Mapping[str, Any], workspace: Workspace, facts: Mapping[str, Any]) -> dict[str, Any]:
    record_path = workspace.prepared / "cases" / f"{job['case']}.json"
    files = {**job["images"], "label": job["label"]}
    state = sha256_of_json({**facts, "test": job["test"], **{name: sha256_of_file(p) for name, p in files.items()}})
    if record_path.is_file():
        record = json.loads(record_path.read_text(encoding="utf-8"))
        if record["state"] == state:
            # What the files do not say may have been corrected since, and the cohort may have moved.
            moved = {"label": str(Path(job["label"]).resolve())} if job["test"] else {}
            record |= {"patient": job["patient"], **moved}
            write_json(record_path, record)
            return record
        record_path.unlink()
    volumes = {name: _load(path) for name, path in files.items()}
    reference = volumes["pre"]
    for name, volume in volumes.items():
        if not same_grid(volume, reference):
            raise InputError(
                f"case {job['case']}: {files[name]} ({describe_grid(volume)}) is not on the grid of "
                f"{files['pre']} ({describe_grid(reference)}); register it first"
            )
    label = volumes.pop("label")[0].numpy() > 0
    if not label.any():
        raise InputError(f"case {job['case']}: the mask {job['label']} is empty; leave the case out")
    spacing = [float(s) for s in reference.pixdim]
    arrays = {name: volume[0].numpy() for name, volume in volumes.items()}
    if facts["bias_correction"]:
        arrays = {name: correct_bias_field(array, spacing) for name, array in arrays.items()}
    record = {"case": job["case"], "patient": job["patient"], "test": job["test"], "state": state}
    affine = np.asarray(reference.affine, float)
    try:
        sides_of = {
            kind: _sides(arrays[kind], spacing, facts["crop"]) for kind in (TESTED if job["test"] else ("pre",))
        }
    except InputError as error:
        raise InputError(f"case {job['case']}: {error}") from error
    if job["test"]:
        sides = sides_of
        for kind, found in sides.items():
            for side, columns in found.items():
                _save(workspace.image(kind, f"{job['case']}_{side}", True), arrays[kind], affine, columns)
        record |= {"sides": sides, "label": str(Path(job["label"]).resolve())}
    else:
        sides = sides_of["pre"]
        kept = [side for side, (first, end) in sides.items() if label[first:end].any()]
        for side in kept:
            crop = f"{job['case']}_{side}"
            for kind, array in arrays.items():
                _save(workspace.image(kind, crop), array, affine, sides[side])
            _save(workspace.label(crop), label.astype(np.uint8), affine, sides[side])
        record |= {"sides": {side: sides[side] for side in kept}}
    write_json(record_path, record)
    return record


def _load(path: str) -> MetaTensor:
    return Orientation(axcodes="LPS", labels=None)(load_volume(path))


def _sides(array: np.ndarray, spacing: Sequence[float], crop: str) -> dict[str, tuple[int, int]]:
    return breast_sides(array, spacing) if crop == "breast" else {WHOLE: (0, array.shape[0])}


def _save(path: Path, array: np.ndarray, affine: np.ndarray, columns: tuple[int, int]) -> None:
    """Columns of a volume as NIfTI, with the origin of the first of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 0] * columns[0]
    save_nifti(path, array[columns[0] : columns[1]], moved)


def paste_sides(workspace: Workspace, folder: Path, record: Mapping[str, Any], test: str) -> torch.Tensor:
    """A test case's predicted crops on its whole grid in LPS; bool (X, Y, Z).

    Raises:
        InputError: a crop has not been predicted, or is on another grid than its image.
    """
    parts = []
    for side in record["sides"][test]:
        path = folder / f"{record['case']}_{side}.nii.gz"
        predicted = load_volume(path)
        image = load_volume(workspace.image(test, f"{record['case']}_{side}", True))
        if not same_grid(predicted, image):
            raise InputError(f"{path}: is not on the grid of its image; predict again")
        parts.append(predicted[0].as_tensor() > 0)
    return torch.cat(parts)
