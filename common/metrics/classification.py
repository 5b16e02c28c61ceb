"""How well a score tells two classes apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata


def roc_auc(scores: Sequence[float] | np.ndarray, positive: Sequence[bool] | np.ndarray) -> float:
    """Probability that a positive has the higher score of a random pair, ties counting half (Mann and Whitney).

    Args:
        scores: (N,).
        positive: bool (N,).

    Returns:
        0 to 1; NaN where there are only positives or none.
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    count = int(positive.sum())
    if count in (0, len(scores)):
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))
