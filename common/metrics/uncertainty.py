"""How certain a mean is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

DRAWS = 1_000_000  # of a bootstrap that are in memory at a time


def mean_with_interval(
    values: Sequence[float], seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> dict[str, float]:
    """Mean, percentile bootstrap interval and number of the finite values.

    Args:
        values: one a case; NaN stands for "not defined here" and is left out.
        seed: of the resampling.
        resamples: bootstrap samples.
        level: of the interval.

    Returns:
        `mean`, `low`, `high`, `n`; NaN where nothing is finite.
    """
    finite = np.asarray([v for v in values if np.isfinite(v)], float)
    if finite.size == 0:
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    rng = np.random.default_rng(seed)
    block = max(1, DRAWS // finite.size)
    means = np.concatenate(
        [
            finite[rng.integers(0, finite.size, (min(block, resamples - start), finite.size))].mean(axis=1)
            for start in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(finite.mean()), "low": float(low), "high": float(high), "n": int(finite.size)}


def statistic_with_interval(
    statistic: Callable[[np.ndarray], float], num_cases: int, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> dict[str, float]:
    """A statistic of several cases and its percentile bootstrap interval over cases.

    Args:
        statistic: from indices of cases (any number, repeats allowed) to the value; NaN where it is not defined.
        num_cases: how many cases there are.
        seed, resamples, level: see `mean_with_interval`.

    Returns:
        `mean` (the statistic of all cases), `low`, `high`, `n`; NaN where nothing is defined, as the interval of a
        single case.
    """
    rng = np.random.default_rng(seed)
    draws = range(resamples if num_cases > 1 else 0)
    values = np.array([statistic(rng.integers(0, num_cases, num_cases)) for _ in draws], float)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) if values.size else (float("nan"),) * 2
    whole = statistic(np.arange(num_cases)) if num_cases else float("nan")
    return {"mean": float(whole), "low": float(low), "high": float(high), "n": num_cases}


def ratio_with_interval(sums: Sequence[float], counts: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Sum over count of things that come in cases, with its bootstrap interval over cases.

    Args:
        sums, counts: one each a case; cases that count nothing are left out.
        seed: of the resampling.

    Returns:
        As `statistic_with_interval`; `n` is the number of cases that count something.
    """
    kept = np.asarray(counts, float) > 0
    above, below = np.asarray(sums, float)[kept], np.asarray(counts, float)[kept]
    return statistic_with_interval(lambda i: float(above[i].sum() / below[i].sum()), len(above), seed)


def share_with_interval(hits: Sequence[int], counts: Sequence[int], seed: int = 0) -> dict[str, float]:
    """`ratio_with_interval` of hits.

    Where all or none hit, the bootstrap knows no uncertainty; the interval is then Wilson's (1927) with the number of
    cases for n, as if things of one case always went together.
    """
    result = ratio_with_interval(hits, counts, seed)
    if result["mean"] in (0.0, 1.0):
        low, high = wilson_interval(round(result["mean"] * result["n"]), result["n"])
        result |= {"low": low, "high": high}
    return result


def wilson_interval(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a share (Wilson 1927): (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); NaN for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    p = hits / n
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    # Rounding would leave the ends beside 0 and 1 where they are exactly there.
    return (0.0 if hits == 0 else low), (1.0 if hits == n else high)


def clustered_with_interval(
    clusters: Sequence[Hashable], statistic: Callable[[np.ndarray], float], seed: int = 0
) -> dict[str, float]:
    """A statistic and its bootstrap interval over clusters.

    Args:
        clusters: to which one each of N things belongs.
        statistic: from indices of things to the value; NaN where it is not defined.
        seed: of the bootstrap.

    Returns:
        As `statistic_with_interval`; `n` is the number of clusters.
    """
    members: dict[Hashable, list[int]] = {}
    for number, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(number)
    parts = [np.array(part) for part in members.values()]
    return statistic_with_interval(lambda i: statistic(np.concatenate([parts[k] for k in i])), len(parts), seed)
