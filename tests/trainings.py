"""What the tests of all trainings share: reading their outputs, killing them."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from tests.conftest import run_bundle

# Watching the folder from outside loses the race against a training of a few tiny epochs now and then.
KILL_ITSELF = """
import os, runpy, signal, sys

import torch

checkpoint, epoch, rename = sys.argv[1], int(sys.argv[2]), os.replace


def replace(source, target):
    rename(source, target)
    if os.fspath(target) == checkpoint and torch.load(checkpoint, weights_only=True)["epoch"] == epoch:
        os.kill(os.getpid(), signal.SIGKILL)


os.replace = replace
sys.argv = ["monai.bundle", *sys.argv[3:]]
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def curve(folder):
    """Rows of a learning curve."""
    with (folder / "learning_curve.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def same_weights(first, second):
    """Whether two files hold equal weights."""
    first, second = (torch.load(path, weights_only=True) for path in (first, second))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def command_line(bundle: Path, config: str, **overrides):
    """The command that runs a bundle's config."""
    options = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs" / config), *options]


def kill_after_epoch(command, checkpoint, epoch):
    """Run a training that is killed without warning the moment the checkpoint of an epoch is in its place."""
    program = [command[0], "-c", KILL_ITSELF, str(checkpoint), str(epoch), *command[3:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(program, cwd="/", env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert torch.load(checkpoint, weights_only=True)["epoch"] == epoch


def check_continuing(bundle: Path, config: str, weights: str, uninterrupted: Path, **options):
    """A training killed after epoch 2 ends with the weights and losses of one that was not killed."""
    folder = options["output_dir"]
    kill_after_epoch(command_line(bundle, config, **options), folder / "checkpoint.pt", 2)
    result = run_bundle(config, bundle=bundle, **options)
    assert "continuing after epoch 2" in result.stdout + result.stderr
    assert same_weights(folder / weights, uninterrupted / weights)
    assert [row["loss"] for row in curve(folder)] == [row["loss"] for row in curve(uninterrupted)]


def check_two_processes(bundle: Path, config: str, weights: str, **options):
    """Two processes on this machine train together and leave one file of finite weights."""
    options = {key: value for key, value in options.items() if key != "device"}
    run_bundle([config, "multi_gpu_train.json"], bundle=bundle, prefix=TORCHRUN, **options)
    state = torch.load(options["output_dir"] / weights, weights_only=True)
    assert all(torch.isfinite(value).all() for value in state.values())
