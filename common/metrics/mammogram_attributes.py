"""What is measured of a mammogram, to be held against what was asked for: density, lesion contrast, agreement.

Images are display values (H, W) in [0, 1] with the chest wall at the left edge. Density is an index, not a volume: it
orders images of one vendor, and its cut points come from images whose class is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..io.files import write_json
from ..knobs import as_path
from ..transforms.breast_area import area_ratio, area_word
from .uncertainty import share_with_interval

DENSITIES = ("A", "B", "C", "D")
UNKNOWN = "unknown"
PERIPHERY = 0.1  # of the square root of the breast's area: depth of the edge where a compressed breast thins out
PECTORAL_WIDTH, PECTORAL_HEIGHT = 0.6, 0.75  # of the breast's extent: legs of the corner left out of MLO views
RING_GAP, RING_WIDTH = 0.1, 0.5  # of the diameter of a disc of the lesion's area
EXACT, WITHIN_ONE = "exact", "within one class"


def density_index(image: np.ndarray, breast: np.ndarray, view: str | None) -> float:
    """Mean display value of the breast's thick part, without the pectoral muscle.

    Left out are the pixels nearer to the air than a tenth of the square root of the breast's area and, in MLO views
    (and lateral and unknown ones), the upper corner at the chest wall: a right triangle whose legs are 0.6 of the
    breast's width, along its top, and 0.75 of its height.

    Args:
        image: (H, W) in [0, 1], chest wall at the left edge.
        breast: bool (H, W).
        view: CC, MLO, LM, ML or None.

    Raises:
        InputError: another shape of the mask, or nothing is left of the breast.
    """
    _check_shapes(image, breast=breast)
    breast = np.asarray(breast, bool)
    # The image's edges cut the breast where it is thick: only air thins it.
    depth = ndimage.distance_transform_edt(np.pad(breast, 1, mode="edge"))[1:-1, 1:-1]
    inner = breast & (depth > PERIPHERY * np.sqrt(breast.sum()))
    if view != "CC" and breast.any():
        rows, columns = ndimage.find_objects(breast.astype(np.uint8))[0]
        y, x = np.indices(breast.shape)
        down = (y + 0.5 - rows.start) / (PECTORAL_HEIGHT * (rows.stop - rows.start))
        across = (x + 0.5 - columns.start) / (PECTORAL_WIDTH * (columns.stop - columns.start))
        inner &= down + across > 1
    if not inner.any():
        raise InputError("density: nothing of the breast is left within its edge; check the breast mask")
    return float(np.asarray(image, np.float64)[inner].mean())


@dataclass(frozen=True)
class DensityScale:
    """From density indices to BI-RADS letters.

    Attributes:
        cuts: by vendor, the three indices between A, B, C and D; one on a cut belongs to the denser class.
        counts: by vendor, the number of images of each class that the cuts rest on.
    """

    cuts: Mapping[str, tuple[float, float, float]]
    counts: Mapping[str, tuple[int, int, int, int]]

    @classmethod
    def fit(cls, records: Iterable[Mapping[str, Any]]) -> DensityScale:
        """Cut points halfway between the medians of neighbouring classes, for each vendor.

        Args:
            records: of real images, each with `index` (of `density_index`), `density` (A to D) and `vendor` (None is a
                vendor of its own).

        Raises:
            InputError: no record, a vendor without images of some class, or one whose medians do not rise.
        """
        found: dict[str, dict[str, list[float]]] = {}
        for record in records:
            classes = found.setdefault(record["vendor"] or UNKNOWN, {letter: [] for letter in DENSITIES})
            if record["density"] not in classes:
                raise InputError(f"density {record['density']!r}: use a letter from A to D")
            classes[record["density"]].append(float(record["index"]))
        if not found:
            raise InputError("density scale: there is no image with a known density; it cannot be fitted")
        cuts = {}
        for vendor, classes in found.items():
            missing = [letter for letter, values in classes.items() if not values]
            if missing:
                raise InputError(f"density scale: vendor {vendor} has no image of density {', '.join(missing)}")
            medians = [float(np.median(values)) for values in classes.values()]
            if any(b <= a for a, b in zip(medians, medians[1:], strict=False)):
                told = ", ".join(f"{letter} {value:.3f}" for letter, value in zip(DENSITIES, medians, strict=True))
                raise InputError(f"density scale: the index of vendor {vendor} does not rise with density ({told})")
            cuts[vendor] = tuple((a + b) / 2 for a, b in zip(medians, medians[1:], strict=False))
        counts = {vendor: tuple(map(len, classes.values())) for vendor, classes in found.items()}
        return cls(cuts, counts)

    def classify(self, index: float, vendor: str | None) -> str:
        """Letter of an index.

        Raises:
            InputError: no cut points for the vendor.
        """
        if (vendor or UNKNOWN) not in self.cuts:
            known = ", ".join(self.cuts)
            raise InputError(f"density scale: has no cut points for vendor {vendor or UNKNOWN}, only for {known}")
        return DENSITIES[int(np.searchsorted(self.cuts[vendor or UNKNOWN], index, side="right"))]

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        content = {vendor: {"cuts": [*cuts], "counts": [*self.counts[vendor]]} for vendor, cuts in self.cuts.items()}
        write_json(path, content)

    @classmethod
    def load(cls, path: str | Path) -> DensityScale:
        """Read what `save` wrote.

        Raises:
            InputError: a missing file, or another one.
        """
        path = as_path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            cuts = {vendor: tuple(map(float, entry["cuts"])) for vendor, entry in content.items()}
            counts = {vendor: tuple(map(int, entry["counts"])) for vendor, entry in content.items()}
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: is no density scale; fit one and save it there") from error
        if any(len(values) != 3 or sorted(values) != [*values] for values in cuts.values()):
            raise InputError(f"{path}: is no density scale: each vendor has three rising cut points")
        return cls(cuts, counts)


def measured_attributes(
    image: np.ndarray, breast: np.ndarray, view: str | None, vendor: str | None, scale: DensityScale
) -> dict[str, Any]:
    """Area and density of an image, as words and letters and as figures.

    Args:
        image, breast, view: as for `density_index`; square, for the area.
        vendor: whose cut points apply.
        scale: fitted on real images.

    Returns:
        `area`, `area_ratio`, `density`, `density_index`.
    """
    index, ratio = density_index(image, breast, view), area_ratio(breast)
    return {
        "area": area_word(ratio),
        "area_ratio": ratio,
        "density": scale.classify(index, vendor),
        "density_index": index,
    }


def lesion_contrast(
    image: np.ndarray,
    mask: np.ndarray,
    breast: np.ndarray,
    others: np.ndarray | None = None,
    core: float = 0.0,
) -> float:
    """How much brighter a lesion is than the tissue around it, in display units.

    The tissue is a ring within the breast: it begins a tenth of the lesion's diameter (that of a disc of its area; at
    least a pixel) outside of the mask and is half a diameter wide (at least 2 pixels).

    Args:
        image: (H, W) in [0, 1].
        mask: (H, W), not 0 in the lesion.
        breast: bool (H, W).
        others: (H, W), not 0 in other lesions, which the ring leaves out; None where there are none.
        core: share of the mask's greatest depth from which on it counts as lesion, 0 to 1; above 0 for masks that are
            wider than the lesion, such as boxes.

    Returns:
        Mean in the mask (its core) less the mean in the ring; NaN where the ring holds no tissue.

    Raises:
        InputError: an empty mask, or shapes that differ.
    """
    others = np.zeros_like(mask) if others is None else others
    _check_shapes(image, lesion=mask, breast=breast, others=others)
    lesion = np.asarray(mask) != 0
    if not lesion.any():
        raise InputError("lesion contrast: the lesion's mask is empty; give one with a pixel in it")
    diameter = 2 * np.sqrt(lesion.sum() / np.pi)
    gap = max(1.0, RING_GAP * diameter)
    distance = ndimage.distance_transform_edt(~lesion)
    ring = (distance > gap) & (distance <= gap + max(2.0, RING_WIDTH * diameter))
    ring &= np.asarray(breast, bool) & (np.asarray(others) == 0)
    values, depth = np.asarray(image, np.float64), ndimage.distance_transform_edt(np.pad(lesion, 1))[1:-1, 1:-1]
    inner = lesion & (depth >= core * depth.max())
    return float(values[inner].mean() - values[ring].mean()) if ring.any() else float("nan")


def attribute_table(records: Sequence[Mapping[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """How often images have what was asked for, by group and attribute.

    Args:
        records: one an image, with `group` (such as `real`, `synthetic, seen combinations` and `synthetic, unseen
            combinations`), `asked` and `measured`, each with any of area, density, view and vendor. What was not asked
            (None or absent) does not count; what was asked and could not be measured is a miss. Images with the same
            `case` (a patient, a sentence), where given, go together in the interval.
        seed: of the bootstrap.

    Returns:
        Rows with `group`, `attribute`, `agreement` (`exact`; for density also `within one class`), `images` and the
        share's `mean`, `low`, `high` and `n`, see `share_with_interval`. Groups are in the order of the records; an
        attribute that a group was never asked for has no row.
    """
    rows = []
    for group in dict.fromkeys(record["group"] for record in records):
        for attribute in ("area", "density", "view", "vendor"):
            chosen = [r for r in records if r["group"] == group and r["asked"].get(attribute) is not None]
            pairs = [(r["asked"][attribute], r["measured"].get(attribute)) for r in chosen]
            cases = [r.get("case", number) for number, r in enumerate(chosen)]
            hits = {EXACT: [int(asked == measured) for asked, measured in pairs]}
            if attribute == "density":
                hits[WITHIN_ONE] = [int(_classes_apart(*pair) <= 1) for pair in pairs]
            for agreement, values in hits.items() if pairs else ():
                share = share_with_interval(*_by_case(values, cases), seed)
                rows.append(
                    {"group": group, "attribute": attribute, "agreement": agreement, "images": len(values), **share}
                )
    return rows


def _by_case(values: Sequence[int], cases: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Sum and number of values of each case."""
    sums, counts = dict.fromkeys(cases, 0), dict.fromkeys(cases, 0)
    for value, case in zip(values, cases, strict=True):
        sums[case] += value
        counts[case] += 1
    return list(sums.values()), list(counts.values())


def _classes_apart(asked: str, measured: str | None) -> int:
    return len(DENSITIES) if measured is None else abs(DENSITIES.index(asked) - DENSITIES.index(measured))


def _check_shapes(image: np.ndarray, **masks: np.ndarray) -> None:
    for name, mask in masks.items():
        if np.ndim(image) != 2 or np.shape(mask) != np.shape(image):
            raise InputError(f"{name} mask {np.shape(mask)}: of another shape than the image {np.shape(image)}")
