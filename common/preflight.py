"""First item of every `run`: error hook, knobs, seeds, device and output folder, before anything costs time."""

from __future__ import annotations

import difflib
import inspect
import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism

from .errors import InputError, install_error_hook
from .io.files import make_output_dir
from .knobs import PATHS, check_choice, check_knob, check_phases, check_sides

logger = logging.getLogger(__name__)

# Top-level ids that MONAI itself sets: bundle tracking, the run's bookkeeping, MONAI Label's parameters.
FOREIGN_IDS = {
    "_meta_", "run", "initialize", "finalize", "tracking", "experiment_name", "run_name", "experiment_tags",
    "is_not_rank0", "tracking_uri", "output_prefix", "epochs", "displayable_configs",
}  # fmt: skip


class Guard:
    """Very first item of a run: error hook, ids and raw values, before any reference to a knob is resolved.

    It takes no arguments, so that a config's value cannot fail before the hook is there.

    Raises:
        InputError: an id that no config of the bundle knows; a path that begins like an expression.
    """

    def __init__(self) -> None:
        install_error_hook()
        workflow = running_workflow()
        if workflow is not None:
            _refuse_arguments(sys.argv)
            _refuse_unknown_ids(workflow.parser.get(), bundle_configs(workflow.config_root_path))

    def __call__(self) -> None:
        """Nothing more to do: the checks are done by then."""


class Preflight:
    """Check a run before it begins; callable, so that a config's `run` lists `$@preflight()`.

    Args:
        knobs: values that users set, by name; each is checked for its kind.
        output_dir: created and proved writable; None where a run writes nothing.
        device: `cpu`, `cuda`, `cuda:N` or a torch device.
        seed: of Python, NumPy and torch.
        choices: knobs that take one of a few words: the value, then the words.
        phases: the phases that output channels stand for, and how many phases there are.
        sides: of a two-dimensional network's grid, and the number that they have to be multiples of.

    Raises:
        InputError: a value that cannot be used.
    """

    def __init__(
        self,
        knobs: Mapping[str, Any],
        output_dir: str | None = None,
        device: Any = "cpu",
        seed: int = 0,
        choices: Mapping[str, Sequence[Any]] | None = None,
        phases: Sequence[Any] | None = None,
        sides: Sequence[Any] | None = None,
    ) -> None:
        for name, value in knobs.items():
            check_knob(name, value)
        for name, (value, *words) in (choices or {}).items():
            check_choice(name, value, words)
        if phases is not None:
            check_phases(*phases)
        if sides is not None:
            check_sides(*sides)
        check_device(device)
        if output_dir is not None:
            make_output_dir(output_dir)
        self.seed = int(seed)

    def __call__(self) -> None:
        """Seed everything; the checks are done by then."""
        set_determinism(self.seed, use_deterministic_algorithms=None)


def check_device(device: Any) -> torch.device:
    """The device, if this machine has it.

    Raises:
        InputError: CUDA was asked for and is not there, or the name is unknown.
    """
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device={device}: unknown; use cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count <= (device.index or 0):
            raise InputError(f"device={device}: this machine has {count} usable CUDA devices; use --device cpu")
    return device


def running_workflow() -> Any | None:
    """The MONAI `ConfigWorkflow` on whose behalf this code runs, found in the call stack, or None."""
    frame = inspect.currentframe()
    while frame is not None:
        candidate = frame.f_locals.get("self")
        if isinstance(candidate, ConfigWorkflow):
            return candidate
        frame = frame.f_back
    return None


def bundle_configs(folder: Path) -> list[dict[str, Any]]:
    """All configs of a bundle but its metadata."""
    paths = (path for path in sorted(Path(folder).glob("*.json")) if path.name != "metadata.json")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _refuse_unknown_ids(config: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> None:
    known = {key.lstrip("+").split("#")[0].split("::")[0] for content in configs for key in content} | FOREIGN_IDS
    strangers = [key for key in config if key not in known]
    text = json.dumps(config, default=str) if strangers else ""
    for key in strangers:
        if re.search(rf"@{re.escape(key)}\b", text):
            continue
        near = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f"did you mean --{near[0]}?" if near else "see the knobs at the top of the config"
        raise InputError(f"--{key}: no config of this bundle has such an entry; {hint}")


def _refuse_arguments(arguments: Sequence[str]) -> None:
    """Check paths as the user typed them: the command line cuts text at '#' before a config sees it."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in PATHS:
            check_knob(name, value if equals else following)
