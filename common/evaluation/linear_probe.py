"""A classifier on frozen features, trained on one set of images and tested on another, by case.

It is a logistic regression (a linear probe), which anybody can repeat; its training has no chance in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..metrics.not_defined import NotDefinedError, value_or_nan, value_or_reason
from ..metrics.roc import exact_auc
from ..metrics.uncertainty import statistic_with_interval
from .class_agreement import agreement, balanced_agreement

ITERATIONS = 10_000


@dataclass(frozen=True)
class LabelledFeatures:
    """Feature vectors of images with the case and class of each.

    Attributes:
        vectors: (N, F).
        cases, classes: N names each.
    """

    vectors: np.ndarray
    cases: np.ndarray
    classes: np.ndarray

    def with_others(self, others: LabelledFeatures) -> LabelledFeatures:
        """Both sets as one."""
        pairs = ((getattr(self, name), getattr(others, name)) for name in ("vectors", "cases", "classes"))
        return LabelledFeatures(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class CaseScores:
    """What a classifier says of N test cases.

    Attributes:
        names: of the K classes, sorted.
        truth: (N,) number of each case's class.
        scores: (N, K) probabilities, 0 for classes that the classifier was not trained on.
        trained: which classes it was trained on.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    scores: np.ndarray
    trained: frozenset[str]

    def auc(self, chosen: np.ndarray) -> float:
        """Area under the ROC curve of some cases; of more than two classes the mean over one against the rest.

        Raises:
            NotDefinedError: the test set or the training set lacks a class.
        """
        truth, scores = self.truth[chosen], self.scores[chosen]
        absent = next((name for k, name in enumerate(self.names) if not (truth == k).any()), None)
        if absent is not None:
            raise NotDefinedError(f"no test case is {absent}")
        unknown = next((name for name in self.names if name not in self.trained), None)
        if unknown is not None:
            raise NotDefinedError(f"no training image is {unknown}")
        # Of two classes one is enough: the other's curve is the same, turned.
        numbers = range(len(self.names)) if len(self.names) > 2 else (1,)
        return float(np.mean([float(exact_auc(scores[:, k], truth == k)) for k in numbers]))

    def balanced_accuracy(self, chosen: np.ndarray) -> float:
        """Mean over the classes of some cases of the share that is read so."""
        return balanced_agreement(self.truth[chosen], self.scores[chosen].argmax(1))

    def accuracy(self, chosen: np.ndarray) -> float:
        """Share of some cases that is read as what it is."""
        return agreement(self.truth[chosen], self.scores[chosen].argmax(1))


MEASURES: dict[str, Callable[[CaseScores, np.ndarray], float]] = {
    "AUC": CaseScores.auc,
    "balanced accuracy": CaseScores.balanced_accuracy,
    "accuracy": CaseScores.accuracy,
}


def classify(training: LabelledFeatures, test: LabelledFeatures) -> tuple[list[str], CaseScores]:
    """Train on some images, read others.

    Features are standardised by the training set. The penalty is C = 1/F for F features: a standardised vector has a
    squared length of F on average, so that the penalty weighs as much with 32 features as with 2048. It is not tuned:
    that takes held-out real images, which a user of synthetic ones may not have. Classes weigh alike (inverse to their
    frequency). The loss is convex: the result does not depend on a seed.

    Args:
        training: at least one image.
        test: of N cases; the probabilities of a case are the mean over its images.

    Returns:
        Names of the N cases, sorted, and their scores over all classes of either set.

    Raises:
        NotDefinedError: the training images are of one class.
    """
    trained = sorted(set(training.classes.tolist()))
    if len(trained) < 2:
        raise NotDefinedError(f"all training images are {trained[0]}")
    penalty = 1 / training.vectors.shape[1]
    regression = LogisticRegression(C=penalty, class_weight="balanced", tol=1e-6, max_iter=ITERATIONS)
    model = make_pipeline(StandardScaler(), regression).fit(training.vectors, training.classes)
    found = model.predict_proba(test.vectors)
    names = tuple(sorted({*trained, *test.classes.tolist()}))
    scores = np.zeros((len(found), len(names)))
    scores[:, [names.index(name) for name in model.classes_.tolist()]] = found
    cases, first, numbers = np.unique(test.cases, return_index=True, return_inverse=True)
    means = np.stack([scores[numbers == k].mean(0) for k in range(len(cases))])
    truth = np.array([names.index(name) for name in test.classes[first].tolist()])
    return cases.tolist(), CaseScores(names, truth, means, frozenset(trained))


def score_rows(found: Mapping[str, CaseScores | str], seed: int) -> list[dict[str, Any]]:
    """A line for each classifier: every measure with its bootstrap interval over test cases.

    Args:
        found: by training data: scores of the same test cases, or the reason why there are none.
        seed: of the bootstrap; all classifiers and measures see the same resamples.
    """
    rows = []
    for name, scores in found.items():
        row: dict[str, Any] = {"trained on": name}
        for title, measure in MEASURES.items():
            row[title] = scores if isinstance(scores, str) else _interval(partial(measure, scores), scores, seed)
        rows.append(row)
    return rows


def comparison_rows(found: Mapping[str, CaseScores | str], seed: int) -> list[dict[str, Any]]:
    """A line for each classifier but the first, which is the baseline, and each measure: difference and ratio.

    Args:
        found, seed: see `score_rows`; within a resample both classifiers are scored on the same cases.
    """
    (_, baseline), *others = found.items()
    rows = []
    for name, scores in others:
        reason = next((given for given in (baseline, scores) if isinstance(given, str)), None)
        for title, measure in MEASURES.items():
            row: dict[str, Any] = {"trained on": name, "measure": title}
            for column, combine in (("minus baseline", _difference), ("over baseline", _ratio)):
                statistic = partial(_combined, combine, measure, scores, baseline)
                row[column] = reason or _interval(statistic, baseline, seed)
            rows.append(row)
    return rows


def _combined(
    combine: Callable[[float, float], float],
    measure: Callable[[CaseScores, np.ndarray], float],
    scores: CaseScores,
    baseline: CaseScores,
    chosen: np.ndarray,
) -> float:
    return combine(measure(scores, chosen), measure(baseline, chosen))


def _difference(value: float, baseline: float) -> float:
    return value - baseline


def _ratio(value: float, baseline: float) -> float:
    if baseline == 0:
        raise NotDefinedError("the baseline scores 0")
    return value / baseline


def _interval(statistic: Callable[[np.ndarray], float], scores: CaseScores, seed: int) -> dict[str, float] | str:
    """The statistic of all cases with its interval, or why it is not defined."""
    count = len(scores.truth)

    def compute() -> dict[str, float]:
        statistic(np.arange(count))  # its reason, if it has one
        return statistic_with_interval(lambda chosen: value_or_nan(lambda: statistic(chosen)), count, seed)

    return value_or_reason(compute)
