"""Show whether this machine can run the bundles: versions, CUDA, torchvision, weights, disk.

python scripts/doctor.py
python scripts/doctor.py --repair     also removes a torchvision that cannot be imported
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys

import _root
import fire

from common.errors import install_error_hook

PACKAGES = (
    "torch",
    "monai",
    "numpy",
    "pytorch-ignite",
    "nibabel",
    "itk",
    "diffusers",
    "scipy",
    "pillow",
    "fire",
    "einops",
)
NEEDED_GB = 5


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torchvision_error() -> str | None:
    """Why an installed torchvision cannot be imported, or None; tried in a process of its own."""
    if _version("torchvision") is None:
        return None
    attempt = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return None if attempt.returncode == 0 else attempt.stderr.strip().splitlines()[-1]


def _check_torchvision(repair: bool) -> tuple[str, bool]:
    reason = _torchvision_error()
    if reason is None:
        return _version("torchvision") or "not installed (not needed)", True
    if not repair:
        return f"cannot be imported ({reason}); diffusers' models would fail: run with --repair", False
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", "torchvision"], check=True)
    return f"removed, it cannot be imported beside this torch ({reason}); nothing here needs it", True


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none, everything runs on the CPU"
    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def doctor(repair: bool = False) -> None:
    """Print one line a check; the exit code is 1 where something has to be done.

    Args:
        repair: remove a torchvision that cannot be imported, which breaks the model classes of diffusers; the exit
            code then tells of the packages alone.
    """
    healthy = True
    rows: list[tuple[str, str]] = [("python", f"{platform.python_version()} at {sys.executable}")]
    for package in PACKAGES:
        version = _version(package)
        healthy &= version is not None
        rows.append((package, version or "MISSING: run make demo, or pip install -c constraints.txt -e ."))
    text, good = _check_torchvision(repair)
    healthy &= good
    rows += [("torchvision", text), ("CUDA", _cuda())]
    for bundle in sorted((_root.ROOT / "bundles").iterdir()):
        weights = bundle / "models" / "model.pt"
        found = weights.is_file()
        healthy &= found
        rows.append((bundle.name, f"weights {weights.stat().st_size / 1e6:.1f} MB" if found else "weights MISSING"))
    free = shutil.disk_usage(_root.ROOT).free / 1e9
    rows.append(("disk", f"{free:.0f} GB free" + ("" if free > NEEDED_GB else f"; {NEEDED_GB} GB are needed")))
    healthy &= free > NEEDED_GB
    if repair:  # part of the set-up, which has to work before weights are there
        healthy = all(_version(package) for package in PACKAGES) and good
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    sys.exit(0 if healthy else 1)


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(doctor)
