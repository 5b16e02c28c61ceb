"""Whether files alone tell real from synthetic images: what a program could read off them without looking.

Each fact (size, header bytes, time, range, levels, corners, background) ranks the files; the strongest of all ranks is
held against what it would be if the words real and synthetic were dealt at random (permutation test of the maximum:
Westfall and Young 1993), so that many facts do not make a chance finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

BORDER = 0.05


@dataclass(frozen=True)
class Giveaway:
    """The fact that tells most.

    Attributes:
        fact: its name.
        auc: 0.5 (tells nothing) to 1 (tells all), whichever direction.
        p: chance that the strongest of all facts is as strong where nothing tells.
    """

    fact: str
    auc: float
    p: float


def strongest_giveaway(
    facts: Sequence[Mapping[str, float]], synthetic: Sequence[bool], seed: int = 0, permutations: int = 2000
) -> Giveaway:
    """The fact that tells synthetic from real files best.

    Args:
        facts: numbers by name, one mapping a file, all with the same names.
        synthetic: of each file; both kinds occur.
        seed, permutations: of the test.
    """
    names = list(facts[0])
    ranks = stats.rankdata(np.array([[float(row[name]) for name in names] for row in facts]), axis=0)
    truth = np.asarray(synthetic, float)
    rng = np.random.default_rng(seed)
    dealt = np.stack([truth, *(rng.permutation(truth) for _ in range(permutations))])
    positive = truth.sum()
    area = (dealt @ ranks - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))
    strength = np.abs(area - 0.5)
    best = strength.max(1)
    chance = (1 + (best[1:] >= best[0] - 1e-12).sum()) / (1 + permutations)
    return Giveaway(names[int(strength[0].argmax())], 0.5 + float(best[0]), float(chance))


def file_facts(content: bytes, modified: float, pixels: np.ndarray) -> dict[str, float]:
    """What a program reads off one file.

    Args:
        content: the file's bytes.
        modified: its time of modification in seconds.
        pixels: its values, (H, W).
    """
    head = np.frombuffer(content[:64].ljust(64, b"\0"), np.uint8)
    height, width = pixels.shape
    edge = max(1, round(min(height, width) * BORDER))
    border = np.ones(pixels.shape, bool)
    border[edge:-edge, edge:-edge] = False
    values = np.asarray(pixels, np.float64)
    filled = values != values.min()
    return {
        "file size": len(content),
        "time of modification": modified,
        **{f"byte {place} of the file": value for place, value in enumerate(head)},
        "height": height,
        "width": width,
        "smallest value": values.min(),
        "largest value": values.max(),
        "number of distinct values": len(np.unique(values)),
        "corners": np.mean([values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]]),
        "mean near the border": values[border].mean(),
        "share of the smallest value": 1 - filled.mean(),
        "empty rows": height - filled.any(1).sum(),
        "empty columns": width - filled.any(0).sum(),
    }
