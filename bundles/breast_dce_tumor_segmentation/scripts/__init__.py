"""Python of this bundle: shared parts lie in `scripts.common`."""

from pathlib import Path


def bundle_root() -> str:
    """Folder of this bundle, wherever it was unpacked and whatever the working directory."""
    return str(Path(__file__).resolve().parent.parent)
