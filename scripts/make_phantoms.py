"""Write phantom cohorts in the raw formats of the real ones.

python scripts/make_phantoms.py brain --output DIR --num 20
python scripts/make_phantoms.py breast_dce --output DIR --num 20 --format duke
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
from common.phantoms import write_breast_dce
from common.phantoms.write_brats import FILE_NAMES, is_written, write_case


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
    output: str, num: int = 20, first: int = 0, format: str = "duke", num_slices: int = 32, workers: int = 2
) -> None:
    """Breast DCE cases, pre-contrast and three phases after it, with lesion masks. What exists already is kept.

    Args:
        output: folder.
        num: how many patients.
        first: number of the first patient; the number is the seed.
        format: duke (DICOM as Duke-Breast-Cancer-MRI is downloaded, with its table of boxes) or nifti (as MAMA-MIA).
        num_slices: of 4 mm; 128 x 128 voxels of 2.65 mm each.
        workers: processes.
    """
    check_choice("format", format, write_breast_dce.FORMATS)
    folder = make_output_dir(output)
    seeds = [s for s in range(first, first + num) if not write_breast_dce.is_written(folder, s, format)]
    write = partial(write_breast_dce.write_case, folder, layout=format, shape=(128, 128, int(num_slices)))
    map_parallel(write, seeds, workers, "phantoms")
    if format == "duke":
        write_breast_dce.write_boxes(folder)
    print(f"{len(seeds)} phantom cases written, {num - len(seeds)} were there; folder: {folder.resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"brain": brain, "breast_dce": breast_dce})
