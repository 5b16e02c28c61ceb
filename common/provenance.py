"""What made a file: enough to make it again, and to tell whether a file on disk is the one a command would make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .io.files import sha256_of_file, sha256_of_json
from .outputs import PROVENANCE
from .weights import check_weights_file


def sampling_facts(bundle_root: str | Path, weights: str | Path, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What all samples of a run share: that they are synthetic, bundle and version, hash of the weights, knobs."""
    metadata = json.loads((Path(bundle_root) / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return {
        "synthetic": True,
        "bundle": metadata["bundle"],
        "version": metadata["version"],
        "weights_sha256": sha256_of_file(check_weights_file(weights)),
        **knobs,
    }


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
    """Whether two records describe the same output; the input's name does not matter, its content does."""
    ignored = ("input", "reference", "regions")
    hashes = [sha256_of_json({k: v for k, v in record.items() if k not in ignored}) for record in (first, second)]
    return hashes[0] == hashes[1]
