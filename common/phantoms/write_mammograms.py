"""Write mammogram phantoms as VinDr-Mammo is downloaded: images/<study>/<image>.dicom and three tables.

As in the real collection, files differ in how they are stored: bits, photometric interpretation, kind of window. A
patient with a lesion has an earlier examination of the same breast, in which the lesion is not there yet and every
other pixel is the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from ..io.files import write_json
from ..io.mammogram_dicom import write_mammogram_dicom
from ..io.tables import write_csv
from .mammogram import LATERALITIES, SHAPE, SPACING_MM, VIEWS, MammogramPhantom
from .mammogram_patients import draw_patient, draw_view
from .mammogram_storage import draw_storage

NAME = "PhantomMG_{seed:05d}"
IMAGES, TRUTH = "images", "truth"
DESCRIPTION = "phantom, no patient"
MANUFACTURERS = {"siemens": "SIEMENS", "hologic": "HOLOGIC, Inc."}
TEST_SHARE = 0.15
CATEGORIES = {"mass": "['Mass']", "calcification": "['Suspicious Calcification']", None: "['No Finding']"}
TABLES = ("breast-level_annotations", "finding_annotations", "metadata")


def is_written(folder: Path, seed: int) -> bool:
    """Whether a patient is complete; the sidecar is written last."""
    return _sidecar(folder, seed).exists()


def write_patient(
    folder: Path,
    seed: int,
    shape: tuple[int, int] = SHAPE,
    spacing_mm: float = SPACING_MM,
    withheld: bool = False,
) -> None:
    """Draw the four views of patient `seed` and write them, with an earlier examination where there is a lesion.

    Args:
        folder: of the cohort.
        seed: patient number.
        shape: (H, W) pixels.
        spacing_mm: pixel size.
        withheld: see `draw_patient`.
    """
    patient = draw_patient(seed, withheld)
    rows = []
    views = [(laterality, view) for laterality in LATERALITIES for view in VIEWS]
    phantoms = {place: draw_view(patient, *place, shape, spacing_mm) for place in views}
    rows += _write_exam(folder, seed, "exam", phantoms)
    prior = {place: phantom for place, phantom in phantoms.items() if phantom.finding}
    if prior:
        rows += _write_exam(folder, seed, "prior", prior)
    sidecar = _sidecar(folder, seed)
    sidecar.parent.mkdir(parents=True, exist_ok=True)
    write_json(sidecar, {"patient": NAME.format(seed=seed), "images": rows})


def write_tables(folder: Path) -> None:
    """The three tables of all patients in the folder, in the collection's own columns."""
    breasts, findings, metadata = [], [], []
    for sidecar in sorted((folder / TRUTH).glob("*.json")):
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        for image in content["images"]:
            breast = {key: image[key] for key in ("study_id", "series_id", "image_id", "laterality", "view_position")}
            breast |= {key: image[key] for key in ("height", "width", "breast_birads", "breast_density")}
            breasts.append(breast | {"split": image["split"]})
            finding = image["finding"]
            box = finding["box"] if finding else [""] * 4
            findings.append(
                breast
                | {
                    "finding_categories": CATEGORIES[finding["type"] if finding else None],
                    "finding_birads": f"BI-RADS {finding['birads']}" if finding else "",
                }
                | dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
                | {"split": image["split"]}
            )
            metadata.append(
                {
                    "SOP Instance UID": image["image_id"],
                    "Series Instance UID": image["series_id"],
                    "View Position": image["view_position"],
                    "Image Laterality": image["laterality"],
                    "Manufacturer": image["manufacturer"],
                    "Imager Pixel Spacing": image["spacing"],
                    "Photometric Interpretation": image["photometric"],
                    "Bits Stored": image["bits_stored"],
                    "Rows": image["height"],
                    "Columns": image["width"],
                    "patient_id": content["patient"],
                }
            )
    for name, rows in zip(TABLES, (breasts, findings, metadata), strict=True):
        write_csv(folder / f"{name}.csv", rows)


def split_of(name: str) -> str:
    """`training` or `test`, by a hash of the patient's name."""
    return "test" if int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < TEST_SHARE * 2**32 else "training"


def _sidecar(folder: Path, seed: int) -> Path:
    return Path(folder) / TRUTH / f"{NAME.format(seed=seed)}.json"


def _write_exam(
    folder: Path, seed: int, exam: str, phantoms: dict[tuple[str, str], MammogramPhantom]
) -> list[dict[str, Any]]:
    """Images of one examination; their folder appears whole. Returns what the tables say of each."""
    name = NAME.format(seed=seed)
    first = next(iter(phantoms.values()))
    text = f"mammogram phantom {seed} {exam} {first.image.shape} {first.vendor} {first.density} {first.area}"
    study = _hex("study", text)
    home = Path(folder) / IMAGES / study
    partial = home.with_name(f".{study}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    storage = draw_storage(seed, first.vendor)
    rows = []
    for number, ((laterality, view), phantom) in enumerate(phantoms.items(), 1):
        image = _hex("image", text, laterality, view)
        finding = phantom.finding if exam == "exam" else None
        pixels = phantom.image if exam == "exam" else phantom.healthy
        write_mammogram_dicom(
            partial / f"{image}.dicom",
            storage.encode(pixels),
            laterality=laterality,
            view=view,
            uid_root_text=text,
            spacing=phantom.spacing,
            manufacturer=MANUFACTURERS[phantom.vendor],
            patient_id=name,
            description=DESCRIPTION,
            software="OncoSynth mammogram phantom",
            instance=number,
            extra_tags={"PatientIdentityRemoved": "YES", "DeidentificationMethod": "SYNTHETIC phantom, no patient"},
            **storage.tags(),
        )
        rows.append(
            {
                "study_id": study,
                "series_id": _hex("series", text),
                "image_id": image,
                "exam": exam,
                "laterality": laterality,
                "view_position": view,
                "height": phantom.image.shape[0],
                "width": phantom.image.shape[1],
                "breast_birads": f"BI-RADS {finding['birads'] if finding else 1}",
                "breast_density": f"DENSITY {phantom.density}",
                "split": split_of(name),
                "manufacturer": MANUFACTURERS[phantom.vendor],
                "photometric": storage.photometric,
                "bits_stored": storage.bits,
                "spacing": list(phantom.spacing),
                "vendor": phantom.vendor,
                "area": phantom.area,
                "area_ratio": round(phantom.area_ratio, 5),
                "dense_share": round(phantom.dense_share, 5),
                "finding": finding,
            }
        )
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
    return rows


def _hex(*texts: str) -> str:
    """32 hexadecimal digits that follow from texts, as the collection names its studies and images."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]
