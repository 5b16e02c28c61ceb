"""From a cohort as downloaded to a `datalist.json` that every bundle reads.

python scripts/prepare_data.py brats --source DIR --output DIR
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.prepare_brats import prepare_brats
from common.errors import install_error_hook


def brats(
    source: str,
    output: str,
    labels: str = "auto",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    resample: bool = False,
    workers: int = 2,
) -> None:
    """Brain tumour cases named as BraTS 2021, BraTS 2023, MSD Task01 or plainly t1, t1c, t2, flair, seg.

    Args:
        source: folder, searched through.
        output: folder for `datalist.json`; checks that were done are kept there and not repeated.
        labels: what mask values mean: auto, brats, brats2023, msd, whole, or a map such as "{1: oedema, 2: enhancing}".
        fractions: shares of training, validation and test patients.
        seed: of the split.
        resample: bring contrasts that lie on other grids to that of T1C, instead of refusing the case.
        workers: processes.
    """
    prepare_brats(source, output, labels, tuple(fractions), int(seed), bool(resample), int(workers))


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"brats": brats})
