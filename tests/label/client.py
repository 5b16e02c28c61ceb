"""A MONAI Label server in a process of its own, and what the tests ask it over REST."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = ROOT / "scripts" / "label_server.py"
FLOAT = {"result_extension": ".nii.gz", "result_dtype": "float32"}
START_SECONDS = 180


def run_python(*arguments: str | Path, cwd: str | Path = "/", check: bool = True) -> subprocess.CompletedProcess:
    """This environment's Python, one thread, output kept."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, env=environment, check=False)
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server from a command line that is followed by its port; `stop` ends it and its children."""

    def __init__(self, command: Iterable[str | Path], port: int, log: Path) -> None:
        self.url, self.port, self.log = f"http://127.0.0.1:{port}", port, log
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        # `monailabel` is a shell script that calls the first python of the path.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*map(str, command)], cwd="/", stdout=file, stderr=file, env=environment, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended\n{self.log.read_text()[-3000:]}")
            try:
                requests.get(f"{self.url}/info/", timeout=30)
                return
            except requests.ConnectionError:
                time.sleep(0.5)
        raise AssertionError(f"no answer for {START_SECONDS} s\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=60)

    def get(self, path: str, **query: str) -> requests.Response:
        return requests.get(f"{self.url}/{path}", params=query, timeout=60)

    def infer(
        self, model: str, image: str = "", file: Path | None = None, output: str = "image", **params: object
    ) -> requests.Response:
        """One inference, of an image of the studies (name, or path on the server) or of an uploaded file."""
        files = {"file": (file.name, file.read_bytes())} if file else None
        query = {"output": output, **({"image": str(image)} if image else {})}
        data = {"params": json.dumps(params)}
        return requests.post(f"{self.url}/infer/{model}", params=query, data=data, files=files, timeout=600)

    def volume(self, to: Path, model: str, image: str = "", **params: object) -> Path:
        """One inference whose result is written to a file."""
        answer = self.infer(model, image, **{**FLOAT, **params})
        assert answer.status_code == 200, answer.text
        to.write_bytes(answer.content)
        return to

    def submit(self, image: str, label: Path, tag: str = "final") -> requests.Response:
        with label.open("rb") as file:
            return requests.put(
                f"{self.url}/datastore/label", params={"image": image, "tag": tag}, files={"label": file}, timeout=60
            )

    def train(self, model: str, **params: object) -> requests.Response:
        return requests.post(f"{self.url}/train/{model}", json=params, timeout=60)


def mistake(answer: requests.Response, status: int = 400) -> str:
    """The one line that the person sees."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    detail = answer.json()["detail"]
    assert "\n" not in detail
    assert "Traceback" not in detail
    return detail
