"""Who the phantom patients are: which attributes their four views have, which breast a lesion lies in.

Some combinations of attributes are never drawn, unless they are asked for: a model that learned the words apart from
each other can draw them nevertheless, and they show whether it did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mammogram import (
    AREA_RANGES,
    DENSE_RANGES,
    LATERALITIES,
    SHAPE,
    SPACING_MM,
    VIEWS,
    MammogramPhantom,
    make_mammogram,
)
from .mammogram_lesions import LesionPlan, plan_lesion
from .mammogram_tissue import VENDORS

# (vendor, density, area); each of these words occurs in other combinations.
WITHHELD = (
    ("siemens", "D", "small"),
    ("siemens", "B", "big"),
    ("hologic", "A", "big"),
    ("hologic", "C", "small"),
)
LESION_SHARE = 0.5
VARIATION = 0.12  # how far the views of one patient differ, as a share of the class's range
SEEDS_PER_PATIENT = 4


@dataclass(frozen=True)
class MammogramPatient:
    """What is known of a patient before a view is drawn.

    Attributes:
        seed: patient number.
        vendor, density, area: of all four views.
        lesion: None for a patient without a finding.
        lesion_side: L or R; None as above.
        area_ratios, dense_shares: targets of the views, by (laterality, view).
    """

    seed: int
    vendor: str
    density: str
    area: str
    lesion: LesionPlan | None
    lesion_side: str | None
    area_ratios: dict[tuple[str, str], float]
    dense_shares: dict[tuple[str, str], float]


def draw_patient(seed: int, withheld: bool = False) -> MammogramPatient:
    """Attributes of patient `seed`.

    Half of all patients have one lesion, seen in both views of one breast. Every combination of vendor, density and
    area that may be drawn is equally likely.

    Args:
        seed: patient number.
        withheld: draw only from `WITHHELD`, not only from what is outside of it.
    """
    rng = np.random.default_rng([seed, 20231122])
    every = [(v, d, a) for v in VENDORS for d in DENSE_RANGES for a in AREA_RANGES]
    allowed = [combination for combination in every if (combination in WITHHELD) == withheld]
    vendor, density, area = allowed[rng.integers(len(allowed))]
    lesion = plan_lesion(rng) if rng.random() < LESION_SHARE else None
    side = str(rng.choice(LATERALITIES))
    sides = [(laterality, view) for laterality in LATERALITIES for view in VIEWS]
    return MammogramPatient(
        seed=seed,
        vendor=vendor,
        density=density,
        area=area,
        lesion=lesion,
        lesion_side=side if lesion else None,
        area_ratios=dict(zip(sides, _similar(rng, AREA_RANGES[area], len(sides)), strict=True)),
        dense_shares=dict(zip(sides, _similar(rng, DENSE_RANGES[density], len(sides)), strict=True)),
    )


def draw_view(
    patient: MammogramPatient,
    laterality: str,
    view: str,
    shape: tuple[int, int] = SHAPE,
    spacing_mm: float = SPACING_MM,
) -> MammogramPhantom:
    """One of the patient's four views, with the lesion if it lies in this breast. See `make_mammogram`."""
    return make_mammogram(
        SEEDS_PER_PATIENT * patient.seed + 2 * LATERALITIES.index(laterality) + VIEWS.index(view),
        view,
        laterality,
        patient.vendor,
        patient.density,
        patient.area,
        patient.lesion if laterality == patient.lesion_side else None,
        shape,
        spacing_mm,
        area_ratio=patient.area_ratios[laterality, view],
        dense_share=patient.dense_shares[laterality, view],
    )


def _similar(rng: np.random.Generator, limits: tuple[float, float], number: int) -> list[float]:
    """A random value within limits, and `number` more that lie close to it."""
    low, high = limits
    positions = np.clip(rng.random() + rng.uniform(-VARIATION, VARIATION, number), 0, 1)
    return [float(low + (high - low) * position) for position in positions]
