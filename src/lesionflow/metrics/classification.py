"""How good predictions are, and how sure one can be of it.

A macro-average over fewer than all classes is another quantity than the one over all of them
and is never shown under the same name: if the test set lacks a class, `macro_f1`,
`balanced_accuracy` and `macro_auc` are None. If any probability is not a finite number, every
average is None. Nothing here is ever NaN.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lesionflow.metrics import averages
from lesionflow.metrics.average import Answers, Resamples
from lesionflow.metrics.bootstrap import RESAMPLES, Bootstrap, Interval, Metric, Samples, Statistic, Weights
from lesionflow.runtime.document import Part

Indices = NDArray[np.integer[Any]]
Probabilities = NDArray[np.floating[Any]]

AVERAGES: dict[str, str] = {name: average.title for name, average in averages.ALL.items()}
"""The averages over classes, and how they are written for people. All lie in 0..1; more is better."""

CLASS_METRICS = ("precision", "recall", "f1", "auc")
"""What is given of each class, besides its number of images."""


class ClassMetrics(Part):
    """The metrics of one class; all undefined if it has no image."""

    support: int = Field(ge=0)
    """Its images."""
    precision: Metric = Metric()
    """0 if the class was never predicted."""
    recall: Metric = Metric()
    f1: Metric = Metric()
    auc: Metric = Metric()
    """One-vs-rest; undefined if there is no rest."""

    def metric(self, name: str) -> Metric:
        """One of CLASS_METRICS by its name."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "auc": self.auc}[name]


class Metrics(Part):
    """How good predictions are, every metric in 0..1 or None (see the module)."""

    averages: dict[str, Metric]
    """The AVERAGES. Each is an attribute too: `metrics.macro_f1.interval`."""
    per_class: dict[str, ClassMetrics]
    """By label."""
    confusion_matrix: tuple[tuple[int, ...], ...]
    """Counts, row = true class, column = predicted class, without the images that `invalid_predictions` counts."""
    missing_classes: tuple[str, ...]
    """Labels without an image."""
    invalid_predictions: int
    """How many images got a probability that is not a finite number."""

    def __getattr__(self, name: str) -> Metric:
        """An average by its name."""
        found: Mapping[str, Metric] = self.__dict__.get("averages", {})
        if name not in found:
            raise AttributeError(f"there is no metric {name!r}; the averages are {', '.join(found)}")
        return found[name]


def predicted_classes(probabilities: Probabilities) -> Indices:
    """The most probable class of each row, shape (n,); -1 where a row holds NaN or infinity.

    Args:
        probabilities: shape (n, classes).
    """
    usable = np.isfinite(probabilities.sum(axis=1))
    return np.where(usable, probabilities.argmax(axis=1), -1)


def classification_metrics(labels: Indices, probabilities: Probabilities, classes: Sequence[str]) -> Metrics:
    """Hold predictions against the truth, without intervals.

    Args:
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
        classes: the classes' codes, in order.
    """
    return _metrics(labels, probabilities, classes, {})


def measure(
    labels: Indices, probabilities: Probabilities, lesion_ids: Sequence[str], seed: int, classes: Sequence[str]
) -> Metrics:
    """`classification_metrics`, with the `intervals` of its metrics where they have any.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        probabilities: shape (n, classes).
        lesion_ids: the lesion of each image, length n.
        seed: of the resampling.
        classes: the classes' codes, in order.
    """
    usable = (predicted_classes(probabilities) >= 0).all()
    limits = intervals(labels, probabilities, lesion_ids, seed, classes) if usable else {}
    return _metrics(labels, probabilities, classes, limits)


def _metrics(
    labels: Indices, probabilities: Probabilities, classes: Sequence[str], limits: Mapping[str, Interval]
) -> Metrics:
    predicted = predicted_classes(probabilities)
    usable = predicted >= 0
    support = np.bincount(labels, minlength=len(classes))
    cells = labels[usable] * len(classes) + predicted[usable]  # scikit-learn's confusion_matrix refuses to count none
    matrix = np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), len(classes))
    found = _values(labels, predicted, probabilities, support, classes) if len(labels) and usable.all() else {}

    def metric(name: str) -> Metric:
        return Metric(value=found.get(name), interval=limits.get(name, (None, None)))

    return Metrics(
        averages={name: metric(name) for name in AVERAGES},
        per_class={
            label: ClassMetrics(support=int(count), **{name: metric(f"{name}:{label}") for name in CLASS_METRICS})
            for label, count in zip(classes, support, strict=True)
        },
        confusion_matrix=tuple(map(tuple, matrix.tolist())),
        missing_classes=tuple(label for label, count in zip(classes, support, strict=True) if count == 0),
        invalid_predictions=int((~usable).sum()),
    )


def _values(
    labels: Indices,
    predicted: Indices,
    probabilities: Probabilities,
    support: NDArray[np.integer[Any]],
    classes: Sequence[str],
) -> dict[str, float]:
    """Every metric that is defined, named as in `intervals`; of one image or more, all with usable probabilities."""
    from sklearn import metrics

    scores: Any = metrics.precision_recall_fscore_support(
        labels,
        predicted,
        labels=range(len(classes)),
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, _ = scores  # each of shape (classes,)
    found: dict[str, float] = {}
    for index, label in enumerate(classes):
        if support[index]:
            found |= {
                f"precision:{label}": float(precision[index]),
                f"recall:{label}": float(recall[index]),
                f"f1:{label}": float(f1[index]),
            }
            if support[index] < len(labels):  # else there is no rest to tell it from
                found[f"auc:{label}"] = float(metrics.roc_auc_score(labels == index, probabilities[:, index]))
    aucs = [found[f"auc:{label}"] for label in classes if f"auc:{label}" in found]
    answers = Answers(labels, predicted, support, precision, recall, f1, aucs)
    whole = bool(support.all())
    return found | {
        name: average.value(answers) for name, average in averages.ALL.items() if whole or not average.macro
    }


def intervals(
    labels: Indices,
    probabilities: Probabilities,
    lesion_ids: Sequence[str],
    seed: int,
    classes: Sequence[str],
    resamples: int = RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the AVERAGES and of every class's metrics, by a bootstrap over lesions.

    A resample that lacks a class has no macro-average and no metrics of that class; it does not count for them.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        probabilities: finite, shape (n, classes).
        lesion_ids: the lesion of each image, length n.
        seed: of the resampling; the same seed gives the same intervals.
        classes: the classes' codes, in order.
        resamples: how many.

    Returns:
        Name -> (low, high). Names are the keys of AVERAGES, and `precision:<label>`, `recall:<label>`,
        `f1:<label>` and `auc:<label>`; without those that are None in `classification_metrics`, and
        without the precision of a class that was never predicted.
    """
    bootstrap = Bootstrap(lesion_ids, seed, resamples, labels)
    predicted = predicted_classes(probabilities)
    lesions: dict[str, float] = {}
    for index, label in enumerate(classes):
        held = bootstrap.lesions_of(labels == index)
        lesions |= {f"{name}:{label}": held for name in ("recall", "f1", "auc")}
        lesions[f"precision:{label}"] = bootstrap.lesions_of(predicted == index)
    # The variance of a mean of k shares of m_i lesions each is p (1 - p) / k^2 * sum(1 / m_i).
    if all(held := [lesions[f"recall:{label}"] for label in classes]):
        macro = [name for name, average in averages.ALL.items() if average.macro]
        lesions |= dict.fromkeys(macro, len(classes) ** 2 / sum(1 / count for count in held))
    metrics = bootstrap.metrics(class_statistic(labels, probabilities, classes), lesions)
    limits = {name: metric.interval for name, metric in metrics.items()}
    return {name: interval for name, interval in limits.items() if interval[0] is not None}


def class_statistic(labels: Indices, probabilities: Probabilities, classes: Sequence[str]) -> Statistic:
    """The metrics of `intervals` for any weighting of the images.

    Args:
        labels: true class indices, shape (n,).
        probabilities: finite, shape (n, classes).
        classes: the classes' codes, in order.
    """
    cells = _cells(labels, predicted_classes(probabilities), len(classes))

    def statistic(weights: Weights) -> Samples:
        ranked = [weighted_auc(weights, labels == k, probabilities[:, k]) for k in range(len(classes))]
        by_class = {f"auc:{label}": auc for label, auc in zip(classes, ranked, strict=True)}
        return _samples(_resamples(weights, cells, len(classes), ranked), classes) | by_class

    return statistic


def confusion_statistic(labels: Indices, predicted: Indices, classes: Sequence[str]) -> Statistic:
    """Those metrics of `class_statistic` that the predicted classes alone decide.

    Args:
        labels: true class indices, shape (n,).
        predicted: likewise.
        classes: the classes' codes, in order.
    """
    cells = _cells(labels, predicted, len(classes))
    return lambda weights: _samples(_resamples(weights, cells, len(classes), []), classes)


def _cells(labels: Indices, predicted: Indices, classes: int) -> NDArray[np.float64]:
    """The cell of the confusion matrix that each image is in, as a 1 in its row: shape (n, classes * classes)."""
    return np.eye(classes**2)[labels * classes + predicted]


def _resamples(
    weights: Weights, cells: NDArray[np.float64], classes: int, aucs: Sequence[NDArray[np.float64]]
) -> Resamples:
    counts = (weights @ cells).reshape(-1, classes, classes)
    support, claimed = counts.sum(axis=2), counts.sum(axis=1)  # (resamples, classes)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        recall = hits / support
        precision = hits / claimed
    f1 = np.where(support > 0, 2 * hits / np.maximum(support + claimed, 1), np.nan)
    return Resamples(support, claimed, hits, precision, recall, f1, aucs)


def _samples(resamples: Resamples, classes: Sequence[str]) -> Samples:
    """The averages and, where a resample has the class, its metrics; without what needs AUCs that there are not."""
    samples: Samples = {
        name: average.resampled(resamples)
        for name, average in averages.ALL.items()
        if resamples.aucs or not average.ranking
    }
    for name, values in {"precision": resamples.precision, "recall": resamples.recall, "f1": resamples.f1}.items():
        present = np.where(resamples.support > 0, values, np.nan)
        samples |= {f"{name}:{label}": present[:, index] for index, label in enumerate(classes)}
    return samples


def weighted_auc(weights: Weights, positive: NDArray[np.bool_], scores: Probabilities) -> NDArray[np.float64]:
    """Area under the ROC curve with ties counted half (Mann-Whitney), for many weightings at once.

    Args:
        weights: how often each image counts, shape (resamples, n).
        positive: shape (n,).
        scores: shape (n,).

    Returns:
        Shape (resamples,); NaN where a resample lacks positives or negatives.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where a new score begins
    ordered = weights[:, order]
    positives, negatives = ordered * positive[order], ordered * ~positive[order]
    if len(starts) < len(scores):
        positives = np.add.reduceat(positives, starts, axis=1)
        negatives = np.add.reduceat(negatives, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(invalid="ignore"):
        return (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
