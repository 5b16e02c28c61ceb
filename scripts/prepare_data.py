"""From a cohort as downloaded to a `datalist.json` that every bundle reads.

python scripts/prepare_data.py brats --source DIR --output DIR
python scripts/prepare_data.py duke --source DIR --output DIR --boxes Annotation_Boxes.xlsx
python scripts/prepare_data.py mama_mia --source DIR --output DIR
python scripts/prepare_data.py breast_mips --source DIR --output DIR --masks DIR
python scripts/prepare_data.py vindr --source DIR --output DIR
python scripts/prepare_data.py optimam --source DIR --output DIR
python scripts/prepare_data.py mammograms --source DIR --output DIR --table lesions.csv
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.mammogram_folder import prepare_folder
from common.cohorts.optimam import prepare_optimam
from common.cohorts.prepare_brats import prepare_brats
from common.cohorts.prepare_dce import prepare_duke, prepare_mama_mia
from common.cohorts.prepare_mammograms import DEFAULT_FINDINGS
from common.cohorts.prepare_mips import PERCENTILES, prepare_mips
from common.cohorts.vindr import prepare_vindr
from common.errors import install_error_hook
from common.knobs import as_text


def brats(
    source: str,
    output: str,
    labels: str = "auto",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    resample: bool = False,
    workers: int = 2,
) -> None:
    """Brain tumour cases named as BraTS 2021, BraTS 2023, MSD Task01 or plainly t1, t1c, t2, flair, seg.

    Args:
        source: folder, searched through.
        output: folder for `datalist.json`; checks that were done are kept there and not repeated.
        labels: what mask values mean: auto, brats, brats2023, msd, whole, or a map such as "{1: oedema, 2: enhancing}".
        fractions: shares of training, validation and test patients.
        seed: of the split.
        resample: bring contrasts that lie on other grids to that of T1C, instead of refusing the case.
        workers: processes.
    """
    prepare_brats(source, output, labels, tuple(fractions), int(seed), bool(resample), int(workers))


def duke(
    source: str,
    output: str,
    boxes: str | None = None,
    masks: str | None = None,
    split: str = "leak_free",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    num_phases: int = 3,
    registration: str = "none",
    workers: int = 2,
) -> None:
    """Dynamic breast MRI of Duke-Breast-Cancer-MRI, DICOM as downloaded from TCIA.

    Args:
        source: folder, searched through for patients.
        output: folder for NIfTI files and `datalist.json`; cases that were converted are not read again.
        boxes: the collection's Annotation_Boxes.xlsx, or the same table as CSV.
        masks: folder with a lesion mask `<patient>.nii.gz` or `.nrrd`, and perhaps a `<patient>.json`, a patient.
        split: leak_free (one division by patient for all tasks), or one of the paper's: single_phase, joint,
            segmentation, segmentation_fold0 to segmentation_fold4.
        fractions: shares of training, validation and test patients of leak_free.
        seed: of leak_free.
        num_phases: how many phases after contrast a case must have; the first so many are used.
        registration: none, or rigid or demons: move the phases onto the pre-contrast volume and its grid (ITK).
        workers: processes.
    """
    boxes, masks = (None if path is None else as_text(path) for path in (boxes, masks))
    arguments = (boxes, masks, split, tuple(fractions), int(seed), num_phases, registration, int(workers))
    prepare_duke(as_text(source), output, *arguments)


def mama_mia(
    source: str,
    output: str,
    split: str = "leak_free",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    num_phases: int = 3,
    workers: int = 2,
) -> None:
    """Dynamic breast MRI laid out as MAMA-MIA: images/CASE/case_0000.nii.gz and on, segmentations/expert/case.nii.gz.

    Args:
        source: folder, searched through; the files stay where they are.
        output: folder for `datalist.json`; checks that were done are kept there and not repeated.
        split: leak_free, or one of the paper's (see duke), which holds patients DUKE_<number> alone.
        fractions: shares of training, validation and test patients of leak_free.
        seed: of leak_free.
        num_phases: how many phases after contrast a case must have; the first so many are used.
        workers: processes.
    """
    prepare_mama_mia(as_text(source), output, split, tuple(fractions), int(seed), num_phases, int(workers))


def breast_mips(
    source: str,
    output: str,
    masks: str | None = None,
    keep_unlabelled: bool = False,
    label_meaning: str = "auto",
    classes: str | dict | None = None,
    boxes: str | None = None,
    box_class: int | None = None,
    size: int = 256,
    percentiles: tuple = PERCENTILES,
    registration: str = "none",
    split: str = "leak_free",
    fractions: tuple = (0.8, 0.2, 0.0),
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Subtraction MIPs with lesion classes, from dynamic breast MRI.

    Args:
        source: folder of Duke-Breast-Cancer-MRI in DICOM or laid out as MAMA-MIA, or a datalist.json made from either.
        output: folder for the MIPs and `datalist.json`; exams that were made are not made again.
        masks: folder with a lesion annotation `<case>.nii.gz`, `.seg.nrrd`, `.nrrd` or `.png` a case, on the MIP or on
            the volume; without it, masks of the cohort itself whose JSON files name `birads`.
        keep_unlabelled: keep cases without an annotation in `masks`, instead of skipping them; such a case has no
            `label` and trains the autoencoder only.
        label_meaning: what mask values are: auto, birads, instance, segment or soft.
        classes: table from mask values, segment names or colours to classes, such as "{1: 4, 2: 5}", or a JSON file.
        boxes: Annotation_Boxes.xlsx or CSV of the Duke collection, for lesions without masks.
        box_class: BI-RADS class, 2 to 6, of the lesions in boxes.
        size: pixels along a side of the square MIP.
        percentiles: of the exam's MIP that become -1 and 1.
        registration: none, or rigid or demons: move the phase after contrast onto the pre-contrast volume (ITK).
        split: leak_free, or fold0 to fold4: one fifth of the patients for validation.
        fractions: shares of training, validation and test patients of leak_free.
        seed: of the split.
        workers: processes.
    """
    masks, boxes = (None if path is None else as_text(path) for path in (masks, boxes))
    reading = (masks, keep_unlabelled, label_meaning, classes, boxes, box_class)
    prepare_mips(as_text(source), output, *reading, size, percentiles, registration, split, fractions, seed, workers)


def vindr(
    source: str,
    output: str,
    size: int = 512,
    fit: str = "letterbox",
    findings: str | tuple = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    split: str = "own",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Mammograms of VinDr-Mammo as downloaded: images/STUDY/IMAGE.dicom and its tables.

    Args:
        source: folder with `breast-level_annotations.csv`, `finding_annotations.csv` and `images`.
        output: folder for the images and `datalist.json`; what was made is not made again.
        size: pixels along a side of the square image.
        fit: letterbox (the whole image, its aspect kept) or crop (the middle of it, as in MAM-E; what lesions lose by
            it is said).
        findings: kinds of lesions that are kept, of mass, calcification, lesion (of a type that no one noted) and
            other; or all. Images with others alone are left out.
        box_shape: rectangle, or the ellipse in it.
        split: own (the collection's; validation is taken from its training patients) or leak_free.
        fractions: shares of training, validation and test patients.
        seed: of the split.
        workers: processes.
    """
    division = (split, tuple(fractions), seed, workers)
    prepare_vindr(as_text(source), as_text(output), size, fit, findings, box_shape, *division)


def optimam(
    source: str,
    output: str,
    table: str | None = None,
    size: int = 512,
    fit: str = "letterbox",
    findings: str | tuple = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    split: str = "leak_free",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Mammograms of OMI-DB: images/CLIENT/STUDY/IMAGE.dcm, with marks from its JSON files or a table.

    Images for presentation are taken, without an implant, in views CC, MLO, LM and ML; how many each filter leaves out
    is said.

    Args:
        source: folder with `images` and `data`.
        output: folder for the images and `datalist.json`; what was made is not made again.
        table: CSV in place of the JSON files, a row a mark: image, client, laterality, view, density, x1, y1, x2, y2,
            type, birads.
        size: pixels along a side of the square image.
        fit: letterbox or crop, see vindr.
        findings: kinds of lesions that are kept, see vindr.
        box_shape: rectangle, or the ellipse in it.
        split: leak_free, or own (the table's column `split`).
        fractions: shares of training, validation and test patients.
        seed: of the split.
        workers: processes.
    """
    table = None if table is None else as_text(table)
    division = (split, tuple(fractions), seed, workers)
    prepare_optimam(as_text(source), as_text(output), table, size, fit, findings, box_shape, *division)


def mammograms(
    source: str,
    output: str,
    table: str | None = None,
    mias: str | None = None,
    size: int = 512,
    fit: str = "letterbox",
    findings: str | tuple = DEFAULT_FINDINGS,
    box_shape: str = "rectangle",
    any_modality: bool = False,
    split: str = "leak_free",
    fractions: tuple = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Mammograms in a plain folder: DICOM, PNG, PGM, TIFF, NIfTI or NRRD files, 8 or 16 bits.

    Args:
        source: folder.
        output: folder for the images and `datalist.json`; what was made is not made again.
        table: CSV with a row an image or a lesion: image, and as far as known patient, laterality, view, density,
            vendor, split, spacing_mm, x0, y0, x1, y1 or x, y, radius or mask, type, birads, pathology. Without it every
            image is taken, and is a patient of its own.
        mias: mini-MIAS' Info file, in place of a table.
        size: pixels along a side of the square image.
        fit: letterbox or crop, see vindr.
        findings: kinds of lesions that are kept, see vindr.
        box_shape: rectangle, or the ellipse in it.
        any_modality: take DICOM files of any modality, for scanned film.
        split: leak_free, or own (the table's column `split`).
        fractions: shares of training, validation and test patients.
        seed: of the split.
        workers: processes.
    """
    table, mias = (None if path is None else as_text(path) for path in (table, mias))
    division = (any_modality, split, tuple(fractions), seed, workers)
    prepare_folder(as_text(source), as_text(output), table, mias, size, fit, findings, box_shape, *division)


if __name__ == "__main__":
    install_error_hook()
    commands = {"brats": brats, "duke": duke, "mama_mia": mama_mia, "breast_mips": breast_mips}
    fire.Fire(commands | {"vindr": vindr, "optimam": optimam, "mammograms": mammograms})
