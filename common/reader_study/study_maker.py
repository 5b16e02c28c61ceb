"""A blinded, balanced set of real and synthetic images for readers, and the key that tells them apart."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from ..io.files import replace_folder, sha256_of_file, write_json
from ..io.tables import csv_rows, write_csv
from ..knobs import as_path, as_text, check_choice, check_knob
from ..reports.pictures import mosaic, save_png
from .blinding import FEWEST_LEVELS, Form, blinded, common_form, grey_levels, save_blinded
from .giveaways import Giveaway, file_facts, strongest_giveaway
from .layout import IMAGES, image_file
from .protocols import tasks_of
from .source_images import MIDDLE, Source, cropped, find_cases, load_plane
from .study_files import ANSWERS, HASH, REAL, REFERENCES, STUDY_JSON, SYNTHETIC, image_hash

FEW_LEVELS = 64
SHEET_ROWS, SHEET_COLUMNS, THUMBNAIL = 2, 8, 160
SHEET_TEXT = "Key of a reader study: not for readers"


@dataclass(frozen=True)
class MadeStudy:
    """What was made.

    Attributes:
        folder: of the study, for readers.
        key: CSV file with the truth, not for readers.
        sheet: picture of some real (above) and some synthetic images (below), not for readers.
        available: cases found, by `real` and `synthetic`.
        num_each: images of each kind.
        form: of all images.
        giveaway: what tells most of all that a program reads off the files.
    """

    folder: Path
    key: Path
    sheet: Path
    available: dict[str, int]
    num_each: int
    form: Form
    giveaway: Giveaway

    def lines(self) -> list[str]:
        """The same in words."""
        height, width = self.form.size
        told = [
            f"{self.num_each} real of {self.available[REAL]} cases and {self.num_each} synthetic of "
            f"{self.available[SYNTHETIC]}, {height} x {width} pixels, {self.form.levels} grey levels: {self.folder}",
            f"key, not for readers: {self.key}; look at {self.sheet.name} beside it",
            f"what tells most without looking: {self.giveaway.fact}, AUC {self.giveaway.auc:.2f}, "
            f"p {self.giveaway.p:.2f} by permutation",
        ]
        if self.form.levels < FEW_LEVELS:
            told.append(f"warning: the coarsest image has few grey values, so that all have {self.form.levels} levels")
        if self.giveaway.p < 0.05:
            told.append(
                f"warning: a program tells real from synthetic by the {self.giveaway.fact}; prepare both alike, such "
                "as by --crop 8 (pixels off each border) or by cropping them to one shape, and make the study again"
            )
        return told


def make_study(
    real: str | Path,
    synthetic: str | Path,
    output: str | Path,
    key: str | Path | None = None,
    protocol: str = "kapsner",
    num_each: int | None = None,
    seed: int = 0,
    references: str | Path | None = None,
    case_pattern: str | None = None,
    slice: str | None = None,
    crop: int = 0,
    size: int | None = None,
    overwrite: bool = False,
) -> MadeStudy:
    """Draw, blind, shuffle and write.

    One image of each case is drawn (of 10 samples, one). Of the cases, those that both folders have come first, so that
    pairs stay together. The same files and arguments give the same bytes.

    Args:
        real, synthetic: folders of images, see `find_cases`.
        output: folder of the study. It appears whole.
        key: CSV file with the columns image, truth, case, reference and source; `<output>_key.csv` if None.
        protocol: `kapsner` or `mam_e`.
        num_each: images of each kind; as many as the smaller folder has cases if None.
        seed: of draw and order.
        references: CSV file with the columns case and reference (BI-RADS 1 to 6).
        case_pattern, slice: see `find_cases` and `load_plane`.
        crop: pixels that every image loses along each border: generators often give themselves away at borders.
        size: pixels of the longer side; those of the smallest image if None.
        overwrite: replace a study that nobody has begun to read.

    Raises:
        InputError: something of the above is not possible, an image is in both folders, or `output` exists.
    """
    tasks = tasks_of(protocol)
    check_knob("seed", seed)
    check_knob("overwrite", overwrite)
    if slice is not None:
        check_choice("slice", slice, (MIDDLE,))
    for name, value in (("num_each", num_each), ("size", size)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value}: give a whole number of at least 1")
    if isinstance(crop, bool) or not isinstance(crop, int) or crop < 0:
        raise InputError(f"crop={crop}: give a whole number of pixels, 0 or more")
    output = as_path(output)
    key = output.with_name(output.name + "_key.csv") if key is None else as_path(key)
    _check_places(output, key, overwrite)
    cases = {REAL: find_cases(as_path(real), case_pattern), SYNTHETIC: find_cases(as_path(synthetic), case_pattern)}
    found = {truth: len(entries) for truth, entries in cases.items()}
    num_each = _number(num_each, found)
    told = _read_references(references, set().union(*cases.values()))
    chosen = _draw(cases, num_each, seed)
    planes = [cropped(load_plane(source, slice), crop) for _, source in chosen]
    levels = [grey_levels(plane.pixels) for plane in planes]
    if min(levels) < FEWEST_LEVELS:
        path = chosen[levels.index(min(levels))][1].path
        told = f"has {min(levels)} grey values above black, at least {FEWEST_LEVELS} are needed; remove it"
        raise InputError(f"{path}: {told}")
    form = common_form(planes, levels, size)
    images = [blinded(plane, form) for plane in planes]
    _check_twice([truth for truth, _ in chosen], [source.path for _, source in chosen], images)
    order = _shuffled(chosen, seed)
    names = [f"{number:04d}" for number in range(1, len(order) + 1)]
    rows = []
    for name, place in zip(names, order, strict=True):
        truth, source = chosen[place]
        reference = told.get(source.case, "")
        row = {"image": name, "truth": truth, "case": source.case, "reference": reference, "source": str(source.path)}
        rows.append(row)
    study = {
        "name": output.name,
        "protocol": protocol,
        "seed": seed,
        "size": list(form.size),
        "levels": form.levels,
        "tasks": tasks,
        "images": names,
    }
    finished = Path(tempfile.mkdtemp(dir=output.parent, prefix=".study-"))
    try:
        finished.chmod(0o755)
        (finished / IMAGES).mkdir()
        for name, place in zip(names, order, strict=True):
            save_blinded(image_file(finished, name), images[place])
        write_json(finished / STUDY_JSON, study)
        for row in rows:
            row[HASH] = image_hash(finished, row["image"])
        facts = [_facts_of(image_file(finished, name)) for name in names]
        giveaway = strongest_giveaway(facts, [row["truth"] == SYNTHETIC for row in rows])
        # The key first: a study without its key would be lost work.
        write_csv(key, rows)
        replace_folder(finished, output)
    finally:
        shutil.rmtree(finished, ignore_errors=True)
    sheet = key.with_suffix(".png")
    _save_sheet(sheet, [[image for (truth, _), image in zip(chosen, images, strict=True) if truth == t] for t in cases])
    return MadeStudy(output, key, sheet, found, num_each, form, giveaway)


def _check_places(output: Path, key: Path, overwrite: bool) -> None:
    if key.resolve().is_relative_to(output.resolve()):
        raise InputError(f"key {key}: lies in the study's folder, where readers would find it; name another place")
    for name, path in (("output", output), ("key", key)):
        if not path.parent.is_dir():
            raise InputError(f"{name} {path}: its folder does not exist; make it, or name another place")
    if key.suffix.lower() != ".csv":
        raise InputError(f"key {key}: name a file that ends in .csv")
    answered = sorted((output / ANSWERS).glob("*.csv"))
    if answered:
        raise InputError(
            f"output {output}: holds answers of {len(answered)} reader{'s' * (len(answered) > 1)}; name another folder"
        )
    for name, path in (("output", output), ("key", key)):
        if path.exists() and not overwrite:
            raise InputError(f"{name} {path}: exists already; name another place, or say --overwrite True")
    if output.exists() and not (output / STUDY_JSON).is_file() and (output.is_file() or any(output.iterdir())):
        raise InputError(f"output {output}: is no study, so that it is not replaced; name another folder")


def _number(num_each: int | None, found: Mapping[str, int]) -> int:
    fewest = min(found, key=found.get)
    if num_each is not None and num_each > found[fewest]:
        raise InputError(f"num_each={num_each}: there are only {found[fewest]} {fewest} cases; give at most as many")
    return num_each or found[fewest]


def _read_references(path: str | Path | None, cases: set[str]) -> dict[str, str]:
    """The reference of each case, as text."""
    if path is None:
        return {}
    told: dict[str, str] = {}
    for where, row in csv_rows(as_path(path), ("case", "reference")):
        if row["reference"] not in ("", *map(str, REFERENCES)):
            raise InputError(f"{where}: reference '{row['reference']}': use BI-RADS 1 to 6, or leave it empty")
        if told.setdefault(row["case"], row["reference"]) != row["reference"]:
            raise InputError(f"{where}: case {row['case']} has two references; keep one line")
    if not cases & set(told):
        raise InputError(f"references {as_text(path)}: names none of the cases, which are as '{min(cases)}'")
    return told


def _draw(cases: Mapping[str, Mapping[str, Sequence[Source]]], num_each: int, seed: int) -> list[tuple[str, Source]]:
    """(truth, image), real ones first."""
    draw = random.Random(seed)
    shared = sorted(set(cases[REAL]) & set(cases[SYNTHETIC]))
    draw.shuffle(shared)
    chosen = []
    for truth, entries in cases.items():
        alone = sorted(set(entries) - set(shared))
        draw.shuffle(alone)
        chosen += [(truth, draw.choice(entries[case])) for case in (shared + alone)[:num_each]]
    return chosen


def _shuffled(chosen: Sequence[tuple[str, Source]], seed: int) -> list[int]:
    """The order of the study. It follows from the files' contents too: the seed stands in the study, for readers."""
    contents = "".join(sha256_of_file(path) for _, source in chosen for path in source.files)
    order = list(range(len(chosen)))
    random.Random(f"{seed} {hashlib.sha256(contents.encode()).hexdigest()}").shuffle(order)
    return order


def _check_twice(truths: Sequence[str], paths: Sequence[Path], images: Sequence[np.ndarray]) -> None:
    seen: dict[str, int] = {}
    for place, image in enumerate(images):
        first = seen.setdefault(hashlib.sha256(image.tobytes()).hexdigest(), place)
        if first != place:
            both = "both folders" if truths[first] != truths[place] else f"the {truths[place]} folder twice"
            raise InputError(f"{paths[first]} and {paths[place]}: the same image, in {both}; remove one")


def _facts_of(path: Path) -> dict[str, float]:
    with Image.open(path) as picture:
        return file_facts(path.read_bytes(), os.stat(path).st_mtime, np.asarray(picture))


def _save_sheet(path: Path, kinds: Sequence[Sequence[np.ndarray]]) -> None:
    rows = []
    for images in kinds:
        small = [_thumbnail(image) for image in images[: SHEET_ROWS * SHEET_COLUMNS]]
        rows += [small[start : start + SHEET_COLUMNS] for start in range(0, len(small), SHEET_COLUMNS)]
    columns = max(map(len, rows))
    sheet = mosaic(rows, [""] * columns, f"{REAL} above, {SYNTHETIC} below")
    save_png(path, sheet, SHEET_TEXT)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray((image >> 8).astype(np.uint8))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)
