"""First item of every `run`: error hook, knobs, seeds, device and output folder, before anything costs time."""

from __future__ import annotations

import difflib
import inspect
import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism

from .errors import InputError, install_error_hook
from .io.files import make_output_dir
from .knobs import check_choice, check_knob

logger = logging.getLogger(__name__)

# Top-level ids that MONAI itself sets: bundle tracking, the run's bookkeeping, MONAI Label's parameters.
FOREIGN_IDS = {
    "_meta_", "run", "initialize", "finalize", "tracking", "experiment_name", "run_name", "experiment_tags",
    "is_not_rank0", "tracking_uri", "output_prefix", "epochs", "displayable_configs",
}  # fmt: skip


class Preflight:
    """Check a run before it begins; callable, so that a config's `run` lists `$@preflight()`.

    Args:
        bundle_root: the bundle's folder; its configs define which ids exist.
        knobs: values that users set, by name; each is checked for its kind.
        output_dir: created and proved writable; None where a run writes nothing.
        device: `cpu`, `cuda`, `cuda:N` or a torch device.
        seed: of Python, NumPy and torch.
        choices: knobs that take one of a few words: the value, then the words.

    Raises:
        InputError: on construction, for a value that cannot be used; on call, for an id that no config knows.
    """

    def __init__(
        self,
        bundle_root: str,
        knobs: Mapping[str, Any],
        output_dir: str | None = None,
        device: Any = "cpu",
        seed: int = 0,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        install_error_hook()
        self.bundle_root = Path(bundle_root)
        # The ids come first: a mistyped knob often shows itself as a strange value of the right one.
        _refuse_unknown_ids(self.bundle_root)
        for name, value in knobs.items():
            check_knob(name, value)
        for name, (value, *words) in (choices or {}).items():
            check_choice(name, value, words)
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


def known_ids(bundle_root: Path) -> set[str]:
    """Top-level ids of all configs of a bundle."""
    ids: set[str] = set()
    for path in sorted((bundle_root / "configs").glob("*.json")):
        if path.name != "metadata.json":
            ids |= {
                key.lstrip("+").split("#")[0].split("::")[0] for key in json.loads(path.read_text(encoding="utf-8"))
            }
    return ids


def _refuse_unknown_ids(bundle_root: Path) -> None:
    workflow = running_workflow()
    if workflow is None:
        return
    config = workflow.parser.get()
    known = known_ids(bundle_root) | FOREIGN_IDS
    strangers = [key for key in config if key not in known]
    if not strangers:
        return
    text = json.dumps(config, default=str)
    for key in strangers:
        if re.search(rf"@{re.escape(key)}\b", text):
            continue
        near = difflib.get_close_matches(key, sorted(known), n=1)
        hint = f"did you mean --{near[0]}?" if near else "see the knobs at the top of the config"
        raise InputError(f"--{key}: no config of this bundle has such an entry; {hint}")
