"""Lesions painted into healthy held-out images, against real ones: contrast, and what a classifier makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..cohorts.mammogram_prompts import compose
from ..cohorts.prompt_attributes import MammogramAttributes
from ..metrics.heat_maps import energy_in, heat_maps, pointing_game
from ..metrics.mammogram_attributes import lesion_contrast
from ..reports.heat_map_pictures import HeatMapRow
from ..sampling.plan import sample_seed
from ..transforms.lesion_transplant import move_lesion
from .mammogram_judge import MammogramJudge
from .reading_items import MALIGNANT

# Images of one painting: the lesion prompt and the prompt without a lesion, seen whole and as a close-up.
WITH, WITHOUT, WITH_CLOSE_UP, WITHOUT_CLOSE_UP = PAINTED = ("with", "without", "with_close_up", "without_close_up")
REAL, HEALTHY = "real", "healthy"
TOLERANCE = 1 / 32  # of the image's side: half a cell of the coarsest map
YES = 1
CORE = 0.5  # of a mask's depth: cohorts mark lesions by boxes, whose corners show other tissue


class PaintingCheck:
    """Paints each healthy image where, and as what, a lesion of another held-out image says.

    Args:
        judge: paints and measures.
        items: held-out datalist items.
        count: how many healthy images at most.
        seed: of the choice of images and lesions, and of the samples.
        types: of lesions that the classifier knows; None for all.

    Attributes:
        pairs: healthy item, item of the lesion, its entry among `lesions`.
    """

    def __init__(
        self,
        judge: MammogramJudge,
        items: Sequence[dict[str, Any]],
        count: int,
        seed: int,
        types: Sequence[str] | None = None,
    ) -> None:
        self.judge, self.seed, self.types = judge, seed, types
        healthy = [item for item in items if not item.get("lesions") and item.get("findings_known", True)]
        sources = [
            (item, lesion)
            for item in items
            if "label" in item
            for lesion in item["lesions"]
            if lesion.get("type") and lesion.get("number")
        ]
        rng = np.random.default_rng([seed, 2])
        order = sorted(rng.permutation(len(healthy))[:count])
        by_view: dict[Any, list] = {}
        for k in rng.permutation(len(sources)):
            by_view.setdefault(sources[k][0].get("view"), []).append(sources[k])
        everything = [source for found in by_view.values() for source in found]
        used: dict[Any, int] = {}
        self.pairs = []
        for k in order if everything else ():
            view = healthy[k].get("view")
            choice = by_view.get(view, everything)
            self.pairs.append((healthy[k], *choice[used.get(view, 0) % len(choice)]))
            used[view] = used.get(view, 0) + 1

    def is_known(self, pair: tuple) -> bool:
        """Whether the lesion of a pair is malignant and of a type that the classifier knows."""
        lesion = pair[2]
        return lesion.get("pathology") == MALIGNANT and (self.types is None or lesion["type"] in self.types)

    def lesion_of(self, item: Mapping[str, Any], lesion: Mapping[str, Any]) -> dict[str, Any]:
        """A real lesion: `image`, `breast`, its `mask` and that of the image's `others`, arrays (H, W)."""
        loaded = self.judge.load(item)
        mask = loaded["label"] == lesion["number"]
        return {**loaded, "mask": mask, "others": (loaded["label"] > 0) & ~mask}

    def place(self, pair: tuple) -> dict[str, Any] | None:
        """The healthy image of a pair, with the lesion's mask in its breast; None where that has no room for it."""
        healthy, item, lesion = pair
        target, source = self.judge.load(healthy), self.lesion_of(item, lesion)
        if not source["mask"].any():
            return None
        mask = move_lesion(source["mask"], source["breast"], target["breast"])
        return None if mask is None else {**target, "mask": mask, "source": source}

    def paint(self, pair: tuple, placed: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The images of a painting by the names in `PAINTED`, all from the same noise."""
        lesion = pair[2]
        wanted = MammogramAttributes(lesion=lesion["type"], pathology=lesion.get("pathology"))
        nothing = MammogramAttributes(lesion="none")
        prompts = [
            compose(MammogramAttributes(**{**vars(part), "magnified": crop}))
            for crop in (False, True)
            for part in (wanted, nothing)
        ]
        seed = sample_seed(self.seed, pair[0]["case"], 0)
        crops = (False, False, True, True)
        found = self.judge.paint(placed["image"], placed["mask"], prompts, seed, crops)
        return dict(zip(PAINTED, found, strict=True))

    def evaluate(self, pair: tuple, explain: bool) -> dict[str, Any]:
        """One painting as JSON values: contrasts and scores by image, and where heat maps point if `explain`.

        Empty but for the names where the breast has no room for the lesion.
        """
        healthy, item, lesion = pair
        record: dict[str, Any] = {
            "case": healthy["case"],
            "source": f"{item['case']} lesion {lesion['number']}",
            "type": lesion["type"],
            "pathology": lesion.get("pathology"),
        }
        placed = self.place(pair)
        if placed is None:
            return record
        source, painted = placed["source"], self.paint(pair, placed)
        images = {HEALTHY: placed["image"], **painted}
        record["contrast"] = {
            name: lesion_contrast(image, placed["mask"], placed["breast"], core=CORE) for name, image in images.items()
        }
        real = lesion_contrast(source["image"], source["mask"], source["breast"], source["others"], CORE)
        record["contrast"] = {k: None if np.isnan(v) else v for k, v in {**record["contrast"], REAL: real}.items()}
        scores = {name: self.judge.malignancy(image) for name, image in images.items()}
        record["score"] = {**scores, REAL: self.judge.malignancy(source["image"])}
        if explain:
            looked = {REAL: (source["image"], source["mask"])}
            looked |= {name: (images[name], placed["mask"]) for name in (WITH, WITH_CLOSE_UP, HEALTHY)}
            record["heat_maps"] = {name: self.look(*where) for name, where in looked.items()}
        return record

    def maps(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Heat maps of the classifier for malignancy, by method."""
        return heat_maps(self.judge.cad, self.judge.tensor(image).to(self.judge.device), YES)

    def look(self, image: np.ndarray, mask: np.ndarray) -> dict[str, dict[str, float]]:
        """By method: whether the map's peak lies on the lesion, and the share of the map in the lesion's box."""
        box, tolerance = box_of(mask), TOLERANCE * image.shape[0]
        return {
            method: {"hit": int(pointing_game(heat, box, tolerance)), "energy": energy_in(heat, box)}
            for method, heat in self.maps(image).items()
        }

    def figure_rows(self) -> list[HeatMapRow]:
        """Healthy image, that painted in a close-up and that of the real lesion, of the first pair that the
        classifier knows."""
        for pair in self.pairs:
            placed = self.place(pair) if self.is_known(pair) else None
            if placed is not None:
                source = placed["source"]
                painted = self.paint(pair, placed)[WITH_CLOSE_UP]
                rows = (
                    ("healthy", placed["image"], None),
                    ("inpainted\nSYNTHETIC", painted, placed["mask"]),
                    ("real lesion", source["image"], source["mask"]),
                )
                return [
                    HeatMapRow(name, image, self.maps(image), None if mask is None else box_of(mask))
                    for name, image, mask in rows
                ]
        return []


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Box (x0, y0, x1, y1) of a mask, the last column and row excluded."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
