"""Progress as 3D Slicer reads it from a module's standard output."""

from __future__ import annotations

import re
import time
from html import escape
from typing import TextIO

BAR = re.compile(r"^\s*(?P<text>[^|%]*?):?\s*(?P<percent>\d{1,3})%\|")


class Progress:
    """Prints start, progress and end of a run, a line at a time.

    Slicer shows `filter-comment` as the text beside its bar.

    Args:
        name: of the module.
        stream: where to print.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name, self.stream = escape(name), stream
        self.began, self.fraction = time.monotonic(), 0.0

    def start(self, text: str) -> None:
        """Say that the run begins."""
        self._print("<filter-start>")
        self._print(f"<filter-name>{self.name}</filter-name>")
        self._print(f"<filter-comment>{escape(text)}</filter-comment>")
        self._print("</filter-start>")
        self._print("<filter-progress>0</filter-progress>")

    def report(self, fraction: float, text: str = "") -> None:
        """Say how much is done, from 0 to 1; the bar never goes back."""
        if text:
            self._print(f"<filter-comment>{escape(text)}</filter-comment>")
        if fraction > self.fraction:
            self.fraction = min(fraction, 1.0)
            self._print(f"<filter-progress>{self.fraction:.3f}</filter-progress>")

    def end(self) -> None:
        """Say that all is done, and how many seconds it took."""
        self.report(1.0)
        self._print("<filter-end>")
        self._print(f"<filter-name>{self.name}</filter-name>")
        self._print(f"<filter-time>{time.monotonic() - self.began:.1f}</filter-time>")
        self._print("</filter-end>")

    def _print(self, line: str) -> None:
        # Slicer reads a pipe, which Python fills block by block unless told otherwise.
        print(line, file=self.stream, flush=True)


def bar_progress(line: str) -> tuple | None:
    """Text and fraction (0 to 1) of a line that is a tqdm bar such as `sampling:  35%|###  | 7/20`, else None."""
    found = BAR.match(line)
    return (found["text"].strip(), int(found["percent"]) / 100) if found else None
