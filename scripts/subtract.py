"""Subtraction volumes and their projections, of real phases.

    python scripts/subtract.py --input cohort/datalist.json --output DIR
    python scripts/subtract.py --pre PRE --post POST --output DIR

A volume is a folder with one DICOM series, NIfTI, NRRD or MetaImage.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import _root  # noqa: F401
import fire
import numpy as np
from monai.data import MetaTensor
from tqdm import tqdm

from common.cohorts.datalist import load_datalist
from common.errors import InputError, install_error_hook
from common.io.dicom_headers import find_series
from common.io.dicom_series import load_series
from common.io.files import make_output_dir, replace_folder, sha256_of_source, write_json
from common.io.volumes import case_name, load_volume, save_nifti
from common.knobs import as_path, check_choice
from common.outputs import PROVENANCE, dce_file
from common.provenance import is_finished
from common.transforms.projection import project
from common.transforms.registration import METHODS, register_phase
from common.transforms.subtraction import subtract

DIRECTIONS = ("axial", "coronal", "sagittal")
PROJECTIONS = {"max": "mip", "mean": "mean", "min": "minip"}


def main(
    output: str,
    input: str | None = None,
    pre: str | None = None,
    post: str | None = None,
    clip: bool = False,
    registration: str = "none",
    direction: str = "axial",
    mode: str = "max",
    slab: tuple | None = None,
    overwrite: bool = False,
) -> None:
    """Write post minus pre and its projection for each phase; what the same command wrote is kept.

    Args:
        output: folder.
        input: a datalist of DCE cases; all sections.
        pre: pre-contrast volume of one case.
        post: its post-contrast volume.
        clip: set losses of signal to 0 in the subtraction; maximum projections always show gains.
        registration: none, or rigid or demons: move the phase onto the pre-contrast volume first.
        direction: of the projection: axial, coronal or sagittal.
        mode: max, mean or min.
        slab: two ends in millimetres along the direction, in world coordinates (RAS); all of the volume without.
        overwrite: replace what another command wrote.
    """
    if (input is None) == (pre is None or post is None):
        raise InputError("give --input with a datalist, or --pre and --post")
    check_choice("registration", registration, METHODS)
    check_choice("direction", direction, DIRECTIONS)
    check_choice("mode", mode, list(PROJECTIONS))
    if slab is not None and (not isinstance(slab, (tuple, list)) or len(slab) != 2):
        raise InputError(f"slab={slab}: give two ends in millimetres, such as (-20,20)")
    if input is not None:
        items = load_datalist(input)
        if any("phases" not in item for item in items):
            raise InputError(f"{input}: its cases have no phases; give a datalist of prepare_data.py duke or mama_mia")
        cases = [(item["case"], item["image"], item["phases"]) for item in items]
    else:
        path = as_path(pre)
        cases = [(path.resolve().name if path.is_dir() else case_name(path), pre, [post])]
    settings = {"clip": bool(clip), "registration": registration, "direction": direction, "mode": mode, "slab": slab}
    folder = make_output_dir(output)
    written = 0
    for case, before, phases in tqdm(cases, desc="subtracting", unit="case"):
        record = {**settings, "case": case, "inputs": [sha256_of_source(path) for path in (before, *phases)]}
        record = json.loads(json.dumps(record))
        if is_finished(folder / case, record, overwrite):
            continue
        partial = folder / f".{case}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for number, phase in enumerate(phases, start=1):
                _write(partial, case, number, before, phase, **settings)
            write_json(partial / PROVENANCE, record)
            replace_folder(partial, folder / case)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        written += 1
    print(f"{written} cases written, {len(cases) - written} were there; folder: {folder.resolve()}")


def _write(
    folder: Path,
    case: str,
    number: int,
    before: str,
    phase: str,
    clip: bool,
    registration: str,
    direction: str,
    mode: str,
    slab: tuple | None,
) -> None:
    reference, volume = _load(before), _load(phase)
    if registration != "none":
        volume = register_phase(volume, reference, registration)
    elif all(as_path(path).is_dir() for path in (before, phase)):
        frames = [find_series(as_path(path))[0].frame_of_reference for path in (before, phase)]
        if frames[0] != frames[1]:
            raise InputError(f"{phase}: has another frame of reference than {before}; pass --registration rigid")
    difference = subtract(volume, reference, clip)
    flat = project(difference.clamp(min=0) if mode == "max" else difference, direction, mode, slab)
    for kind, result in (("subtraction", difference), (PROJECTIONS[mode], flat)):
        array, affine = np.asarray(result[0], np.float32), np.asarray(result.affine, float)
        save_nifti(folder / dce_file(case, kind, number), array, affine, kind)


def _load(path: str | Path) -> MetaTensor:
    path = as_path(path)
    return load_series(path) if path.is_dir() else load_volume(path)


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
