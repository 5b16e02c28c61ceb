"""Files that appear whole or not at all, hashes, and output folders that are checked before work begins."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..knobs import as_path


def write_atomically(path: str | Path, write: Callable[[str], None]) -> None:
    """Call `write(temporary_path)`, then rename the result to `path`. Nothing is left behind if `write` fails."""
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=suffix)
    os.close(handle)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, indented, with keys in their given order."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def replace_folder(finished: Path, target: Path) -> Path:
    """Put a finished temporary folder in its place; an older one goes only now. Returns the place."""
    if target.exists():
        shutil.rmtree(target)
    finished.rename(target)
    return target


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_source(source: str | Path) -> str | None:
    """SHA-256 of a file, or over those of all files of a folder; None where there is nothing."""
    source = as_path(source)
    if source.is_file():
        return sha256_of_file(source)
    if not source.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(sha256_of_file(path).encode())
    return digest.hexdigest()


def sha256_of_json(content: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def make_output_dir(path: str | Path) -> Path:
    """Create a folder and prove that it can be written to.

    Raises:
        InputError: the path is a file, or cannot be created or written.
    """
    path = as_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".writable-"):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"output_dir {path}: cannot be written ({reason}); choose another folder") from error
    return path
