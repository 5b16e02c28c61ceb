"""How a region takes up contrast and gives it back: enhancement, wash-out, curve type, and whether phases keep order.

All figures come from a region's mean intensity before contrast (S_0) and in each phase after it (S_1 ... S_K), on one
intensity scale; phases that were each normalised by their own range have no kinetics. Curve types follow the BI-RADS
lexicon (ACR 2013): initial rise, then persistent, plateau or wash-out by the change from the first to the last phase.
SER is the signal enhancement ratio of Hylton et al. 2012.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import InputError

PERSISTENT, PLATEAU, WASH_OUT = "I persistent", "II plateau", "III wash-out"


@dataclass(frozen=True)
class Kinetics:
    """Kinetics of one region. NaN, or None for the curve, stands for what is undefined there.

    Attributes:
        pre: S_0, in the units of the images.
        phases: S_1 ... S_K, in the units of the images.
        relative: (S_k - S_0) / S_0 for each phase, as a fraction (0.8 is 80 %); NaN where S_0 is not positive.
        initial: relative enhancement of the first phase, a fraction.
        delayed: (S_K - S_1) / S_1, a fraction; NaN with a single phase or where S_1 is not positive.
        ser: (S_1 - S_0) / (S_K - S_0), no unit; NaN with a single phase or where the last phase does not enhance.
        peak: max_k S_k - S_0, in the units of the images.
        time_to_peak: time of the brightest phase, the first one of equals, in seconds where times are given and as its
            number (1 is the first phase after contrast) otherwise; NaN where no phase enhances.
        time_unit: `s` or `phase`.
        curve: `I persistent`, `II plateau` or `III wash-out`; None where no phase enhances or there is only one.
    """

    pre: float
    phases: tuple[float, ...]
    relative: tuple[float, ...]
    initial: float
    delayed: float
    ser: float
    peak: float
    time_to_peak: float
    time_unit: str
    curve: str | None


def region_mean(volume: torch.Tensor, region: torch.Tensor) -> list[float]:
    """Mean of each channel, in double precision, inside a region.

    Args:
        volume: (C, X, Y, Z).
        region: bool (X, Y, Z).

    Raises:
        InputError: the region holds no voxel.
    """
    if not region.any():
        raise InputError("the region is empty: it has no voxel to take kinetics from")
    return torch.as_tensor(volume)[:, region].double().mean(dim=1).tolist()


def kinetics(
    pre: float, phases: Sequence[float], times: Sequence[float] | None = None, threshold: float = 0.10
) -> Kinetics:
    """Kinetics of one region from its mean intensities.

    Args:
        pre: mean before contrast.
        phases: means of the phases after contrast, in order of time, at least one.
        times: seconds from the pre-contrast phase to each phase, ascending.
        threshold: change from the first to the last phase, as a fraction of the first, that a plateau keeps within
            (inclusive).

    Raises:
        InputError: no phase, a mean that is not finite, or times that do not fit the phases.
    """
    phases = tuple(float(value) for value in phases)
    pre = float(pre)
    if not phases or not all(map(math.isfinite, (pre, *phases))):
        raise InputError(f"kinetics of pre {pre} and phases {phases}: give at least one phase, and finite means")
    if times is not None and (len(times) != len(phases) or any(a >= b for a, b in itertools.pairwise(times))):
        raise InputError(f"times {tuple(times)}: give one ascending number of seconds for each of {len(phases)} phases")
    several = len(phases) > 1
    first, last, peak = phases[0] - pre, phases[-1] - pre, max(phases) - pre
    relative = tuple((value - pre) / pre if pre > 0 else math.nan for value in phases)
    delayed = (phases[-1] - phases[0]) / phases[0] if several and phases[0] > 0 else math.nan
    brightest = phases.index(max(phases))
    return Kinetics(
        pre=pre,
        phases=phases,
        relative=relative,
        initial=relative[0],
        delayed=delayed,
        ser=first / last if several and last > 0 else math.nan,
        peak=peak,
        time_to_peak=math.nan if peak <= 0 else float(brightest + 1 if times is None else times[brightest]),
        time_unit="phase" if times is None else "s",
        curve=_curve(delayed, threshold) if peak > 0 else None,
    )


def _curve(delayed: float, threshold: float) -> str | None:
    if math.isnan(delayed):
        return None
    if delayed > threshold:
        return PERSISTENT
    return WASH_OUT if delayed < -threshold else PLATEAU


@dataclass(frozen=True)
class OrderKept:
    """Whether the synthetic phases of a region rank as the real ones do.

    Attributes:
        kept: every pair of phases that clearly differs in the real images differs in the same direction in the
            synthetic ones; None where the real region does not enhance or there is one phase only, which leaves nothing
            to compare.
        strict: the phases rank exactly alike, ties included, whatever the size of a difference.
        compared: number of pairs that clearly differ in the real images.
        agreeing: how many of these the synthetic images order alike.
    """

    kept: bool | None
    strict: bool
    compared: int
    agreeing: int


def order_kept(real: Kinetics, synthetic: Kinetics, tolerance: float = 0.10) -> OrderKept:
    """Compare the order of the phases after contrast in one region, real against synthetic, over all pairs of phases.

    Pairs whose real means differ by no more than `tolerance` times the real peak enhancement (max_k S_k - S_0) are
    ties, for which any order is accepted: there noise decides, not contrast.

    Args:
        real, synthetic: the same region in both.
        tolerance: share of the real peak enhancement, 0 or more.

    Raises:
        InputError: the two have other numbers of phases.
    """
    if len(real.phases) != len(synthetic.phases):
        raise InputError(
            f"{len(synthetic.phases)} synthetic phases cannot be compared with {len(real.phases)} real ones; "
            "give the same phases of both"
        )
    pairs = list(itertools.combinations(range(len(real.phases)), 2))
    rises = [(real.phases[b] - real.phases[a], synthetic.phases[b] - synthetic.phases[a]) for a, b in pairs]
    clear = [pair for pair in rises if real.peak > 0 and abs(pair[0]) > tolerance * real.peak]
    agreeing = sum(_sign(true) == _sign(made) for true, made in clear)
    return OrderKept(
        kept=agreeing == len(clear) if real.peak > 0 and pairs else None,
        strict=all(_sign(true) == _sign(made) for true, made in rises),
        compared=len(clear),
        agreeing=agreeing,
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
