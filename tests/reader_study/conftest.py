"""A study, the page's server in a process of its own, and a reader in a headless Chromium."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from common.reader_study.study_maker import make_study
from tests.apps.conftest import chromium, environment, free_port, wait_for  # noqa: F401
from tests.conftest import ROOT
from tests.reader_study.pictures import write_floats, write_synthetic

WORD = "open sesame"
# Writes down in the browser what the server sends.
LISTENING = """
const plain = window.fetch;
window.fetch = async (path, options) => {
  const response = await plain(path, options);
  if (!path.includes("/api/image/")) {
    const sent = JSON.parse(sessionStorage.getItem("sent") || "[]");
    sessionStorage.setItem("sent", JSON.stringify([...sent, await response.clone().text()]));
  }
  return response;
};
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Three real and three synthetic images of 64 x 64 pixels."""
    folder = tmp_path_factory.mktemp("reading")
    real, synthetic = write_floats(folder / "real", 3, 64), write_synthetic(folder / "synthetic", 3, 64, samples=1)
    return make_study(real, synthetic, folder / "study", folder / "key.csv")


class Server:
    """The page as a person starts it, until it is killed."""

    def __init__(self, study: Path, *arguments: str) -> None:
        self.study, self.port = study, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments, self.printed = arguments, []
        self.start()

    def start(self) -> None:
        script = [sys.executable, str(ROOT / "scripts" / "reader_study.py"), "read", "--study", str(self.study)]
        self.process = subprocess.Popen(
            [*script, "--port", str(self.port), "--open_browser", "False", *self.arguments],
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(PYTHONUNBUFFERED="1"),
        )
        lines = iter(self.process.stdout.readline, "")
        threading.Thread(target=lambda: self.printed.extend(lines), daemon=True).start()
        wait_for(lambda: self.process.poll() is not None or self.is_up(), 120)
        assert self.process.poll() is None, "".join(self.printed)

    def is_up(self) -> bool:
        try:
            return urllib.request.urlopen(self.url, timeout=5).status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait(30)

    def answers(self, reader: str) -> dict[tuple[str, str], str]:
        path = self.study / "answers" / f"{reader}.csv"
        if not path.is_file():
            return {}
        with path.open(newline="") as stream:
            return {(row["image"], row["task"]): row["value"] for row in csv.DictReader(stream)}


class Page:
    """A reader's browser, with all that it was sent; playwright waits by `eval`, which the page itself forbids."""

    def __init__(self, browser, server: Server, size=(1280, 860)) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, bypass_csp=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.server, self.addresses = server, []
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.add_init_script(LISTENING)
        self.page.goto(server.url)

    def sent(self) -> list[str]:
        """Every answer of the server but pixels, also from before the page was loaded again."""
        return self.page.evaluate("JSON.parse(sessionStorage.getItem('sent') || '[]')")

    def texts(self) -> str:
        """What was sent, the page as it was loaded, and as it stands."""
        with urllib.request.urlopen(self.server.url, timeout=30) as answer:
            return "\n".join([answer.read().decode(), *self.sent(), self.page.content()])

    def enter(self, name: str, word: str = WORD) -> None:
        self.page.wait_for_selector("#enter:not([hidden])")
        self.page.fill("#name", name)
        self.page.fill("#word", word)
        self.page.keyboard.press("Enter")

    def begin(self) -> None:
        """From the sheet before a part to its images."""
        self.page.wait_for_selector("#between:not([hidden]) #go:not([hidden])")
        self.page.click("#go")
        self.page.wait_for_selector("#work:not([hidden])")

    def at(self) -> int:
        """Number of the image that is shown, once it is drawn, from 0."""
        self.page.wait_for_function("document.querySelector('#canvas').dataset.position !== ''")
        return int(self.page.get_attribute("#canvas", "data-position"))

    def press(self, key: str) -> None:
        self.at()
        self.page.keyboard.press(key)

    def answer(self, value: int) -> None:
        """By its key; returns once it is saved and the next image, or sheet, is there."""
        place = self.at()
        self.page.keyboard.press(str(value))
        self.after(place)

    def click(self, value: int) -> None:
        place = self.at()
        self.page.click(f".choice[data-value='{value}']")
        self.after(place)

    def after(self, place: int) -> None:
        self.page.wait_for_function(
            "place => document.querySelector('#work').hidden ||"
            " !['', place].includes(document.querySelector('#canvas').dataset.position)",
            arg=str(place),
        )

    def shades(self) -> bytes:
        """What the canvas shows."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.page.locator("#canvas").screenshot()
