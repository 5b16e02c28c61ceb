"""Are synthetic images useful: models trained on real, on synthetic and on mixed images, tested on the same real ones.

    python scripts/downstream.py classification --train_real DIR --train_synthetic DIR --test DIR --classes CSV
        --output DIR
    python scripts/downstream.py segmentation --truth DIR
        --predictions "{'real': 'DIR', 'synthetic': 'DIR', 'mixed': 'DIR'}" --output DIR

Classification trains by itself, on the features of a frozen extractor. Segmentation compares the masks that anybody's
trained segmenters predicted; `nnunet.py` trains nnU-Net on all three. The reports are written as JSON, Markdown and one
HTML page.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import _root  # noqa: F401
import fire

from common.errors import InputError, install_error_hook
from common.knobs import as_path, check_knob, path_text


def classification(
    train_real: str,
    train_synthetic: str,
    test: str,
    classes: str,
    output: str,
    extractors: str | Sequence[str] = "random",
    train_real_pattern: str | None = None,
    train_synthetic_pattern: str | None = None,
    test_pattern: str | None = None,
    case_pattern: str | None = None,
    size: Sequence[int] | None = None,
    scale: str | Sequence[float] = "set",
    slices: int = 8,
    device: str = "cpu",
    seed: int = 0,
) -> None:
    """A logistic regression on frozen features, trained on real, on synthetic and on both, tested on real images.

    Args:
        train_real: folder of real images to train on.
        train_synthetic: folder of synthetic images to train on.
        test: folder of real images of other cases.
        classes: CSV file with the columns case and class, for all three folders.
        output: folder for report.json, report.md, report.html and predictions.csv; a killed run goes on from there.
        extractors: list of random, inception, inception@64, radimagenet, medicalnet, or network.pt@sha256
            (TorchScript); see docs/extractors.md.
        train_real_pattern: which files of the folder are meant, such as "*_T1C.nii.gz"; likewise for the others.
        train_synthetic_pattern: of the synthetic folder.
        test_pattern: of the test folder.
        case_pattern: regular expression whose first group is the case in a file's path, such as "(case_\\d+)"; without
            it the file name is the case. No case may be in the test and in a training folder.
        size: pixels or voxels to resample to; nothing is resampled without it.
        scale: set (the real training set's range), image (each its own range), or two numbers that become 0 and 1.
        slices: of a volume across each axis, for two-dimensional extractors.
        device: where networks run.
        seed: of the bootstrap and of random convolutions.
    """
    from common.evaluation.downstream_classification import DownstreamClassification
    from common.evaluation.extractor_names import parse_extractors

    check_knob("seed", seed)
    check_knob("num_samples", slices)
    report = DownstreamClassification(
        path_text(train_real),
        path_text(train_synthetic),
        path_text(test),
        path_text(classes),
        path_text(output),
        extractors=parse_extractors(extractors, device, seed),
        patterns={
            "train_real": train_real_pattern,
            "train_synthetic": train_synthetic_pattern,
            "test": test_pattern,
        },
        case_pattern=case_pattern,
        size=size,
        scale=scale,
        slices=slices,
        seed=seed,
    ).run()
    print(report.to_markdown())
    print(f"report: {as_path(output) / 'report.md'}")


def segmentation(
    truth: str,
    predictions: Mapping[str, str],
    output: str,
    case_pattern: str | None = None,
    patient_pattern: str | None = None,
    seed: int = 0,
) -> None:
    """Dice and HD95 of the masks of several segmenters, and their paired differences to the first one.

    Folders of masks are named as in "{'real': 'DIR', 'synthetic': 'DIR', 'mixed': 'DIR'}".

    Args:
        truth: folder of true masks of real test cases, as NIfTI, NRRD, MetaImage or PNG.
        predictions: the folder of masks of each segmenter, by what it was trained on; the first is the baseline.
            nnU-Net's folders can be given as they are.
        output: folder for report.json, report.md, report.html and cases.csv.
        case_pattern: regular expression whose first group is the case in a mask's path; without it masks of one case
            have one file name, endings such as _mask and _seg aside.
        patient_pattern: the same for the patient in a true mask's path, where patients have several cases.
        seed: of the bootstrap over patients.
    """
    from common.evaluation.downstream_segmentation import compare_segmenters

    check_knob("seed", seed)
    if not isinstance(predictions, Mapping):
        raise InputError(
            f"predictions={predictions}: give a name and a folder for each, such as "
            "\"{'real': 'DIR', 'synthetic': 'DIR'}\""
        )
    folders = {str(name): path_text(folder) for name, folder in predictions.items()}
    report = compare_segmenters(path_text(truth), folders, path_text(output), case_pattern, patient_pattern, seed)
    print(report.to_markdown())
    print(f"report: {as_path(output) / 'report.md'}")


if __name__ == "__main__":
    install_error_hook()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    fire.Fire({"classification": classification, "segmentation": segmentation})
