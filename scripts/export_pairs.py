"""Synthetic pairs of a sampling run as an nnU-Net v2 raw data set.

python scripts/export_pairs.py --input OUTPUT_DIR --nnunet_raw DIR --dataset_id 501 --name SyntheticBrain
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.brats import CONTRASTS
from common.cohorts.pairs import find_pairs, write_nnunet_raw
from common.errors import InputError, install_error_hook


def main(input: str, nnunet_raw: str, dataset_id: int = 501, name: str = "SyntheticBrain") -> None:
    """Copy all finished samples of a folder to `nnunet_raw/DatasetXXX_name`.

    Args:
        input: `output_dir` of a sampling run.
        nnunet_raw: the folder that nnU-Net knows as nnUNet_raw.
        dataset_id: 1 to 999.
        name: letters and digits.
    """
    items = find_pairs(input, CONTRASTS)
    if not items:
        raise InputError(f"input {input}: holds no finished sample; run the bundle's inference first")
    target = write_nnunet_raw(items, nnunet_raw, int(dataset_id), str(name), CONTRASTS)
    print(f"{len(items)} cases: {target.resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
