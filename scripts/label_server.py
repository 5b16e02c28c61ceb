"""Serve bundles by MONAI Label, on this machine alone; see docs/monai_label.md.

python scripts/label_server.py start --studies DIR [--bundles NAME,NAME] [--port 8000]
python scripts/label_server.py check --studies DIR
python scripts/label_server.py repair

It runs in an environment of its own (requirements/label.txt). `start` is MONAI Label's own `start_server` with its
stock `monaibundle` app; around it, mistakes are answered in one line instead of `Internal Server Error`, a label that
is not on its image's grid is refused, and web pages of other origins cannot talk to the server.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Any

import _root
import fire

from common.errors import InputError, find_input_error, install_error_hook
from common.io.volumes import describe_grid, load_volume, same_grid, volume_suffix
from common.knobs import as_path, as_text

logger = logging.getLogger("oncosynth")

SEGMENTATION = "breast_dce_tumor_segmentation"
# What MONAI Label can drive: one volume in, one volume out. The other bundles read or write pictures.
SERVED = (SEGMENTATION, "breast_dce_contrast_gan", "brain_tumor_multicontrast_diffusion")
SUFFIXES = (".nii.gz", ".nii", ".nrrd")
HOST = "127.0.0.1"  # not an option: the server has no passwords and reads any path that it is asked for
FIX = _root.ROOT / "requirements" / "torchvision_on_cpu.py"


def start(
    studies: str,
    bundles: Any = None,
    app: str = "runs/monai_label",
    port: int = 8000,
    renew: bool = False,
) -> None:
    """Check everything, then serve until interrupted.

    Args:
        studies: folder of images (NIfTI or NRRD, one file each); labels go to its subfolder `labels`.
        bundles: names, or folders of unpacked bundles; by default all that MONAI Label can drive.
        app: folder of the server's working copy of the app and of the bundles; models that are trained by the server
            stay in it.
        port: on 127.0.0.1.
        renew: replace weights in the working copy by the bundles' own.

    Raises:
        InputError: as `check`.
    """
    sources = _check(studies, bundles)
    app = as_path(app).resolve()
    install_app(app, sources, renew)
    os.environ.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", json.dumps([f"*{suffix}" for suffix in SUFFIXES]))
    names = [source.name for source in sources]
    studies = str(as_path(studies).resolve())
    os.chdir(app)  # where a training's relative folders go
    sys.argv = [
        *("monailabel", "start_server", "--app", str(app), "--studies", studies),
        *("--host", HOST, "--port", str(int(port)), "--conf", "models", ",".join(names)),
        # No look-up in MONAI's model zoo, no download of SAM 2.
        *("--conf", "zoo_source", "local", "--conf", "sam2", "false"),
        *("--conf", "skip_trainers", str(not any(map(is_trainable, sources))).lower()),
    ]
    serve()


def check(studies: str, bundles: Any = None) -> None:
    """What `start` checks first: MONAI Label, the bundles' weights, the images' names, the labels' grids.

    Args:
        studies: folder of images.
        bundles: as for `start`.

    Raises:
        InputError: something has to be put right.
    """
    for source in _check(studies, bundles):
        print(f"{source.name}: ready")


def repair() -> None:
    """Make an installed torchvision importable where torch is CPU-only; does nothing where it is already."""
    error = torchvision_error()
    if error is None:
        print("torchvision can be imported, nothing to repair")
        return
    packages = Path(sysconfig.get_paths()["purelib"])
    shutil.copy(FIX, packages)
    (packages / f"{FIX.stem}.pth").write_text(f"import {FIX.stem}\n", encoding="utf-8")
    error = torchvision_error()
    if error is not None:
        raise InputError(f"torchvision still cannot be imported ({error}); install the one that fits this torch")
    print("torchvision cannot be loaded beside this torch as a whole; its Python parts now can")


def torchvision_error() -> str | None:
    """Why torchvision cannot be imported, or None; tried in a process of its own."""
    attempt = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    return None if attempt.returncode == 0 else attempt.stderr.strip().splitlines()[-1]


def find_bundles(bundles: Any) -> list[Path]:
    """Folders of the bundles that a user names, by name or path; all that can be served by default.

    Raises:
        InputError: no such bundle, one that cannot be served, or one without weights.
    """
    home = _root.ROOT / "bundles"
    if bundles is None:
        found = [home / name for name in SERVED if (home / name).is_dir()]
    else:
        words = bundles if isinstance(bundles, (list, tuple)) else as_text(bundles).split(",")
        found = [_find_bundle(str(word).strip(), home) for word in words]
    for folder in found:
        if not (folder / "models" / "model.pt").is_file():
            raise InputError(
                f"{folder / 'models' / 'model.pt'}: no such file, so {folder.name} cannot be served; download the "
                "bundle again or train it"
            )
    return found


def _find_bundle(word: str, home: Path) -> Path:
    folder = home / word if (home / word).is_dir() else Path(word).expanduser().resolve()
    if not (folder / "configs" / "inference.json").is_file():
        raise InputError(f"bundles: {word} is neither a bundle here nor the folder of one; use {', '.join(SERVED)}")
    if kind_of(folder) not in SERVED:
        raise InputError(
            f"bundles: {word} cannot be driven by MONAI Label, which takes one volume and returns one; "
            f"use python -m monai.bundle run, and here {', '.join(SERVED)}"
        )
    return folder


def kind_of(bundle: Path) -> str | None:
    """Which bundle a folder holds, whatever the folder is called."""
    return json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8")).get("bundle")


def is_trainable(bundle: Path) -> bool:
    """Whether pairs of image and label, all that MONAI Label has, can train a bundle."""
    return kind_of(bundle) == SEGMENTATION


def repeated_names(studies: Path) -> list[str]:
    """One line for each name that several images have: MONAI Label would show one of them and hide the others."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted(studies.iterdir()):
        suffix = next((s for s in SUFFIXES if path.name.endswith(s)), None)
        if suffix and path.is_file():
            files[path.name[: -len(suffix)]].append(path.name)
    return [
        f"{studies}: {' and '.join(names)} have one name, {name}, and only one of them would be seen; rename one"
        for name, names in files.items()
        if len(names) > 1
    ]


def strayed_labels(studies: Path) -> list[str]:
    """One line for each final label that lies on another grid than its image, or cannot be read."""
    lines = []
    for label in sorted((studies / "labels" / "final").glob("*")):
        suffix = next((s for s in SUFFIXES if label.name.endswith(s)), None)
        stem = label.name[: -len(suffix or "")]
        image = next((p for s in SUFFIXES if (p := studies / f"{stem}{s}").is_file()), None)
        if suffix and image:
            try:
                check_label(image, label)
            except InputError as error:
                lines.append(str(error))
    return lines


def check_label(image: Path, label: Path) -> None:
    """Refuse a label that does not fit its image.

    Raises:
        InputError: unreadable, not three-dimensional, or on another grid.
    """
    volume, mask = load_volume(image), load_volume(label)
    if not same_grid(volume, mask):
        raise InputError(
            f"the label for {image.name} ({describe_grid(mask)}) is not on the image's grid ({describe_grid(volume)}); "
            "resample it onto the image and submit it again"
        )


def _check(studies: str, bundles: Any) -> list[Path]:
    folder = as_path(studies)
    if not folder.is_dir():
        raise InputError(f"studies {folder}: no such folder; give one that holds the images")
    found = find_bundles(bundles)
    problems = repeated_names(folder) + strayed_labels(folder)
    for problem in problems[:-1]:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise InputError(problems[-1])
    if importlib.util.find_spec("monailabel") is None:
        raise InputError("MONAI Label is not installed here; `make label` installs it into .venv-label")
    error = torchvision_error()
    if error is not None:
        raise InputError(f"torchvision cannot be imported ({error}); run: python scripts/label_server.py repair")
    return found


def install_app(app: Path, sources: list[Path], renew: bool = False) -> None:
    """Copy the stock app and the bundles into the server's folder; weights in it are kept, unless `renew`.

    Copies, since training through the server writes into the bundle. What an annotator must not meet is left out:
    further weights, which Label would offer for inference, and the training of bundles that pairs of image and label
    cannot train.
    """
    stock = Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle"
    if not stock.is_dir():
        raise InputError(f"{stock}: MONAI Label's apps are not there; install monailabel with pip, not with uv")
    shutil.copytree(stock, app, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for source in sources:
        target = app / "model" / source.name
        kept = (target / "models" / "model.pt").is_file() and not renew
        leave_out = ["__pycache__", "model_*.pt"]
        if not is_trainable(source):
            leave_out += ["train*.json", "multi_gpu_train.json"]
        for part in sorted(source.iterdir()):
            if part.name == "models" and kept:
                continue
            if part.is_dir():
                shutil.rmtree(target / part.name, ignore_errors=True)
                shutil.copytree(part, target / part.name, ignore=shutil.ignore_patterns(*leave_out))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(part, target)
        _train_into_models(target / "configs" / "train.json")


def _train_into_models(config: Path) -> None:
    """Let the copy's training begin anew each time and replace the copy's own weights, so that Label uses them."""
    if not config.is_file():
        return
    content = json.loads(config.read_text(encoding="utf-8"))
    if "export_dir" in content:
        content["imports"] = [*content["imports"], "$import time"]
        content["output_dir"] = "$@bundle_root + '/training/' + time.strftime('%Y%m%d-%H%M%S')"
        content["export_dir"] = "$@bundle_root + '/models'"
        config.write_text(json.dumps(content, indent=4), encoding="utf-8")


def serve() -> None:
    """MONAI Label's own command line, with answers to mistakes, a check of labels and no visitors."""
    import monailabel.app
    import monailabel.interfaces.app
    from monailabel.datastore.local import LocalDatastore
    from monailabel.main import Main
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    class CheckedDatastore(LocalDatastore):
        """Local datastore that takes a label only if it lies on its image's grid."""

        def save_label(self, image_id: str, label_filename: str, *args: Any, **options: Any) -> str:
            image = self.get_image_uri(image_id)
            if image and volume_suffix(label_filename):
                check_label(Path(image), Path(label_filename))
            return super().save_label(image_id, label_filename, *args, **options)

    monailabel.interfaces.app.LocalDatastore = CheckedDatastore
    web = monailabel.app.app
    # Label lets every origin read its answers: a web page open in this machine's browser could fetch the images.
    web.user_middleware[:] = [entry for entry in web.user_middleware if entry.cls is not CORSMiddleware]
    web.add_middleware(Mistakes)
    web.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    Main().run()


class Mistakes:
    """ASGI middleware: a user's mistake becomes `{"detail": "one line"}` with status 400, or 404 for what is not there.

    MONAI Label itself answers `Internal Server Error` to all of them, and hides the reason in its log.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on; answer where that fails by the user's mistake, raise again otherwise."""
        from starlette.responses import JSONResponse

        answer = no_training(scope)
        if answer is None:
            try:
                await self.app(scope, receive, send)
                return
            except Exception as error:
                answer = answer_to(error)
                if answer is None:
                    raise
        status, text = answer
        logger.warning(f"{scope.get('path')}: {text}")
        await JSONResponse({"detail": text}, status_code=status)(scope, receive, send)


def answer_to(error: Exception) -> tuple[int, str] | None:
    """Status and line for an exception that a user can do something about, else None."""
    from monailabel.interfaces.exception import MONAILabelException

    found = find_input_error(error)
    if found is not None:
        return 400, " ".join(str(found).split())
    if isinstance(error, json.JSONDecodeError):
        return 400, f'params is not JSON ({error}); write for example params={{"phase": 1}}'
    if isinstance(error, MONAILabelException):
        return 404, f"{error.msg}; GET /info/ lists the models, GET /datastore/?output=all the images"
    return None


def no_training(scope: Any) -> tuple[int, str] | None:
    """Status and line where a request starts a training that could only fail, in a child process and silently."""
    from monailabel.interfaces.utils.app import app_instance

    kind, _, model = str(scope.get("path", "")).strip("/").partition("/")
    if scope.get("method") != "POST" or kind != "train" or not model:
        return None
    instance = app_instance()
    if model not in instance._trainers:
        known = ", ".join(instance._trainers) or "none"
        return 404, f"{model} cannot be trained here; models that can: {known}"
    labelled = len(instance.datastore().datalist())
    if labelled < 2:
        return 400, f"images with a final label: {labelled}; at least 2 are needed, one to train on, one to validate"
    return None


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"start": start, "check": check, "repair": repair})
