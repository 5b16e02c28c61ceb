"""New lesion masks from given ones, kept inside the breast."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_file
from ..io.label_images import PICTURE_SUFFIX, flat_affine, flat_axis, is_label_image, read_label_image
from ..io.volumes import GRID_TOLERANCE, case_name, volume_suffix
from ..knobs import as_path
from ..outputs import DATALIST, PREVIEW
from ..reports.mip_pictures import class_picture, display
from ..reports.pictures import mosaic, save_png
from ..sampling.lesion_plan import find_annotations
from ..sampling.plan import sample_seed
from .datalist import save_datalist
from .lesion_annotations import LesionAnnotation, read_annotation, save_annotation
from .lesion_classes import class_file_of, read_class_table
from .lesion_edits import OPERATIONS, EditLimits, LesionEditor, Patch, cut_out

logger = logging.getLogger(__name__)

NO_OUTLINE = "none"
PREVIEW_ROWS, PREVIEW_COLUMNS, PREVIEW_HEIGHT = 8, 8, 160
OUTLINE_GREY = 70


def edit_lesions(
    input: str,
    output: str,
    operations: str | Sequence[str] = ("move", "scale", "deform"),
    num: int = 5,
    outline: str | None = None,
    donor: str | None = None,
    label_meaning: str = "auto",
    classes: Any = None,
    project: bool = False,
    limits: EditLimits | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write `num` new masks for each given one, a datalist and a picture; see `scripts/edit_lesions.py`.

    Returns:
        Path of the datalist.

    Raises:
        InputError: unusable input, no outline, masks of other parameters in the way, or no edit that finds a place.
    """
    operations = _check_operations(operations)
    limits = limits or EditLimits()
    _check_limits(limits, num, seed)
    reading = {"label_meaning": label_meaning, "classes": read_class_table(classes), "project": project}
    cases = find_annotations(input)
    donors, donor_hashes = _read_donors(donor, reading)
    folder = make_output_dir(output)
    shared = {
        "operations": operations,
        "seed": seed,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(limits).items()},
        **reading,
        "donor_sha256": donor_hashes,
    }
    items: list[dict[str, Any]] = []
    rows: list[list[np.ndarray]] = []
    skipped = 0
    with tqdm(total=num * len(cases), desc="new masks", unit="mask") as progress:
        for case in cases:
            file = _outline_file(case, outline)
            lesions = read_annotation(case["image"], **reading)
            inside = _read_outline(file, lesions)
            lesions = _cut_to(lesions, inside, file)
            spacing = tuple(float(mm) for mm in np.linalg.norm(lesions.affine[:3, :2], axis=0))
            editor = LesionEditor(inside, spacing, limits, donors)
            facts = shared | {"source_sha256": _hashes(Path(case["image"])), "outline_sha256": _hashes(file)}
            row = [_picture(lesions, inside)]
            for k in range(num):
                progress.update()
                name = f"{case['case']}_edit{k}"
                target = folder / f"{name}_mask.nii.gz"
                if not _is_done(target, facts, overwrite):
                    rng = np.random.default_rng(sample_seed(seed, case["case"], k))
                    instances, new_classes, done = editor.edit(lesions.instances, lesions.classes, operations, rng)
                    if not done:
                        skipped += 1
                        row.append(np.zeros_like(row[0]))
                        continue
                    new = LesionAnnotation(str(target), instances, new_classes, lesions.affine)
                    save_annotation(target, new, "SYNTHETIC lesion mask", {"edit": facts | {"done": done}})
                row.append(_picture(read_annotation(target), inside))
                breast = {"breast": str(file)} if file else {}
                items.append({"case": name, "patient": case["case"], "label": str(target), **breast})
            rows.append(row[:PREVIEW_COLUMNS])
    if not items:
        raise InputError(
            f"input {input}: no edit found a place inside the outline; check --outline, or give other --operations "
            "or smaller amounts"
        )
    if skipped:
        logger.warning(f"{skipped} of {num * len(cases)} new masks found no place inside the outline and are left out")
    columns = ["given", *(f"edit{k}" for k in range(min(num, PREVIEW_COLUMNS - 1)))]
    save_png(folder / PREVIEW, mosaic(rows[:PREVIEW_ROWS], columns), "given and edited lesion masks")
    path = folder / DATALIST
    save_datalist(path, {"training": items}, cohort="edited lesion masks", seed=seed)
    return path


def _check_operations(operations: str | Sequence[str]) -> list[str]:
    words = operations.strip("[] ").split(",") if isinstance(operations, str) else operations
    words = list(dict.fromkeys(str(word).strip() for word in words))
    for word in words:
        if word not in OPERATIONS:
            raise InputError(f"operations: {word or 'nothing'} is not one; use some of {', '.join(OPERATIONS)}")
    return words


def _check_limits(limits: EditLimits, num: int, seed: int) -> None:
    if num < 1 or seed < 0:
        raise InputError(f"num={num}, seed={seed}: give at least one mask and a seed of 0 or more")
    if len(limits.scale_range) != 2 or not 0 < limits.scale_range[0] <= limits.scale_range[1]:
        raise InputError(f"scale_range={limits.scale_range}: give the smallest and the largest factor, as in [0.7,1.4]")
    if limits.max_shift_mm < 0 or limits.deformation_mm < 0:
        raise InputError("max_shift_mm, deformation_mm: give millimetres of 0 or more")


def _read_donors(donor: str | None, reading: Mapping[str, Any]) -> tuple[list[Patch], list[list[str]]]:
    if donor is None:
        return [], []
    found = [read_annotation(item["image"], **reading) for item in find_annotations(donor)]
    patches = []
    for lesions in found:
        spacing = tuple(float(mm) for mm in np.linalg.norm(lesions.affine[:3, :2], axis=0))
        for number, birads in sorted(lesions.classes.items()):
            patches.append(Patch(cut_out(lesions.instances == number)[0], birads, spacing))
    if not patches:
        raise InputError(f"donor {donor}: holds no lesion to copy; give another mask, or leave it out for ellipses")
    return patches, [_hashes(Path(lesions.path)) for lesions in found]


def _outline_file(case: Mapping[str, Any], outline: str | None) -> Path | None:
    """The breast outline of a case; None where the user wants none."""
    if outline == NO_OUTLINE:
        return None
    if outline is None:
        if "breast" not in case:
            raise InputError(
                f"{case['image']}: no breast outline is known; give --outline FILE, a mask on the same grid, or "
                "--outline none to be held by the image's frame only"
            )
        return Path(case["breast"])
    path = as_path(outline)
    if not path.is_dir():
        return path
    names = (case["case"], f"{case['case']}_breast")
    found = [file for file in sorted(path.iterdir()) if is_label_image(file) and _case(file) in names]
    if len(found) != 1:
        raise InputError(
            f"outline {path}: holds {len(found)} outlines of {case['case']}; name one file {names[1]}.nii.gz"
        )
    return found[0]


def _case(file: Path) -> str:
    return case_name(file if volume_suffix(file) else file.stem)


def _read_outline(file: Path | None, lesions: LesionAnnotation) -> np.ndarray:
    """Where lesions may lie, (X, Y), bool."""
    if file is None:
        return np.ones(lesions.instances.shape, bool)
    image = read_label_image(file)
    axis = flat_axis(image.values.shape[:3])
    values = image.values if image.colours is None else image.colours[..., :3]
    if axis is None:
        raise InputError(f"outline {file}: is three-dimensional; give the outline on the image on which lesions are")
    inside = values.any(-1).any(axis)
    affine = flat_affine(image.affine, axis)
    if PICTURE_SUFFIX in (file.suffix.lower(), Path(lesions.path).suffix.lower()):
        # A picture has no place; that it is seen from the same side is all that can be asked.
        same_place = np.array_equal(nibabel.io_orientation(affine), nibabel.io_orientation(lesions.affine))
    else:
        same_place = np.allclose(affine, lesions.affine, atol=GRID_TOLERANCE)
    if inside.shape != lesions.instances.shape or not same_place:
        raise InputError(
            f"outline {file}: {inside.shape[0]} x {inside.shape[1]} pixels are not the grid of {lesions.path} "
            f"({lesions.instances.shape[0]} x {lesions.instances.shape[1]}); give an outline on the same grid"
        )
    if not inside.any():
        raise InputError(f"outline {file}: is empty; mark the breast")
    return inside


def _cut_to(lesions: LesionAnnotation, inside: np.ndarray, file: Path | None) -> LesionAnnotation:
    """Lesions without what lies outside; a drawn margin may stand out of an automatic outline, a whole lesion not."""
    if lesions.fractions is not None:
        raise InputError(f"{lesions.path}: soft masks cannot be edited; give a mask of one rater")
    cut = np.where(inside, lesions.instances, 0)
    lost = [number for number in lesions.classes if not (cut == number).any()]
    if lost:
        raise InputError(f"{lesions.path}: lesion {lost[0]} lies outside the outline {file}; correct one of the two")
    if (cut != lesions.instances).any():
        logger.warning(
            f"{lesions.path}: {int((cut != lesions.instances).sum())} pixels outside the outline are cut off"
        )
    return LesionAnnotation(lesions.path, cut, lesions.classes, lesions.affine)


def _hashes(file: Path | None) -> list[str]:
    """Of a mask and of the JSON file beside it."""
    if file is None:
        return []
    return [sha256_of_file(path) for path in (file, class_file_of(file)) if path.is_file()]


def _is_done(target: Path, facts: Mapping[str, Any], overwrite: bool) -> bool:
    if not target.is_file():
        return False
    beside = class_file_of(target)
    found = json.loads(beside.read_text(encoding="utf-8")).get("edit", {}) if beside.is_file() else {}
    other = sorted(key for key, value in facts.items() if found.get(key) != value)
    if other and not overwrite:
        raise InputError(
            f"{target}: exists with other {', '.join(other[:3])}; choose another --output, or pass --overwrite True"
        )
    return not other


def _picture(lesions: LesionAnnotation, inside: np.ndarray) -> np.ndarray:
    """Lesions in the colours of their classes within the outline, (H, W, 3), seen as MIPs are."""
    orientation = nibabel.io_orientation(lesions.affine)

    def turned(plane: np.ndarray) -> np.ndarray:
        volume = nibabel.apply_orientation(plane[..., None], orientation)
        return volume.squeeze(int(orientation[2, 0]))

    picture = class_picture(turned(lesions.class_map()))
    background = display(turned(inside)) & ~picture.any(-1)
    picture[background] = OUTLINE_GREY
    height = PREVIEW_HEIGHT
    width = max(1, round(height * picture.shape[1] / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))
