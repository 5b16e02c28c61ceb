"""Evaluate synthetic images against real ones: distribution, pairs, adherence, diversity, memorisation, in one report.

    python scripts/evaluate.py --real DIR --synthetic DIR --output DIR [--train DIR] [--masks DIR]

Images or volumes, as NIfTI, NRRD, MetaImage, PNG or DICOM, whoever generated them. The report is written as JSON,
Markdown and one HTML page.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import _root  # noqa: F401
import fire
import torch

from common.errors import InputError, install_error_hook
from common.evaluation.class_agreement import FrozenClassifier, read_classes
from common.evaluation.extractor_names import parse_extractors
from common.evaluation.suite import Suite
from common.io.files import sha256_of_file
from common.knobs import as_path, as_text, check_knob, path_text
from common.metrics.features import load_torchscript
from common.metrics.learned_distance import LearnedDistance


def main(
    real: str,
    synthetic: str,
    output: str,
    masks: str | None = None,
    train: str | None = None,
    validation: str | None = None,
    extractors: str | Sequence[str] = "random",
    lpips: str | None = None,
    segmenter: str | None = None,
    classifier: str | None = None,
    classes: str | None = None,
    class_names: Sequence[str] | None = None,
    real_pattern: str | None = None,
    synthetic_pattern: str | None = None,
    masks_pattern: str | None = None,
    train_pattern: str | None = None,
    validation_pattern: str | None = None,
    case_pattern: str | None = None,
    paired: bool | None = None,
    size: Sequence[int] | None = None,
    scale: str | Sequence[float] = "set",
    slices: int = 8,
    gate: float | None = None,
    copy_threshold: float | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """Compare two folders of images.

    Args:
        real: folder of real images that the generator did not see.
        synthetic: folder of synthetic images.
        output: folder for report.json, report.md, report.html, figures and tables; a killed run goes on from there.
        masks: folder of masks, by case: what synthetic images should show, and where lesions of real ones are.
        train: folder of the real images that the generator was trained on; copies of them are looked for.
        validation: folder of further real images that it did not see, which calibrate what counts as a copy.
        extractors: list of random, inception, inception@64, radimagenet, medicalnet, or network.pt@sha256
            (TorchScript); random@3d and network.pt@sha256@3d take volumes as a whole; see docs/extractors.md.
        lpips: file of the LPIPS network, or of its backbone; see docs/extractors.md.
        segmenter: folder of a frozen MONAI bundle that finds the masks in images.
        classifier: TorchScript file of a frozen classifier, as network.pt@sha256.
        classes: CSV file with the columns case and class: what was asked for.
        class_names: names of the classifier's classes, in its order.
        real_pattern: which files of a folder are meant, such as "*_T1C.nii.gz"; likewise for the other folders.
        synthetic_pattern: of the synthetic folder.
        masks_pattern: of the masks' folder.
        train_pattern: of the training folder.
        validation_pattern: of the validation folder.
        case_pattern: regular expression whose first group is the case in a file's path, such as "(case_\\d+)"; images
            of one case are pairs, and synthetic images of one case are samples of one condition.
        paired: compare images of equal cases; done by itself where there are such.
        size: pixels or voxels to resample to; nothing is resampled without it.
        scale: set (the real set's range), image (each its own range), or two numbers that become 0 and 1.
        slices: of a volume across each axis, for two-dimensional extractors.
        gate: largest accepted share of copies; above it the command fails after the report is written.
        copy_threshold: distance at or below which an image is a copy; calibrated without it.
        device: where networks run.
        seed: of everything that is drawn.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_knob("seed", seed)
    if isinstance(slices, bool) or not isinstance(slices, int) or slices < 1:
        raise InputError(f"slices={slices}: give a whole number of at least 1")
    if paired not in (None, True, False):
        raise InputError(f"paired={paired}: give True or False")
    for name, value in (("gate", gate), ("copy_threshold", copy_threshold)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1
        ):
            raise InputError(f"{name}={value}: give a number from 0 to 1")
    try:
        torch.zeros(1, device=str(device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={device}: cannot be used here ({str(error).splitlines()[0]}); give cpu") from error
    patterns = {
        "real": real_pattern,
        "synthetic": synthetic_pattern,
        "masks": masks_pattern,
        "training": train_pattern,
        "validation": validation_pattern,
    }
    folders = {"masks": masks, "train": train, "validation": validation, "segmenter": segmenter}
    Suite(
        path_text(real),
        path_text(synthetic),
        path_text(output),
        **{name: path_text(value) if value is not None else None for name, value in folders.items()},
        extractors=parse_extractors(extractors, device, seed),
        learned=LearnedDistance(path_text(lpips), device=device) if lpips is not None else None,
        patterns={name: as_text(value) if value is not None else None for name, value in patterns.items()},
        classifier=_classifier(classifier, classes, class_names),
        case_pattern=as_text(case_pattern) if case_pattern is not None else None,
        paired=paired,
        size=size,
        scale=scale,
        slices=slices,
        gate=gate,
        copy_threshold=copy_threshold,
        device=device,
        seed=seed,
    ).run()


def _classifier(
    classifier: str | None, classes: str | None, class_names: Sequence[str] | None
) -> FrozenClassifier | None:
    if classifier is None:
        return None
    if classes is None or class_names is None:
        raise InputError("classifier: needs --classes (a CSV file with case and class) and --class_names")
    path, _, sha256 = as_text(classifier).partition("@")
    if not sha256:
        known = f"; this file's is {sha256_of_file(as_path(path))}" if as_path(path).is_file() else ""
        raise InputError(f"classifier {path}: name it together with its hash, as network.pt@sha256{known}")
    network = load_torchscript(as_path(path), sha256)
    names = class_names.split(",") if isinstance(class_names, str) else class_names
    return FrozenClassifier(network, sha256, tuple(str(name).strip() for name in names), read_classes(classes))


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
