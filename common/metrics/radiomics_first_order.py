"""First-order radiomics features: what the histogram of the intensities says, wherever they lie."""

from __future__ import annotations

import numpy as np

NAMES = (
    "energy",
    "rms",
    "mean",
    "median",
    "std",
    "variance",
    "skewness",
    "kurtosis",
    "minimum",
    "maximum",
    "range",
    "p10",
    "p25",
    "p75",
    "p90",
    "iqr",
    "mad",
    "robust_mad",
    "entropy",
    "uniformity",
)


def first_order(values: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    """Features of N intensities x, as pyradiomics and IBSI (section 3.3 and 3.4) define them.

    With m = mean, s = sqrt(mean (x - m)^2) and p the shares of the grey levels:
    energy = sum x^2; rms = sqrt(energy / N); std = s; variance = s^2; skewness = mean (x - m)^3 / s^3;
    kurtosis = mean (x - m)^4 / s^4 (3 for a normal distribution; IBSI subtracts 3, pyradiomics doesn't);
    range = maximum - minimum; iqr = p75 - p25; mad = mean |x - m|; robust_mad = the same of the values from p10 to p90
    about their own mean; entropy = -sum p log2 p, in bits; uniformity = sum p^2. Percentiles interpolate linearly.

    Args:
        values: (N,) intensities inside the mask.
        levels: (N,) their grey levels, whole numbers from 0.

    Returns:
        `NAMES` to value. All NaN where N = 0; skewness and kurtosis are NaN where all values are equal.
    """
    if values.size == 0:
        return dict.fromkeys(NAMES, float("nan"))
    x = np.asarray(values, np.float64)
    mean, low, high = x.mean(), x.min(), x.max()
    p10, p25, median, p75, p90 = np.percentile(x, [10, 25, 50, 75, 90])
    centred = x - mean if high > low else np.zeros_like(x)
    variance = (centred**2).mean()
    std = np.sqrt(variance)
    inner = x[(x >= p10) & (x <= p90)]
    shares = np.bincount(np.asarray(levels, int)) / x.size
    shares = shares[shares > 0]
    features = {
        "energy": (x**2).sum(),
        "rms": np.sqrt((x**2).mean()),
        "mean": mean,
        "median": median,
        "std": std,
        "variance": variance,
        "skewness": (centred**3).mean() / std**3 if std > 0 else np.nan,
        "kurtosis": (centred**4).mean() / variance**2 if std > 0 else np.nan,
        "minimum": low,
        "maximum": high,
        "range": high - low,
        "p10": p10,
        "p25": p25,
        "p75": p75,
        "p90": p90,
        "iqr": p75 - p25,
        "mad": np.abs(centred).mean(),
        "robust_mad": np.abs(inner - inner.mean()).mean() if inner.size else np.nan,
        "entropy": -(shares * np.log2(shares)).sum() + 0.0,
        "uniformity": (shares**2).sum(),
    }
    return {name: float(features[name]) for name in NAMES}
