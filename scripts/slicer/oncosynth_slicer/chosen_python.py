"""Which Python runs the bundles, and the environment that it runs in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .descriptor import Refused

ROOT = Path(__file__).resolve().parents[3]
VARIABLE = "ONCOSYNTH_PYTHON"
SETTINGS = Path(".config") / "oncosynth" / "python"
IN_ENVIRONMENT = (Path("bin") / "python", Path("Scripts") / "python.exe")
# Slicer sets these for its own libraries and its own Python; another Python does not start, or crashes, with them.
FOREIGN = ("LD_LIBRARY_PATH", "LD_PRELOAD", "ITK_AUTOLOAD_PATH", "QT_PLUGIN_PATH", "__PYVENV_LAUNCHER__")
FOREIGN_BEGINNINGS = ("PYTHON", "DYLD_")


def find_python(given: str | None, environment: Mapping[str, str], home: Path, root: Path = ROOT) -> Path:
    """The Python to run bundles with.

    It is named by the first of: the module's parameter, the variable ONCOSYNTH_PYTHON, the first line of the file
    `~/.config/oncosynth/python`; else it is that of the repository's `.venv`. A folder stands for the virtual
    environment in it.

    Raises:
        Refused: none is named and the repository has none, or the named one does not exist.
    """
    settings = home / SETTINGS
    written = ""
    if settings.is_file():
        lines = settings.read_text(encoding="utf-8").splitlines()
        written = next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")
    named = (
        (given, "the module's parameter Python"),
        (environment.get(VARIABLE), f"the variable {VARIABLE}"),
        (written, f"the file {settings}"),
    )
    for text, source in named:
        if text and text.strip():
            return _existing(Path(text.strip()).expanduser(), source)
    own = _inside(root / ".venv")
    if own is None:
        raise Refused(
            f"no Python is chosen: run 'make demo' in {root}, or set the variable {VARIABLE} or the module's parameter "
            "Python (Advanced) to a Python with OncoSynth installed"
        )
    return own


def _existing(path: Path, source: str) -> Path:
    found = _inside(path) if path.is_dir() else path
    if found is None or not found.is_file():
        raise Refused(f"{path}: no Python there, but {source} names it; correct it")
    return found


def _inside(folder: Path) -> Path | None:
    return next((folder / place for place in IN_ENVIRONMENT if (folder / place).is_file()), None)


def child_environment(environment: Mapping[str, str]) -> dict:
    """The environment without what Slicer set for its own Python and libraries, and without downloads."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in FOREIGN and not name.startswith(FOREIGN_BEGINNINGS)
    }
    home = environment.get("SLICER_HOME")
    if home:
        # On Windows, libraries are found along PATH.
        entries = kept.get("PATH", "").split(os.pathsep)
        kept["PATH"] = os.pathsep.join(entry for entry in entries if not entry.startswith(home))
    kept.setdefault("HF_HUB_OFFLINE", "1")
    kept["PYTHONIOENCODING"] = "utf-8"
    return kept
