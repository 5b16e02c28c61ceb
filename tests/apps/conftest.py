"""A tool's server in a process of its own, random weights for it, and a headless Chromium."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MAMMOGRAM, ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # the image editor draws by WebGL
]
# The bundle's network with random weights and made-up latent statistics; `common` must not be in the same process.
RANDOM_WEIGHTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
from monai.bundle import ConfigParser
from scripts.common.weights import save_weights
torch.manual_seed(0)
config = ConfigParser(json.load(open(sys.argv[1] + "/configs/generate.json")))
network = config.get_parsed_content("network_def")
network.latent_shift.zero_()
network.latent_scale.fill_(0.3)
save_weights(network, sys.argv[2])
"""


@dataclass
class Server:
    """A running tool: its address, its process, the folder of its temporary files, and what it printed."""

    url: str
    port: int
    process: subprocess.Popen
    folder: Path
    printed: list[str]


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory) -> Path:
    """Weights of the shipped sizes that draw noise."""
    path = tmp_path_factory.mktemp("weights") / "random_weights.pt"
    command = [sys.executable, "-c", RANDOM_WEIGHTS, str(MAMMOGRAM), str(path)]
    subprocess.run(command, check=True, cwd="/", capture_output=True, env=environment(), timeout=300)
    return path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(tool: str, weights: Path, folder: Path) -> Iterator[Server]:
    """The tool, as a person starts it, with temporary files in `folder`; ended by SIGTERM."""
    port = free_port()
    command = [sys.executable, str(ROOT / "scripts" / "app.py"), tool, "--weights", str(weights), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--open_browser", "False"],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(TMPDIR=str(folder), PYTHONUNBUFFERED="1"),
    )
    server = Server(f"http://127.0.0.1:{port}", port, process, folder, [])
    reader = threading.Thread(target=lambda: server.printed.extend(iter(process.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        wait_for(lambda: process.poll() is not None or any(server.url in line for line in server.printed), 120)
        assert process.poll() is None, "".join(server.printed)
        yield server
    finally:
        process.terminate()
        process.wait(60)
        reader.join(10)
    # However it was used: it ends well and leaves nothing behind.
    assert process.returncode == 0 and "Traceback" not in "".join(server.printed), "".join(server.printed)
    assert list(folder.iterdir()) == []


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def chromium():
    """A headless browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Page:
    """A page of a tool in the browser, and what it asked of any network."""

    def __init__(self, browser, server: Server) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.set_default_timeout(60_000)
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(server.url)
        self.page.wait_for_url("**__theme=dark**")
        self.page.wait_for_selector("#start")
        self.server = server

    def value(self, field: str) -> str:
        return self.page.locator(f"#{field} input, #{field} textarea").first.input_value()

    def fill(self, field: str, text: str) -> None:
        self.page.locator(f"#{field} input, #{field} textarea").first.fill(text)
        self.page.keyboard.press("Tab")

    def choose(self, field: str, option: str) -> None:
        self.page.locator(f"#{field} input").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def run(self, *, wait: bool = True) -> str:
        """Press the button; the status at the end."""
        self.page.click("#start")
        self.page.wait_for_selector("#cancel:enabled")
        return self.end() if wait else ""

    def end(self) -> str:
        self.page.wait_for_selector("#start:enabled")
        return self.status()

    def status(self) -> str:
        return self.page.inner_text("#status").strip()

    def download(self, suffix: str, folder: Path) -> Path:
        """One of the files that the page offers."""
        link = self.page.locator(f"#files a[download$='{suffix}']").first
        with self.page.expect_download() as waiting:
            link.click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def picture(self, place: str, number: int = 0) -> np.ndarray:
        """The pixels of a picture on the page."""
        address = self.page.locator(f"#{place} img").nth(number).get_attribute("src")
        return np.asarray(Image.open(io.BytesIO(self.page.request.get(address).body())))

    def strangers(self) -> list[str]:
        """What was asked of any other machine."""
        return [url for url in self.requests if not url.startswith((self.server.url, "data:", "blob:"))]
