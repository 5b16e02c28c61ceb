"""Who reads: names that make file names, the word that keeps others out, and how far a reader has gone.

STUDY/readers/<reader>.json   salt and hash of the word, number of parts that are closed
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..io.files import write_json
from .study_files import ANSWERS

READERS = "readers"
SHORTEST_WORD, LONGEST_WORD = 4, 200
_NAME = re.compile(r"\w[\w-]{0,39}")
# Device names of Windows, which are no files there.
_DEVICES = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)


@dataclass(frozen=True)
class Reader:
    """One reader of a study.

    Attributes:
        name: which is also that of the files.
        salt, hash: of the reader's word; empty for one whom whoever started the page named.
        closed: parts that the reader has left for good.
    """

    name: str
    salt: str
    hash: str
    closed: int = 0


def reader_name(text: str) -> str:
    """A name that can be a file's; spaces become underscores.

    Raises:
        InputError: anything but 1 to 40 letters, digits, hyphens and underscores, beginning with a letter or digit.
    """
    name = "_".join(unicodedata.normalize("NFC", str(text)).split())
    if not _NAME.fullmatch(name) or name.startswith("_") or _DEVICES.fullmatch(name):
        raise InputError("name: use 1 to 40 letters, digits, spaces and hyphens, such as R1")
    return name


def enter(folder: Path, text: str, word: str) -> Reader:
    """The reader of this name and word; a new one where the name is not taken.

    Upper and lower case are one name, as on many disks.

    Raises:
        InputError: no name, a word too short, or one that is not that of the name.
    """
    name, word = reader_name(text), str(word)
    known = _known(folder, name)
    if known is not None:
        if not hmac.compare_digest(_hash(word, known.salt), known.hash):
            raise InputError("this name is taken, and the word is another; correct it, or use another name")
        return known
    if (folder / ANSWERS / f"{name}.csv").exists():
        raise InputError("there are answers of this name without a word; start the page with --reader, or use another")
    if not SHORTEST_WORD <= len(word) <= LONGEST_WORD:
        raise InputError(f"word: use {SHORTEST_WORD} characters or more; you need it to go on later")
    salt = secrets.token_hex(16)
    return keep(folder, Reader(name, salt, _hash(word, salt)))


def enter_named(folder: Path, text: str) -> Reader:
    """The reader whom the person who starts the page names, without a word.

    Raises:
        InputError: no name.
    """
    name = reader_name(text)
    return _known(folder, name) or keep(folder, Reader(name, "", ""))


def keep(folder: Path, reader: Reader) -> Reader:
    """Write what is known of a reader; returns it."""
    (folder / READERS).mkdir(exist_ok=True)
    content = {"salt": reader.salt, "hash": reader.hash, "closed": reader.closed}
    write_json(folder / READERS / f"{reader.name}.json", content)
    return reader


def _known(folder: Path, name: str) -> Reader | None:
    for path in sorted((folder / READERS).glob("*.json")):
        if path.stem.casefold() == name.casefold() and not path.name.startswith("."):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                return Reader(path.stem, str(content["salt"]), str(content["hash"]), int(content["closed"]))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: damaged; put back a copy of it, the answers are elsewhere") from error
    return None


def _hash(word: str, salt: str) -> str:
    return hashlib.scrypt(word.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
