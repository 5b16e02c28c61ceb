"""`nnunet.json`: what an nnU-Net model needs beside its weights, in one file that lies next to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..knobs import as_path

ENTRIES = {"plans", "dataset_json", "configuration", "mirror_axes", "num_folds", "crop", "bias_correction"}


def read_plans(source: Any) -> dict[str, Any]:
    """The content of an `nnunet.json`.

    Args:
        source: its path, or the content itself.

    Returns:
        `plans` and `dataset_json` as nnU-Net writes them, `configuration` (such as 3d_fullres), `mirror_axes`,
        `num_folds` of the weights, `crop` (breast or none) and `bias_correction` of the training images.

    Raises:
        InputError: no such file, or not of this kind.
    """
    if isinstance(source, Mapping):
        content, name = dict(source), "plans"
    else:
        path = as_path(source)
        name = f"plans {path}"
        if not path.is_file():
            raise InputError(f"{name}: no such file; export a model with scripts/nnunet.py export")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{name}: not valid JSON ({error}); export the model again") from error
    missing = sorted(ENTRIES - content.keys()) if isinstance(content, dict) else sorted(ENTRIES)
    if missing:
        lacks = ", ".join(missing)
        raise InputError(f"{name}: has no {lacks}; give the nnunet.json that scripts/nnunet.py export wrote")
    if content["configuration"] not in content["plans"].get("configurations", {}):
        raise InputError(f"{name}: its plans have no configuration {content['configuration']}")
    return content
