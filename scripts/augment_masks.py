"""From one patient's tumour mask to many: move, rotate, scale and deform inside the brain, change sub-regions.

    python scripts/augment_masks.py --input X_seg.nii.gz --output DIR --num 20 [--reference X_t1.nii.gz]
    python scripts/augment_masks.py --input datalist.json --output DIR --num 5

The result is a folder of masks with a `datalist.json`; give it to the bundle's `--input` to get the images.
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.augment_masks import augment_masks
from common.errors import install_error_hook


def main(
    input: str,
    output: str,
    num: int = 10,
    reference: str | None = None,
    labels: str = "auto",
    seed: int = 0,
    max_shift_mm: float = 30.0,
    max_rotation: float = 180.0,
    scale_range: tuple = (0.7, 1.3),
    deformation_mm: float = 4.0,
    region_change: float = 0.3,
) -> None:
    """Write new masks; what exists from the same command is kept.

    Args:
        input: a mask, a folder of masks, or a datalist.json.
        output: folder for the new masks and their datalist.json.
        num: new masks for each given one.
        reference: image or brain mask of the patient, for a single mask: new tumours stay inside it. Without one, the
            ellipsoid in the atlas box is the brain.
        labels: what mask values mean: auto, brats, brats2023, msd, whole, or a map.
        seed: the same seed gives the same masks.
        max_shift_mm: furthest move of the centre, millimetres.
        max_rotation: largest turn about each axis, degrees.
        scale_range: smallest and largest factor of size.
        deformation_mm: typical size of smooth deformation, millimetres.
        region_change: probability that necrosis, rim or oedema is taken away or exchanged for its neighbour.
    """
    path = augment_masks(
        input,
        output,
        num=int(num),
        reference=reference,
        labels=labels,
        seed=int(seed),
        max_shift_mm=float(max_shift_mm),
        max_rotation=float(max_rotation),
        scale_range=tuple(scale_range),
        deformation_mm=float(deformation_mm),
        region_change=float(region_change),
    )
    print(f"masks and datalist: {path.resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
