"""Runs in the Python that the user chose: check it, prepare the input, run the bundle, hand back its files.

    python worker.py JOB.json

Written so that Pythons too old for the bundles still get as far as saying so.
"""

import importlib
import json
import os
import runpy
import shutil
import signal
import sys
import threading

READY = "oncosynth-worker-ready"
STAGE = "oncosynth-worker-stage"
OLDEST = (3, 11)
NEEDED = ("numpy", "torch", "monai", "ignite", "nibabel", "itk", "nrrd", "fire", "diffusers")


def main(path: str) -> None:
    """Do the job that the file describes; see `launch._describe` for its entries."""
    print(READY, flush=True)
    with open(path, encoding="utf-8") as stream:
        job = json.load(stream)
    threading.Thread(target=end_with_parent, args=(job["work"],), daemon=True).start()
    check_python(job["root"])
    stage(0.05, "loading libraries")
    import_needed(job["root"])
    # The bundle's own copy of the shared code: that is the one which the bundle runs with.
    sys.path.insert(0, job["bundle"])
    importlib.import_module("scripts.common.errors").install_error_hook()
    knobs = dict(job["knobs"])
    if job["segments"]:
        prepare = importlib.import_module("oncosynth_slicer.segments").make_label_map
        folder = os.path.join(os.path.dirname(job["input"]), "labels")
        os.mkdir(folder)
        job["input"], knobs["labels"] = prepare(job["input"], folder, knobs["labels"])
    stage(0.2, "running the bundle")
    folder = run_bundle(job, knobs)
    stage(0.9, "writing volumes")
    importlib.import_module("oncosynth_slicer.results").hand_over(folder, job["outputs"], job["input"])


def stage(fraction: float, text: str) -> None:
    """Tell the module how far the run is."""
    print(f"{STAGE} {fraction} {text}", flush=True)


def end_with_parent(work: str) -> None:
    """Wait for the end of the module, which holds the other end of standard input; then leave nothing behind.

    The module ends this process itself where it can. It cannot where it was killed.
    """
    while os.read(0, 1):
        pass
    shutil.rmtree(work, ignore_errors=True)
    if os.name == "posix":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def check_python(root: str) -> None:
    """Refuse Pythons that the bundles do not run on."""
    if sys.version_info < OLDEST:
        version = ".".join(map(str, sys.version_info[:2]))
        fail(f"is Python {version}, OncoSynth needs 3.11 or newer", root)


def import_needed(root: str) -> None:
    """Import what the bundles need, or say what is missing."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except Exception as error:  # libraries that do not fit fail in many ways
            reason = str(error).strip().splitlines() or [type(error).__name__]
            fail(f"cannot import {name} ({reason[0]})", root)


def fail(what: str, root: str) -> None:
    """Name the Python, what it lacks and how to get it; end."""
    install = f"{sys.executable} -m pip install -c {os.path.join(root, 'constraints.txt')} -e {root}"
    way = f"run 'make demo' in {root} and choose its .venv, or install OncoSynth in this Python: {install}"
    print(f"error: {sys.executable}: {what}; {way}", file=sys.stderr, flush=True)
    sys.exit(1)


def run_bundle(job: dict, knobs: dict) -> str:
    """Run the bundle's inference as `python -m monai.bundle run` does; returns the folder with its results."""
    folder = os.path.join(job["work"], "results")
    config = os.path.join(job["bundle"], "configs", "inference.json")
    files = [config] + ([job["overlay"]] if job["overlay"] else [])
    arguments = ["run", "--config_file", str(files) if len(files) > 1 else config]
    for name, value in {"input": job["input"], "output_dir": folder, **knobs}.items():
        arguments += ["--" + name, str(value)]
    sys.argv = ["monai.bundle", *arguments]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    return folder


if __name__ == "__main__":
    # Its own folder off the path: the names in it must not stand before libraries of the same name.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    main(sys.argv[1])
