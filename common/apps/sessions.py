"""What a server keeps for each open page: a folder of its own, what was loaded, and whether to stop."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from ..io.mammograms import Mammogram


class Stopped(Exception):
    """A person asked to stop."""


class Session:
    """One open page.

    Args:
        folder: its own, not served; it goes with the page.

    Attributes:
        mammogram: the one to be painted, if any is loaded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mammogram: Mammogram | None = None
        self._stop = threading.Event()

    def begin(self) -> None:
        """Forget an earlier wish to stop."""
        self._stop.clear()

    def stop(self) -> None:
        """Let whatever runs for this page end before its next step."""
        self._stop.set()

    def check(self) -> None:
        """Called between steps.

        Raises:
            Stopped: if `stop` was called since `begin`.
        """
        if self._stop.is_set():
            raise Stopped

    def room(self, name: str) -> Path:
        """A folder in the session's own, after everything in it was deleted."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


class Sessions:
    """The open pages of a server.

    Args:
        folder: where their folders are made.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, request: Any) -> Session:
        """The session of a gradio request; a new one at a page's first."""
        with self._lock:
            if request.session_hash not in self._open:
                self._open[request.session_hash] = Session(Path(tempfile.mkdtemp(dir=self._folder)))
            return self._open[request.session_hash]

    def drop(self, request: Any) -> None:
        """A page was closed: what runs for it stops, what it loaded is deleted."""
        with self._lock:
            session = self._open.pop(request.session_hash, None)
        if session is not None:
            session.stop()
            shutil.rmtree(session.folder, ignore_errors=True)

    def stop(self) -> None:
        """Whatever runs for any page ends before its next step."""
        with self._lock:
            for session in self._open.values():
                session.stop()
