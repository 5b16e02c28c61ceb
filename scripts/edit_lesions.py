"""From one lesion mask to many: move, scale and deform lesions, change their class, add and remove some.

    python scripts/edit_lesions.py --input X_mask.nii.gz --outline X_breast.nii.gz --output DIR --num 5
    python scripts/edit_lesions.py --input datalist.json --output DIR --operations "[move, add, reclass]"

The result is a folder of masks with a `datalist.json` and a picture; give it to the bundle's `--input` to get the MIPs.
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.edit_lesions import edit_lesions
from common.cohorts.lesion_edits import EditLimits
from common.errors import install_error_hook


def main(
    input: str,
    output: str,
    operations: list = ("move", "scale", "deform"),
    num: int = 5,
    outline: str | None = None,
    donor: str | None = None,
    label_meaning: str = "auto",
    classes: str | None = None,
    project: bool = False,
    max_shift_mm: float = 30.0,
    scale_range: tuple = (0.7, 1.4),
    deformation_mm: float = 2.0,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write new masks; what exists from the same command is kept.

    Each new mask is the given one after one or more of the operations, drawn at random, each on a lesion drawn at
    random. Lesions stay inside the outline and a pixel apart; what finds no place is left out and counted.

    Args:
        input: a mask in any form that the bundle takes, a folder of masks, or a datalist.json.
        output: folder for the new masks, their datalist.json and preview.png.
        operations: some of move, scale, deform, reclass, add, remove.
        num: new masks for each given one.
        outline: mask of the breast on the grid of the lesions, or a folder of them named by case; without it, the
            `breast` of a datalist's item. `none`: only the image's frame holds lesions.
        donor: mask, folder or datalist whose lesions `add` copies; without it, ellipses of random class.
        label_meaning: what mask values mean: auto, birads, instance, segment.
        classes: table from values, names or colours to classes, such as "{1: 4}".
        project: take 3D masks, projected along the cranio-caudal axis.
        max_shift_mm: furthest move of a lesion, millimetres.
        scale_range: smallest and largest factor of a lesion's diameter.
        deformation_mm: standard deviation of the smooth displacement, millimetres.
        seed: the same seed gives the same masks.
        overwrite: replace masks that another command made.
    """
    limits = EditLimits(float(max_shift_mm), tuple(float(factor) for factor in scale_range), float(deformation_mm))
    path = edit_lesions(
        input,
        output,
        operations=operations,
        num=int(num),
        outline=None if outline is None else str(outline),
        donor=donor,
        label_meaning=label_meaning,
        classes=classes,
        project=bool(project),
        limits=limits,
        seed=int(seed),
        overwrite=bool(overwrite),
    )
    print(f"masks and datalist: {path.resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
