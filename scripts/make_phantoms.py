"""Write phantom cohorts in the raw formats of the real ones.

python scripts/make_phantoms.py brain --output DIR --num 20
python scripts/make_phantoms.py breast_dce --output DIR --num 20 --format duke
python scripts/make_phantoms.py breast_dce --output DIR --num 20 --format nifti --findings birads --num_phases 1
python scripts/make_phantoms.py mammogram --output DIR --num 100
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import _root  # noqa: F401
import fire

from common.errors import InputError, install_error_hook
from common.io.files import make_output_dir
from common.knobs import check_choice
from common.parallel import map_parallel
from common.phantoms import write_breast_dce, write_mammograms
from common.phantoms.breast_dce import FINDINGS
from common.phantoms.mammogram import SMALLEST_HEIGHT
from common.phantoms.write_brats import FILE_NAMES, is_written, write_case

FIELD_OF_VIEW = 339.2  # millimetres, of breast slices
DETECTOR = (256.0, 0.875)  # height of mammograms in millimetres, and their width relative to it


def brain(
    output: str, num: int = 20, first: int = 0, naming: str = "brats2021", spacing_mm: float = 2.5, workers: int = 2
) -> None:
    """Brain tumour cases in BraTS naming: four contrasts and a mask each. What exists already is kept.

    Args:
        output: folder; each case gets a subfolder.
        num: how many patients.
        first: number of the first patient; the number is the seed.
        naming: brats2021 (labels 1, 2, 4) or brats2023 (labels 1, 2, 3).
        spacing_mm: voxel size; the field of view is always that of the SRI24 atlas, 240 x 240 x 155 mm.
        workers: processes.
    """
    if naming not in FILE_NAMES:
        raise InputError(f"naming={naming}: use {' or '.join(FILE_NAMES)}")
    folder = make_output_dir(output)
    seeds = [seed for seed in range(first, first + num) if not is_written(folder, seed, naming)]
    write = partial(write_case, folder, naming=naming, spacing_mm=float(spacing_mm))
    map_parallel(write, seeds, workers, "phantoms")
    print(f"{len(seeds)} phantom cases written, {num - len(seeds)} were there; folder: {Path(output).resolve()}")


def breast_dce(
    output: str,
    num: int = 20,
    first: int = 0,
    format: str = "duke",
    num_slices: int = 32,
    findings: str = "kinetics",
    matrix: int | None = None,
    num_phases: int = 3,
    workers: int = 2,
) -> None:
    """Breast DCE cases, pre-contrast and phases after it, with lesion masks. What exists already is kept.

    Args:
        output: folder.
        num: how many patients.
        first: number of the first patient; the number is the seed.
        format: duke (DICOM as Duke-Breast-Cancer-MRI is downloaded, with its table of boxes) or nifti (as MAMA-MIA).
        num_slices: of 4 mm.
        findings: kinetics (one to three lesions of known enhancement over time) or birads (none to four lesions whose
            look follows from their BI-RADS class, for the MIP bundle).
        matrix: voxels along a side of a slice of 339.2 mm; by default 128 for kinetics and 192 for birads.
        num_phases: how many phases after contrast, 1 to 3.
        workers: processes.
    """
    check_choice("format", format, write_breast_dce.FORMATS)
    check_choice("findings", findings, FINDINGS)
    if num_phases not in (1, 2, 3):
        raise InputError(f"num_phases={num_phases}: give 1, 2 or 3")
    matrix = matrix or {"kinetics": 128, "birads": 192}[findings]
    if not isinstance(matrix, int) or matrix < 32:
        raise InputError(f"matrix={matrix}: give 32 or more voxels")
    pixel = round(FIELD_OF_VIEW / matrix, 4)
    folder = make_output_dir(output)
    seeds = [s for s in range(first, first + num) if not write_breast_dce.is_written(folder, s, format)]
    write = partial(
        write_breast_dce.write_case,
        folder,
        layout=format,
        shape=(matrix, matrix, int(num_slices)),
        spacing_mm=(pixel, pixel, 4.0),
        findings=findings,
        num_phases=num_phases,
    )
    map_parallel(write, seeds, workers, "phantoms")
    if format == "duke":
        write_breast_dce.write_boxes(folder)
    print(f"{len(seeds)} phantom cases written, {num - len(seeds)} were there; folder: {folder.resolve()}")


def mammogram(
    output: str, num: int = 20, first: int = 0, matrix: int = 512, withheld: bool = False, workers: int = 2
) -> None:
    """Mammograms of patients, four views each, as VinDr-Mammo is downloaded. What exists already is kept.

    A patient with a lesion (every second one) has an earlier examination in which it is not there yet.

    Args:
        output: folder.
        num: how many patients.
        first: number of the first patient; the number is the seed.
        matrix: height in pixels, of 256 mm; the width is 7/8 of it.
        withheld: draw only combinations of vendor, density and area that are left out otherwise, to test with.
        workers: processes.
    """
    if not isinstance(matrix, int) or matrix < SMALLEST_HEIGHT:
        raise InputError(f"matrix={matrix}: give {SMALLEST_HEIGHT} or more pixels")
    if not isinstance(withheld, bool):
        raise InputError(f"withheld={withheld}: give True or False")
    folder = make_output_dir(output)
    seeds = [seed for seed in range(first, first + num) if not write_mammograms.is_written(folder, seed)]
    write = partial(
        write_mammograms.write_patient,
        folder,
        shape=(matrix, round(DETECTOR[1] * matrix)),
        spacing_mm=DETECTOR[0] / matrix,
        withheld=withheld,
    )
    map_parallel(write, seeds, workers, "phantoms")
    write_mammograms.write_tables(folder)
    print(f"{len(seeds)} phantom patients written, {num - len(seeds)} were there; folder: {folder.resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"brain": brain, "breast_dce": breast_dce, "mammogram": mammogram})
