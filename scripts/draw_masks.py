"""Lesion masks for the MIP bundle, from boxes or from several raters.

python scripts/draw_masks.py boxes --table boxes.csv --images MIPS --output masks
python scripts/draw_masks.py raters --masks "[first.nii.gz, second.nii.gz]" --output masks
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.draw_masks import mask_of_raters, masks_from_boxes
from common.errors import install_error_hook
from common.knobs import as_text


def boxes(table: str, images: str, output: str) -> None:
    """The ellipse in each box, with the box's BI-RADS class.

    Args:
        table: CSV with the columns case, x0, y0, x1, y1, birads; pixels of the image's file, the last ones excluded. A
            row without box and class is an examination without lesions.
        images: folder of the MIPs, named by case.
        output: folder for the masks and their classes.
    """
    written = masks_from_boxes(as_text(table), as_text(images), output)
    print(f"{len(written)} masks: {written[0].parent.resolve()}")


def raters(masks: list, output: str) -> None:
    """A soft mask: the share of raters that gave a pixel each class.

    Args:
        masks: a mask of each rater, on one grid.
        output: folder for the soft mask.
    """
    print(mask_of_raters(masks, output).resolve())


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"boxes": boxes, "raters": raters})
