"""Run a bundle in the user's Python for a 3D Slicer module: arguments in, progress and one-line errors out.

Slicer reports whatever a module prints on standard error as an error. So all that a bundle prints goes to standard
output, and standard error gets the one line of a mistake, or the traceback of what was not foreseen.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from .chosen_python import ROOT, child_environment, find_python
from .descriptor import Descriptor, Refused
from .progress import Progress, bar_progress

WORKER = Path(__file__).resolve().with_name("worker.py")
READY = "oncosynth-worker-ready"
STAGE = "oncosynth-worker-stage "
OUTPUT_SUFFIXES = (".nrrd", ".nii.gz", ".nii")
# Share of the whole that a bundle's own bar stands for; before it comes loading, after it writing.
BAR_BEGIN, BAR_END = 0.3, 0.9
PREFIX = "oncosynth-slicer-"
A_DAY = 86400.0
TRACEBACK_LINES = 40


class Output(NamedTuple):
    """A file that Slicer waits for.

    Attributes:
        pattern: glob of the bundle's file, below its output folder.
        target: where Slicer reads it.
        label: whether it is a label map (uint8) instead of an image (float32).
    """

    pattern: str
    target: str
    label: bool = False


class Job(NamedTuple):
    """One run of a bundle.

    Attributes:
        bundle: name of its folder.
        source: parameter that holds the input.
        path: the input's file.
        knobs: options of the bundle; those that are None are left out.
        outputs: what to hand back.
        named: whether the file's own name is the user's and is kept. Slicer names files that it writes itself at
            random; samples, whose seed depends on the name, would never come out the same twice.
        segments: whether the input is a segmentation to be made a label map first.
        overlay: a further configuration file, or None.
    """

    bundle: str
    source: str
    path: str
    knobs: dict
    outputs: Sequence[Output]
    named: bool = False
    segments: bool = False
    overlay: str | None = None


def main(script: str, make_job: Callable[[dict], Job], arguments: Sequence[str] | None = None) -> int:
    """Answer `--xml`, or run a module; returns the exit code.

    Args:
        script: the module's file, whose descriptor has the same name with the suffix `.xml`.
        make_job: from the descriptor's values to the job; raises `Refused`.
        arguments: of the command line; those of this process if None.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    descriptor = Descriptor(Path(script).resolve().with_suffix(".xml"))
    if "--xml" in arguments:
        sys.stdout.write(descriptor.text)
        return 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    work = None
    try:
        values = descriptor.parse(arguments)
        job = make_job(values)
        check_outputs(job.outputs)
        check_bundle(ROOT / "bundles" / job.bundle)
        python = find_python(values.get("python"), os.environ, Path.home())
        remove_stale_folders(Path(tempfile.gettempdir()))
        work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        _Run(descriptor, job, python, work).finish()
    except Refused as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def _stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Refused("stopped before it was done; nothing was written")


def check_outputs(outputs: Sequence[Output]) -> None:
    """Refuse a run that has nothing to write, or would write what cannot be written.

    Raises:
        Refused: no output, or one of another kind of file.
    """
    if not outputs:
        raise Refused("no output is chosen; create a new volume for at least one")
    for output in outputs:
        if not output.target.lower().endswith(OUTPUT_SUFFIXES):
            raise Refused(f"{output.target}: cannot be written; name a file that ends in {', '.join(OUTPUT_SUFFIXES)}")


def check_bundle(folder: Path) -> None:
    """Refuse a run without its bundle, before a Python is started for it.

    Raises:
        Refused: the folder has no bundle, or one without weights.
    """
    for name in ("configs/inference.json", "models/model.pt"):
        if not (folder / name).is_file():
            raise Refused(f"{folder / name}: no such file; this copy of OncoSynth is not complete, get it again")


def remove_stale_folders(parent: Path) -> None:
    """Delete the folders of runs that were killed, which could not delete them: they hold images."""
    for folder in parent.glob(f"{PREFIX}*-*"):
        try:
            if _is_stale(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError):
            continue


def _is_stale(folder: Path) -> bool:
    if os.name != "posix":
        return time.time() - folder.stat().st_mtime > A_DAY
    try:
        os.kill(int(folder.name[len(PREFIX) :].split("-")[0]), 0)
    except ProcessLookupError:
        return True
    return False


class _Run:
    """One run of the worker: started at once, watched by two threads."""

    def __init__(self, descriptor: Descriptor, job: Job, python: Path, work: Path) -> None:
        self.python, self.ready = python, False
        self.noise: list[str] = []
        self.error: str | None = None
        given = _place_input(job, work)
        # A user knows an input by its label or by the file that was picked, not by its place in a temporary folder.
        self.shown = job.path if job.named else descriptor.label(job.source)
        self.place = re.compile(rf"{re.escape(str(given.parent))}[/\\][\w.+/\\-]*[\w+-]")
        description = work / "job.json"
        description.write_text(json.dumps(_describe(job, given, work)), encoding="utf-8")
        self.progress = Progress(descriptor.title, sys.stdout)
        self.progress.start(f"starting {python}")
        try:
            self.child = subprocess.Popen(
                [str(python), "-u", str(WORKER), str(description)],
                cwd=str(work),
                env=child_environment(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Refused(f"{python}: does not start ({error.strerror or error}); choose another Python") from None

    def finish(self) -> None:
        """Wait for the worker; whatever happens, it does not live on.

        Raises:
            Refused: it failed.
        """
        readers = [
            threading.Thread(target=self._read, args=(self.child.stdout, self._on_output), daemon=True),
            threading.Thread(target=self._read, args=(self.child.stderr, self._on_noise), daemon=True),
        ]
        try:
            for reader in readers:
                reader.start()
            code = self.child.wait()
            for reader in readers:
                reader.join(10)
        finally:
            self._kill()
        if code == 0 and self.ready:
            self.progress.end()
            return
        if self.error:
            raise Refused(self.error)
        if not self.ready:
            last = self.noise[-1] if self.noise else f"exit code {code}"
            raise Refused(f"{self.python}: is not a Python that can run OncoSynth ({last}); choose another")
        if code < 0:
            raise Refused(f"{self.python}: was ended by signal {-code}; perhaps there was not enough memory")
        print("\n".join(self.noise[-TRACEBACK_LINES:]), file=sys.stderr, flush=True)
        raise Refused("the bundle failed in a way that was not foreseen; the lines above say where")

    def _kill(self) -> None:
        # The worker leads a group of its own, which takes what it has started with it.
        try:
            if os.name == "posix":
                os.killpg(self.child.pid, signal.SIGKILL)
            else:
                self.child.kill()
        except (ProcessLookupError, PermissionError):
            pass
        self.child.wait()

    def _read(self, pipe: IO[bytes], handle: Callable[[str], None]) -> None:
        """Hand over line by line; a progress bar ends its lines with a carriage return alone."""
        rest, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while True:
                chunk = os.read(pipe.fileno(), 65536)
                rest += decoder.decode(chunk)
                *lines, rest = re.split(r"[\r\n]+", rest)
                if not chunk:
                    lines.append(rest)
                for line in filter(str.strip, lines):
                    handle(self._in_users_words(line))
                if not chunk:
                    return
        except BrokenPipeError:
            self.child.kill()  # Slicer is gone, nobody waits for the result

    def _in_users_words(self, line: str) -> str:
        return self.place.sub(lambda _: self.shown, line)

    def _on_output(self, line: str) -> None:
        if line.strip() == READY:
            self.ready = True
        elif line.startswith(STAGE):
            fraction, _, text = line[len(STAGE) :].partition(" ")
            self.progress.report(float(fraction), text)
        else:
            print(line, flush=True)

    def _on_noise(self, line: str) -> None:
        bar = bar_progress(line)
        if bar:
            self.progress.report(BAR_BEGIN + (BAR_END - BAR_BEGIN) * bar[1], bar[0])
        elif line.startswith("error: "):
            self.error = line[len("error: ") :]
        else:
            self.noise.append(line)
            print(line, flush=True)


def _place_input(job: Job, work: Path) -> Path:
    """The input under the name that the bundle is to know it by: a link, or a copy where links are not allowed."""
    source = Path(job.path)
    if not source.is_file():
        raise Refused(f"{source}: no such file; choose an input")
    suffix = next((s for s in (".seg.nrrd", ".nii.gz") if source.name.lower().endswith(s)), source.suffix)
    name = re.sub(r"[^\w.+-]", "_", source.name) if job.named else f"volume{suffix}"
    folder = work / "input"
    folder.mkdir()
    try:
        os.symlink(source.resolve(), folder / name)
    except OSError:
        shutil.copyfile(source, folder / name)
    return folder / name


def _describe(job: Job, given: Path, work: Path) -> dict:
    return {
        "root": str(ROOT),
        "bundle": str(ROOT / "bundles" / job.bundle),
        "overlay": job.overlay,
        "work": str(work),
        "input": str(given),
        "segments": job.segments,
        "knobs": {name: value for name, value in job.knobs.items() if value is not None},
        "outputs": [{**output._asdict(), "target": os.path.abspath(output.target)} for output in job.outputs],
    }


def advanced_knobs(values: dict) -> dict:
    """The bundle's knobs among the parameters that all modules have under Advanced."""
    return {"device": None if values["device"] == "auto" else values["device"], "weights": values["weights"]}


def chosen_outputs(values: dict, patterns: dict) -> list:
    """Outputs of the parameters that name a file.

    Args:
        values: of the descriptor.
        patterns: of the bundle's files, by parameter.
    """
    return [Output(pattern, values[name]) for name, pattern in patterns.items() if values[name]]


def output_format(outputs: Sequence[Output]) -> str:
    """The bundle's `output_format` that spares a conversion: that of the first output."""
    return "nrrd" if outputs and outputs[0].target.lower().endswith(".nrrd") else "nifti"
