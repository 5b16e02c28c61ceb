"""A frozen MONAI bundle run on a set of images, in a process of its own, and the masks that it wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file, sha256_of_json, sha256_of_source, write_json
from ..io.volumes import VOLUME_SUFFIXES, case_name, find_volumes, volume_suffix
from .image_files import VOLUME, ImageFile

INFERENCE = Path("configs") / "inference.json"
WEIGHTS = Path("models") / "model.pt"
RECORD = "images.json"


def bundle_weights(bundle: str | Path) -> str:
    """SHA-256 of a bundle's weights, for reports.

    Raises:
        InputError: the folder is no bundle with weights.
    """
    for part in (INFERENCE, WEIGHTS):
        if not (Path(bundle) / part).is_file():
            raise InputError(f"segmenter {bundle}: has no {part}; give the folder of a MONAI bundle with weights")
    return sha256_of_file(Path(bundle) / WEIGHTS)


def run_bundle(bundle: str | Path, files: Sequence[ImageFile], folder: Path, device: str = "cpu") -> dict[str, Path]:
    """Run a segmentation bundle's `inference.json` on volume files.

    Bundles with the knob `input` get a folder of links; others get the list of files as `datalist`, as the zoo's
    segmentation bundles take it. A run that is finished is not repeated.

    Args:
        bundle: its folder.
        files: volume files.
        folder: for links and masks.
        device: as PyTorch names it.

    Returns:
        For the name of each image its mask.

    Raises:
        InputError: images are no volume files, two have one file name, the run fails, or leaves an image without mask.
    """
    bundle = Path(bundle).resolve()
    other = next((file for file in files if file.kind != VOLUME), None)
    if other is not None:
        raise InputError(f"segmenter: {other.name} is no volume file; bundles read {', '.join(VOLUME_SUFFIXES)}")
    places = {f"image{number:05d}": file for number, file in enumerate(files)}
    configs = sha256_of_source(bundle / "configs")
    state = sha256_of_json([bundle_weights(bundle), configs, [[f.name, sha256_of_file(f.source)] for f in files]])
    masks = folder / "masks"
    record = folder / RECORD
    if not (record.is_file() and json.loads(record.read_text()) == {"state": state}):
        links = make_output_dir(folder / "images")
        for link in links.iterdir():
            link.unlink()
        for place, file in places.items():
            (links / f"{place}{volume_suffix(file.source)}").symlink_to(Path(file.source).resolve())
        shutil.rmtree(masks, ignore_errors=True)  # of a run on other images, or one that was killed
        _run(bundle, links, masks, device)
        write_json(record, {"state": state})
    found: dict[str, Path] = {}
    for path in find_volumes(masks):
        place = next((place for place in places if case_name(path).startswith(place)), None)
        if place is not None:
            found[places[place].name] = path
    missing = [file.name for file in files if file.name not in found]
    if missing:
        raise InputError(f"segmenter {bundle.name}: wrote no mask for {missing[0]} ({len(missing)} in all)")
    return found


def _run(bundle: Path, links: Path, masks: Path, device: str) -> None:
    config = bundle / INFERENCE
    content = json.loads(config.read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), "--bundle_root", str(bundle)]
    command += ["--output_dir", str(masks), "--device", device]
    if "input" in content:
        command += ["--input", str(links)] + (["--overwrite", "True"] if "overwrite" in content else [])
    else:
        command += ["--datalist", str([str(path) for path in sorted(links.iterdir())])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no message"]
        raise InputError(f"segmenter {bundle.name}: its run failed: {lines[-1][:300]}")
