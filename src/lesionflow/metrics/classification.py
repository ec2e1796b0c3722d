"""How good predictions are, and how sure one can be of it.

A macro-average over fewer than all classes is another quantity than the one over all of them
and is never shown under the same name: if the test set lacks a class, `macro_f1`,
`balanced_accuracy` and `macro_auc` are None. If any probability is not a finite number, every
average is None. Nothing here is ever NaN.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import RESAMPLES, Bootstrap, Samples, Statistic, Weights

Indices = NDArray[np.integer[Any]]
Probabilities = NDArray[np.floating[Any]]

AVERAGES: dict[str, str] = {
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_auc": "macro AUC",
}
"""The averages over classes, and how they are written for people. All lie in 0..1; more is better."""

MACRO = ("macro_f1", "balanced_accuracy", "macro_auc")
"""Those in which all classes count alike."""

CLASS_METRICS = ("precision", "recall", "f1", "auc")
"""What is given of each class, besides its number of images."""


def predicted_classes(probabilities: Probabilities) -> Indices:
    """The most probable class of each row, shape (n,); -1 where a row holds NaN or infinity.

    Args:
        probabilities: shape (n, classes).
    """
    usable = np.isfinite(probabilities.sum(axis=1))
    return np.where(usable, probabilities.argmax(axis=1), -1)


def classification_metrics(labels: Indices, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Judge predictions against the truth.

    Args:
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
        classes: the classes' codes, in order.

    Returns:
        A JSON-ready mapping, every metric a float in 0..1 or None (see the module):
        the AVERAGES (macro AUC is the mean of the one-vs-rest AUCs);
        `per_class`: label -> `precision` (0 if the class was never predicted), `recall`, `f1`, `auc`,
        `support` (images); the first four are None for a class without images;
        `confusion_matrix`: a row of counts per class, row = true class, column = predicted class, without the
        rows that `invalid_predictions` counts;
        `missing_classes`: labels without a test image;
        `invalid_predictions`: how many images got a probability that is not a finite number.
    """
    from sklearn import metrics

    predicted = predicted_classes(probabilities)
    usable = predicted >= 0
    support = np.bincount(labels, minlength=len(classes))
    missing = [label for label, count in zip(classes, support, strict=True) if count == 0]
    cells = labels[usable] * len(classes) + predicted[usable]  # scikit-learn's confusion_matrix refuses to count none
    matrix = np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), len(classes))
    per_class: dict[str, dict[str, float | None]] = {
        label: {**dict.fromkeys(CLASS_METRICS), "support": int(count)}
        for label, count in zip(classes, support, strict=True)
    }
    result: dict[str, Any] = {
        **dict.fromkeys(AVERAGES),
        "per_class": per_class,
        "confusion_matrix": matrix.tolist(),
        "missing_classes": missing,
        "invalid_predictions": int((~usable).sum()),
    }
    if len(labels) == 0 or not usable.all():
        return result

    scores: Any = metrics.precision_recall_fscore_support(
        labels,
        predicted,
        labels=range(len(classes)),
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, _ = scores  # each of shape (classes,)
    aucs: list[float] = []
    for index, label in enumerate(classes):
        if support[index]:
            per_class[label] |= {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
            }
            if support[index] < len(labels):  # else there is no rest to tell it from
                aucs.append(float(metrics.roc_auc_score(labels == index, probabilities[:, index])))
                per_class[label]["auc"] = aucs[-1]
    result["accuracy"] = float(metrics.accuracy_score(labels, predicted))
    result["weighted_f1"] = float(np.average(f1, weights=support))
    if not missing:
        result["macro_f1"] = float(f1.mean())
        result["balanced_accuracy"] = float(recall.mean())
        result["macro_auc"] = float(np.mean(aucs))
    return result


def measure(
    labels: Indices, probabilities: Probabilities, lesion_ids: Sequence[str], seed: int, classes: Sequence[str]
) -> dict[str, Any]:
    """`classification_metrics`, with the `intervals` of its metrics where they have any.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        probabilities: shape (n, classes).
        lesion_ids: the lesion of each image, length n.
        seed: of the resampling.
        classes: the classes' codes, in order.

    Returns:
        The mapping of `classification_metrics` with `intervals` of the AVERAGES, `macro_f1_interval`, and
        `precision_interval`, `recall_interval`, `f1_interval` and `auc_interval` per class; (None, None) for none.
    """
    measured = classification_metrics(labels, probabilities, classes)
    limits = {} if measured["invalid_predictions"] else intervals(labels, probabilities, lesion_ids, seed, classes)
    measured["intervals"] = {name: limits.get(name, (None, None)) for name in AVERAGES}
    measured["macro_f1_interval"] = measured["intervals"]["macro_f1"]
    for label, entry in measured["per_class"].items():
        entry |= {f"{name}_interval": limits.get(f"{name}:{label}", (None, None)) for name in CLASS_METRICS}
    return measured


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
        lesions |= dict.fromkeys(MACRO, len(classes) ** 2 / sum(1 / count for count in held))
    metrics = bootstrap.metrics(class_statistic(labels, probabilities, classes), lesions)
    limits = {name: metric["interval"] for name, metric in metrics.items()}
    return {name: interval for name, interval in limits.items() if interval[0] is not None}


def class_statistic(labels: Indices, probabilities: Probabilities, classes: Sequence[str]) -> Statistic:
    """The metrics of `intervals` for any weighting of the images.

    Args:
        labels: true class indices, shape (n,).
        probabilities: finite, shape (n, classes).
        classes: the classes' codes, in order.
    """
    counted = confusion_statistic(labels, predicted_classes(probabilities), classes)

    def statistic(weights: Weights) -> Samples:
        ranked = [weighted_auc(weights, labels == k, probabilities[:, k]) for k in range(len(classes))]
        by_class = {f"auc:{label}": auc for label, auc in zip(classes, ranked, strict=True)}
        return counted(weights) | {"macro_auc": np.mean(ranked, axis=0)} | by_class

    return statistic


def confusion_statistic(labels: Indices, predicted: Indices, classes: Sequence[str]) -> Statistic:
    """Those metrics of `class_statistic` that the predicted classes alone decide.

    Args:
        labels: true class indices, shape (n,).
        predicted: likewise.
        classes: the classes' codes, in order.
    """
    count = len(classes)
    cells = np.eye(count**2)[labels * count + predicted]

    def statistic(weights: Weights) -> Samples:
        counts = (weights @ cells).reshape(-1, count, count)
        support, claimed = counts.sum(axis=2), counts.sum(axis=1)  # (resamples, classes)
        hits = np.diagonal(counts, axis1=1, axis2=2)
        with np.errstate(invalid="ignore"):
            recall = hits / support
            precision = hits / claimed
        f1 = np.where(support > 0, 2 * hits / np.maximum(support + claimed, 1), np.nan)
        samples: Samples = {
            "macro_f1": f1.mean(axis=1),
            "weighted_f1": np.nansum(f1 * support, axis=1) / support.sum(axis=1),
            "balanced_accuracy": recall.mean(axis=1),
            "accuracy": hits.sum(axis=1) / support.sum(axis=1),
        }
        for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
            present = np.where(support > 0, values, np.nan)
            samples |= {f"{name}:{label}": present[:, index] for index, label in enumerate(classes)}
        return samples

    return statistic


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


def format_metric(value: float | None) -> str:
    """A metric as people read it: three digits, or n/a."""
    return "n/a" if value is None else f"{value:.3f}"
