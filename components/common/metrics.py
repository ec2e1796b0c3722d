"""How good predictions are, and how sure one can be of it.

A macro-average over fewer than the seven classes is another quantity than the one over all of them
and is never shown under the same name: if the test set lacks a class, `macro_f1`,
`balanced_accuracy` and `macro_auc` are None. If any probability is not a finite number, every
average is None. Nothing here is ever NaN.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.taxonomy import LABELS

_BLOCK = 2**21  # resamples times images in memory at a time

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


def predicted_classes(probabilities: Probabilities) -> Indices:
    """The most probable class of each row, shape (n,); -1 where a row holds NaN or infinity.

    Args:
        probabilities: shape (n, classes).
    """
    usable = np.isfinite(probabilities.sum(axis=1))
    return np.where(usable, probabilities.argmax(axis=1), -1)


def classification_metrics(labels: Indices, probabilities: Probabilities) -> dict[str, Any]:
    """Judge predictions against the truth.

    Args:
        labels: true class indices into LABELS, shape (n,).
        probabilities: shape (n, 7), columns in the order of LABELS.

    Returns:
        A JSON-ready mapping, every figure a float in 0..1 or None (see the module):
        the AVERAGES (macro AUC is the mean of the one-vs-rest AUCs);
        `per_class`: label -> `precision` (0 if the class was never predicted), `recall`, `f1`, `auc`,
        `support` (images); the first four are None for a class without images;
        `confusion_matrix`: 7 rows of counts, row = true class, column = predicted class, without the
        rows that `invalid_predictions` counts;
        `missing_classes`: labels without a test image;
        `invalid_predictions`: how many images got a probability that is not a finite number.
    """
    from sklearn import metrics

    predicted = predicted_classes(probabilities)
    usable = predicted >= 0
    support = np.bincount(labels, minlength=len(LABELS))
    missing = [label for label, count in zip(LABELS, support, strict=True) if count == 0]
    cells = labels[usable] * len(LABELS) + predicted[usable]  # scikit-learn's confusion_matrix refuses to count none
    matrix = np.bincount(cells, minlength=len(LABELS) ** 2).reshape(len(LABELS), len(LABELS))
    per_class: dict[str, dict[str, float | None]] = {
        label: {"precision": None, "recall": None, "f1": None, "auc": None, "support": int(count)}
        for label, count in zip(LABELS, support, strict=True)
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
        labels=range(len(LABELS)),
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, _ = scores  # each of shape (7,)
    aucs: list[float] = []
    for index, label in enumerate(LABELS):
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


def intervals(
    labels: Indices, probabilities: Probabilities, lesion_ids: Sequence[str], seed: int, resamples: int = 1000
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the AVERAGES, and of the recall of each class, by a bootstrap over lesions.

    Images of one lesion are not independent, so whole lesions are drawn with replacement
    (percentile bootstrap of clusters: Davison & Hinkley 1997, sections 3.8 and 5.3). A class that a
    resample happens to lack is left out of that resample's averages.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        probabilities: finite, shape (n, 7).
        lesion_ids: the lesion of each image, length n.
        seed: of the resampling; the same seed gives the same intervals.
        resamples: how many.

    Returns:
        Name -> (low, high). Names are the keys of AVERAGES, and `recall:<label>`; without those that
        are None in `classification_metrics`.
    """
    names, lesion = np.unique(np.asarray(lesion_ids, dtype=str), return_inverse=True)
    lesions = len(names)
    random = np.random.default_rng(seed)
    parts: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)
    block = max(1, _BLOCK // len(labels))  # resamples at a time: all of them need gigabytes for 100,000 images
    for start in range(0, resamples, block):
        draws = random.multinomial(lesions, np.full(lesions, 1 / lesions), size=min(block, resamples - start))
        for name, values in _resampled(labels, probabilities, lesion, draws).items():
            parts[name].append(values)
    limits = {name: np.quantile(np.concatenate(values), (0.025, 0.975)) for name, values in parts.items()}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def _resampled(
    labels: Indices, probabilities: Probabilities, lesion: Indices, draws: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The figures of `intervals` for some resamples.

    Args:
        labels: shape (n,).
        probabilities: shape (n, 7).
        lesion: number of each image's lesion, shape (n,).
        draws: how often each lesion was drawn, shape (resamples, lesions).

    Returns:
        Name -> values; one per resample, but for the recall of a class that it lacks.
    """
    classes, (resamples, lesions) = len(LABELS), draws.shape
    # A lesion's confusion matrix, flattened: resampling then is one matrix product.
    cells = (lesion * classes + labels) * classes + predicted_classes(probabilities)
    per_lesion = np.bincount(cells, minlength=lesions * classes**2).reshape(lesions, classes**2)
    counts = (draws @ per_lesion.astype(np.float64)).reshape(resamples, classes, classes)
    support = counts.sum(axis=2)  # (resamples, classes)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    f1 = 2 * hits / np.maximum(support + counts.sum(axis=1), 1)
    recall = hits / np.maximum(support, 1)
    samples = {
        "weighted_f1": (f1 * support).sum(axis=1) / support.sum(axis=1),
        "accuracy": hits.sum(axis=1) / support.sum(axis=1),
    }
    present = np.bincount(labels, minlength=classes) > 0
    if present.all():
        weights = draws[:, lesion].astype(np.float64)  # (resamples, n)
        auc = np.stack([_weighted_auc(weights, labels == k, probabilities[:, k]) for k in range(classes)], axis=1)
        samples["macro_f1"] = _mean_of_present(f1, support > 0)
        samples["balanced_accuracy"] = _mean_of_present(recall, support > 0)
        samples["macro_auc"] = _mean_of_present(auc, np.isfinite(auc))
    for index in np.flatnonzero(present):
        samples[f"recall:{LABELS[index]}"] = recall[support[:, index] > 0, index]
    return samples


def _mean_of_present(values: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the classes (axis 1) that a resample has; shape (resamples,)."""
    return values.sum(axis=1, where=present) / present.sum(axis=1)


def _weighted_auc(
    weights: NDArray[np.float64], positive: NDArray[np.bool_], scores: Probabilities
) -> NDArray[np.float64]:
    """Area under the ROC curve with ties counted half (Mann-Whitney), for many weightings at once.

    Args:
        weights: how often each image counts, shape (resamples, n).
        positive: shape (n,).
        scores: shape (n,).

    Returns:
        Shape (resamples,); NaN where a resample lacks positives or negatives.
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where a new score begins
    positives = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    negatives = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(invalid="ignore"):
        return (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))


def format_figure(value: float | None) -> str:
    """A figure as people read it: three digits, or n/a."""
    return "n/a" if value is None else f"{value:.3f}"
