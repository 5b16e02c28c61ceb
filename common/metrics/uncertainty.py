"""How certain a mean is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
    means = finite[rng.integers(0, finite.size, (resamples, finite.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return {"mean": float(finite.mean()), "low": float(low), "high": float(high), "n": int(finite.size)}
