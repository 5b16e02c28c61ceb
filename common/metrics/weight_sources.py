"""Weight files that are not shipped: where they come from, where they are looked for, whether they are the right ones.

The list is `weights.yml` beside this module, which goes wherever this package goes; the repository shows it as
`metadata/weights.yml`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from ..errors import InputError
from ..io.files import sha256_of_file
from ..knobs import as_path

LIST = Path(__file__).with_name("weights.yml")
FOLDER_VARIABLE = "ONCOSYNTH_WEIGHTS"


@dataclass(frozen=True)
class WeightSource:
    """One entry of `weights.yml`, whose head says what the fields mean."""

    name: str
    file: str
    what: str
    used_by: tuple[str, ...]
    urls: tuple[str, ...]
    licence: str | None = None
    note: str | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    hash_from: str | None = None
    revision: str | None = None

    def is_file_of(self, sha256: str) -> bool:
        """Whether a file with this hash is the one meant, as far as its hash is known."""
        start = self.sha256 or self.sha256_prefix
        return start is not None and sha256.startswith(start)

    @property
    def hash_text(self) -> str:
        """What is known of the hash, for messages."""
        if self.sha256 is not None:
            return f"SHA-256 {self.sha256}"
        return (
            f"SHA-256 {self.sha256_prefix}..." if self.sha256_prefix else "no published SHA-256: state the file's own"
        )


@cache
def weight_sources() -> tuple[WeightSource, ...]:
    """All entries, in the order of the list."""
    entries = yaml.safe_load(LIST.read_text(encoding="utf-8"))["weights"]
    lists = ("used_by", "urls")
    return tuple(WeightSource(**{k: tuple(v) if k in lists else v for k, v in entry.items()}) for entry in entries)


def weights_folder() -> Path:
    """Where weight files are looked for: the folder in ONCOSYNTH_WEIGHTS, else `~/.cache/oncosynth/weights`."""
    return Path(os.environ.get(FOLDER_VARIABLE) or Path.home() / ".cache" / "oncosynth" / "weights")


def find_weights(use: str, path: str | Path | None = None, sha256: str | None = None) -> tuple[Path, str]:
    """A weight file and its hash, after checking that it is the one meant.

    Args:
        use: what it is for, as in `used_by`.
        path: the file; None for the default of that use, in the weights folder.
        sha256: its hash; None where it is one of the list, whose hashes are known.

    Returns:
        Path and SHA-256.

    Raises:
        InputError: no such file (says where to get it and where to put it), another file than the one meant, or a file
            of unknown hash.
    """
    sources = [source for source in weight_sources() if use in source.used_by]
    if path is None and not sources:
        raise InputError(f"{use}: no weight file is known for it; name one by its path and SHA-256")
    place = as_path(path) if path is not None else weights_folder() / sources[0].file
    if not place.is_file():
        raise InputError(f"{place}: no such weight file" + (f"; {_advice(sources[0])}" if sources else ""))
    found = sha256_of_file(place)
    if sha256 is not None and found != str(sha256).lower():
        raise InputError(f"{place}: SHA-256 is {found}, {sha256} was expected; this is another file than the one meant")
    if sha256 is None and not any(source.is_file_of(found) for source in sources):
        raise InputError(
            f"{place}: SHA-256 is {found}, which no entry of weights.yml for {use} has; if this is the file you mean, "
            "state that hash (sha256)"
        )
    return place, found


def _advice(source: WeightSource) -> str:
    note = f" ({source.note})" if source.note else ""
    return (
        f"get it from {source.urls[0]}{note}, {source.hash_text}, and put it at {weights_folder() / source.file} "
        "or name its path"
    )
