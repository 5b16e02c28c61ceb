"""Lets torchvision's Python parts be imported beside a torch without CUDA.

The wheels of the package index are built for CUDA: their compiled part cannot be loaded beside a CPU-only torch, and
`import torchvision` then stops at two operators that it would have defined. Their schemas alone are enough for the rest
of the package, which is all that MONAI Label, timm and nnU-Net need; the operators themselves stay unusable.

`scripts/label_server.py repair` copies this file into an environment's site-packages, with a .pth file that imports it
at every start of Python, so that the commands of other packages and their child processes work too. It does nothing
until torchvision is imported, and nothing then if the compiled part can be loaded.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[object] = []  # the schemas live as long as the object that defined them


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; defines the schemas when torchvision is asked for the first time."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec(name)
            if spec is not None and spec.origin:
                define_schemas(Path(spec.origin).parent)
        return None


def define_schemas(package: Path) -> None:
    """Define the schemas if the compiled part in torchvision's folder cannot be loaded beside this torch."""
    import torch

    compiled = next(iter(sorted(package.glob("_C*"))), None)
    if torch.version.cuda or torch.version.hip or compiled is None:
        return
    try:
        torch.ops.load_library(str(compiled))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _kept.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
