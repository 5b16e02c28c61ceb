"""Runs bundles and scripts in new processes that need not import the libraries again.

Importing torch, MONAI, diffusers, transformers and nnU-Net takes longer than most runs of the tests. A `Launcher`
imports them once, in a process that does nothing else, and forks that for each run: every run still has a process, a
working folder, an environment and output of its own, and finds none of this repository's modules loaded.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PRELOADED = (
    "monai.bundle",
    "diffusers.models",
    "fire",
    "nibabel",
    "nnunetv2.inference.predict_from_raw_data",
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    "PIL.Image",
    "scipy.ndimage",
    "torch.utils.tensorboard",
    "transformers.models.clip.modeling_clip",
)


class Launcher:
    """The process that forks; it ends with the one that made it."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: list[str], cwd: Path | str, timeout: float) -> subprocess.CompletedProcess:
        """As `subprocess.run` of `python` with this command line and today's environment.

        The command begins with `-m` and a module, `-c` and code, or the path of a script.
        """
        with tempfile.TemporaryDirectory() as folder:
            stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
            request = {
                "command": command,
                "cwd": str(cwd),
                "environment": {**os.environ, "OMP_NUM_THREADS": "1"},
                "outputs": [str(stdout), str(stderr)],
                "timeout": int(timeout),
            }
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            return subprocess.CompletedProcess(command, code, stdout.read_text(), stderr.read_text())

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(30)


def become(request: dict) -> None:
    """Make of a forked process the one that was asked for, and run it; its alarm ends it where it takes too long."""
    signal.alarm(request["timeout"])
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for number, path in enumerate(request["outputs"], 1):
        with open(path, "w") as stream:
            os.dup2(stream.fileno(), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    first, *rest = request["command"]
    if first not in ("-m", "-c"):
        sys.path[0], sys.argv = os.path.dirname(os.path.abspath(first)), [first, *rest]
        runpy.run_path(first, run_name="__main__")
    elif first == "-m":
        sys.path[0], sys.argv = request["cwd"], rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = "", ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})


def main() -> None:
    """Fork for each line of the input; in the new processes only, run what was asked for."""
    for name in PRELOADED:
        __import__(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.close()
            become(json.loads(line))
            return
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, file=answers, flush=True)


if __name__ == "__main__":
    main()
