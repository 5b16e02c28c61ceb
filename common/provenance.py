"""What made a file: enough to make it again, and to tell whether a file on disk is the one a command would make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .io.files import sha256_of_file, sha256_of_json
from .outputs import PROVENANCE
from .weights import check_weights_file


def sampling_facts(
    bundle_root: str | Path, weights: str | Path, knobs: Mapping[str, Any], weights_id: str | None = None
) -> dict[str, Any]:
    """What all samples of a run share: that they are synthetic, bundle and version, hash of the weights, knobs.

    `weights_id` names weights that are no file in place of a file's hash.
    """
    metadata = json.loads((Path(bundle_root) / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return {
        "synthetic": True,
        "bundle": metadata["bundle"],
        "version": metadata["version"],
        "weights_sha256": weights_id or sha256_of_file(check_weights_file(weights)),
        **knobs,
    }


def segmentation_facts(
    bundle_root: str | Path, weights: str | Path, model: Mapping[str, Any], knobs: Mapping[str, Any]
) -> dict[str, Any]:
    """What all masks of a run share: bundle and version, hashes of weights and plans, knobs.

    A mask of a real image is no synthetic file, but it is an algorithm's: `algorithm` says so.
    """
    facts = sampling_facts(bundle_root, weights, {"plans_sha256": sha256_of_json(model), **knobs})
    del facts["synthetic"]
    return {"algorithm": True, **facts}


def read_provenance(folder: str | Path) -> dict[str, Any] | None:
    """The provenance of a finished output folder, or None where there is none."""
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def same_provenance(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two records describe the same output; names of inputs and what follows from them do not matter."""
    ignored = ("input", "reference", "mask", "regions", "scale", "painted_pixels", "close_up", "tumour_ml")
    hashes = [sha256_of_json({k: v for k, v in record.items() if k not in ignored}) for record in (first, second)]
    return hashes[0] == hashes[1]


def is_finished(folder: str | Path, record: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether an output folder already holds what a record describes.

    Raises:
        InputError: it holds something else, and `overwrite` is not set.
    """
    folder = Path(folder)
    if not folder.exists():
        return False
    found = read_provenance(folder)
    if found is not None and same_provenance(found, record):
        return True
    if not overwrite:
        changed = sorted(k for k in record if (found or {}).get(k) != record[k]) or ["provenance"]
        raise InputError(
            f"{folder}: exists with other {', '.join(changed[:3])}; choose another output_dir, or pass --overwrite True"
        )
    return False
