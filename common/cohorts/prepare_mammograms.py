"""From mammograms of any cohort to datalist items: one side, one square grid, one range of values, one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json
from ..io.mammogram_pictures import save_mammogram, slice_affine
from ..io.mammograms import NO_SPACING, Mammogram, load_mammogram
from ..io.volumes import save_nifti
from ..knobs import check_choice, check_knob
from ..transforms.breast_area import area_ratio, area_word, breast_mask, is_mirrored
from ..transforms.mammogram_frame import FITS, LETTERBOX, MammogramFrame
from .checked_cases import check_cases, file_stamp, write_checked
from .datalist import SECTIONS
from .mammogram_lesions import BOX_SHAPES, RECTANGLE, PlacedLesions, place_lesions
from .mammogram_prompts import MammogramAttributes, compose
from .mammogram_records import CALCIFICATION, MASS, UNSPECIFIED, MammogramRecord, check_unique, findings_of
from .mammogram_splits import LEAK_FREE, SPLITS, sections_of_records
from .mammogram_summary import summary, tell

MAMMOGRAMS_FOLDER = "mammograms"
DEFAULT_FINDINGS = (MASS, CALCIFICATION, UNSPECIFIED)
LEAST_SIZE, SIZE_MULTIPLE = 64, 8
RECIPE = 2  # raised whenever items are made differently, so that older ones are made again


@dataclass(frozen=True)
class MammogramOptions:
    """How mammograms are made into items.

    Attributes:
        size: pixels along each side of the grid.
        fit: `letterbox` shows the whole image, `crop` the middle at its shorter side's width, as the original did.
        box_shape: what a box becomes, `rectangle` or the `ellipse` in it.
        findings: kinds of lesions that are kept. An image with others alone is left out, as it is not healthy.
        any_modality: take DICOM files of any modality, for scanned film.
    """

    size: int = 512
    fit: str = LETTERBOX
    box_shape: str = RECTANGLE
    findings: tuple[str, ...] = DEFAULT_FINDINGS
    any_modality: bool = False


def check_options(size: Any, fit: Any, box_shape: Any, findings: Any, any_modality: Any) -> MammogramOptions:
    """Options from knobs.

    Raises:
        InputError: an unusable one.
    """
    check_choice("fit", fit, FITS)
    check_choice("box_shape", box_shape, BOX_SHAPES)
    if isinstance(size, bool) or not isinstance(size, int) or size < LEAST_SIZE or size % SIZE_MULTIPLE:
        raise InputError(f"size={size}: give pixels along a side, {LEAST_SIZE} or more and a multiple of 8")
    if not isinstance(any_modality, bool):
        raise InputError(f"any_modality={any_modality}: give True or False")
    return MammogramOptions(size, fit, box_shape, findings_of(findings), any_modality)


def prepare_mammograms(
    cohort: str,
    source: str | Path,
    output: str | Path,
    records: Sequence[MammogramRecord],
    options: MammogramOptions,
    split: str = LEAK_FREE,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    workers: int = 2,
    left_out: Mapping[str, int] | None = None,
) -> Path:
    """Make every mammogram of a cohort, divide them by patient and write the datalist.

    What was made is not made again. Beside the usual facts the datalist has `left_out` (how many images, by reason),
    `lesions_lost` (lesions that the crop leaves out or cuts, by case), `guessed` and `warnings` (how many images).

    Args:
        cohort: its name.
        source: where the records come from, for messages.
        output: folder for the images and the datalist.
        records: what the cohort's tables say.
        options: see `MammogramOptions`.
        split: `leak_free`, by fractions, or `own`, the cohort's.
        fractions: of training, validation and test patients.
        seed: of the split.
        workers: processes.
        left_out: reasons for which the cohort's reader left images out, and how many.

    Returns:
        Path of the datalist.

    Raises:
        InputError: an argument is unusable, or no mammogram at all is.
    """
    check_choice("split", split, SPLITS)
    check_knob("seed", seed)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise InputError(f"workers={workers}: give a whole number of processes")
    check_unique(records, str(source))
    kept = [record for record in records if has_wanted_findings(record, options.findings)]
    left_out = {**(left_out or {}), "findings of other kinds alone": len(records) - len(kept)}
    left_out = {reason: count for reason, count in left_out.items() if count}
    if not kept:
        raise InputError(f"source {source}: holds no mammogram that could be used; left out: {left_out or 'none'}")
    section_of = sections_of_records(records, split, fractions, seed)
    folder = make_output_dir(output)
    make = partial(make_item, folder=folder / MAMMOGRAMS_FOLDER, options=options)
    checked = check_cases(folder, [(_key(record, options), record) for record in kept], make, workers)
    facts = summary(checked.items, left_out)
    tell(facts, len(checked.items))

    def divide(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {s: [item for item in items if section_of[item["patient"]] == s] for s in SECTIONS}

    made = {"size": options.size, "fit": options.fit, "findings": list(options.findings)}
    divided = {"split": split, "seed": seed, "fractions": list(fractions)}
    return write_checked(folder, source, checked, divide, cohort=cohort, **divided, **made, **facts)


def make_item(record: MammogramRecord, folder: Path, options: MammogramOptions) -> dict[str, Any]:
    """Make one mammogram and return its datalist item.

    Args:
        record: what is known of it.
        folder: gets `<case>_mammogram.nii.gz`, uint16, `<case>_breast.nii.gz` and, where a lesion's place is known and
            in the frame, `<case>_mask.nii.gz`, uint8 lesion numbers; all (size, size, 1), columns first.
        options: see `MammogramOptions`.

    Returns:
        `case`, `patient`, `image`, `breast`, `label`, `view`, `laterality`, `vendor`, `density`, `area_ratio`
        (None for a close-up without air), `spacing` (mm of the grid's pixels or None), `lesions`, `prompt`; where it
        applies `findings_known` (False: no one said whether there are lesions), `guessed`, `warnings`, `lesions_lost`.

    Raises:
        InputError: the file or an annotation cannot be used.
    """
    mammogram = load_mammogram(record.path, record.laterality, record.view, options.any_modality, quiet=True)
    display = mammogram.display()
    breast = breast_mask(display)
    flip, contradiction = is_mirrored(breast, mammogram.laterality)
    frame = MammogramFrame(display.shape, options.size, flip, options.fit)
    marks = tuple(mark for mark in record.lesions or () if mark.kind in options.findings)
    lesions = place_lesions(_masses_first(marks), frame, options.box_shape)
    area = frame.to_network(breast.astype(np.float32)) >= 0.5
    # A part of a breast, without air around it, has no size that could be told.
    ratio = None if breast.all() else area_ratio(area)

    spacing = mammogram.spacing or record.spacing
    network_mm = None if spacing is None else frame.network_pixel_mm(spacing)
    home = make_output_dir(folder)
    item = _described(record, mammogram, lesions, ratio)
    item["spacing"] = None if network_mm is None else [round(length, 6) for length in network_mm]
    item |= _notes(record, mammogram, lesions, contradiction)
    paths = {name: home / f"{record.name}_{name}.nii.gz" for name in ("mammogram", "breast", "mask")}
    affine = slice_affine(network_mm)
    save_nifti(paths["breast"], area.astype(np.uint8).T[..., None], affine)
    named = {"image": paths["mammogram"], "breast": paths["breast"]}
    if lesions.label is not None:
        save_nifti(paths["mask"], lesions.label.T[..., None], affine)
        named["label"] = paths["mask"]
    save_mammogram(paths["mammogram"], frame.to_network(display), network_mm)
    return {"case": record.name, "patient": record.patient, **{k: str(p.resolve()) for k, p in named.items()}, **item}


def has_wanted_findings(record: MammogramRecord, findings: Sequence[str]) -> bool:
    """Whether an image is without lesions, or has one of a wanted kind."""
    return not record.lesions or any(mark.kind in findings for mark in record.lesions)


def _described(
    record: MammogramRecord, mammogram: Mammogram, lesions: PlacedLesions, ratio: float | None
) -> dict[str, Any]:
    """The attributes of an item and the sentence that says them."""
    first = lesions.entries[0] if lesions.entries else None
    vendor = mammogram.vendor or record.vendor
    # An image whose lesions are all outside of the frame is no image of a healthy breast.
    healthy = record.lesions is not None and not lesions.entries and not lesions.lost
    attributes = MammogramAttributes(
        view=mammogram.view,
        vendor=vendor,
        density=record.density,
        area=None if ratio is None else area_word(ratio),
        lesion=first["type"] if first else "none" if healthy else None,
        pathology=first["pathology"] if first else None,
    )
    item = {
        "view": mammogram.view,
        "laterality": mammogram.laterality,
        "vendor": vendor,
        "density": record.density,
        "area_ratio": None if ratio is None else round(ratio, 5),
        "spacing": None,
        "lesions": lesions.entries,
        "prompt": compose(attributes),
    }
    return item if first or healthy else item | {"findings_known": False}


def _notes(
    record: MammogramRecord, mammogram: Mammogram, lesions: PlacedLesions, contradiction: str | None
) -> dict[str, Any]:
    told = [warning for warning in mammogram.warnings if warning != NO_SPACING or record.spacing is None]
    told += [contradiction] if contradiction else []
    notes = {"guessed": list(mammogram.guessed), "warnings": told, "lesions_lost": lesions.lost}
    return {name: value for name, value in notes.items() if value}


def _masses_first(marks: Sequence) -> list:
    return sorted(marks, key=lambda mark: mark.kind != MASS)


def _key(record: MammogramRecord, options: MammogramOptions) -> str:
    files = [record.path, *(mark.mask for mark in record.lesions or () if mark.mask is not None)]
    stamps = [file_stamp(path) if path.is_file() else str(path) for path in files]
    return sha256_of_json([RECIPE, str(asdict(record)), stamps, asdict(options)])
