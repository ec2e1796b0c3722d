"""Whether a probability means what it says: temperature scaling, and how far confidence and accuracy are apart.

Temperature scaling divides the logits by one number that makes the validation images most likely (Guo et al. 2017,
arXiv 1706.04599). It changes no decision by the largest probability, only how sure the model says it is.

ECE is the mean distance between confidence and accuracy over bins of the largest probability; class-wise ECE is the
same for one class's probability against its frequency (Kull et al. 2019, arXiv 1910.12656). Bins hold equally
many images: with equal-mass bins the estimate is less biased than with equally wide ones (Roelofs et al. 2022,
arXiv 2012.08668). It stays biased upwards, by some 0.01 to 0.02 on 2,000 images, for noise in a bin never cancels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import Bootstrap, Metric, Samples, Weights, distance, percentiles
from lesionflow.metrics.classification import Indices, Probabilities
from lesionflow.runtime.document import Part

BINS = 15  # as Guo et al. and most after them

_LEAST = 1e-12  # below it a probability is rounding; without a floor one image could decide the temperature
_RANGE = (0.05, 20.0)


class Bin(Part):
    """A point of the reliability diagram."""

    low: float
    """The least of its probabilities."""
    high: float
    images: int
    confidence: float
    """Their mean."""
    accuracy: float
    """The share of its images that were answered rightly."""


class CalibrationMetrics(Part):
    """How well probabilities are calibrated; lower is better."""

    ece: Metric
    brier: Metric
    """Sum over the classes, 0..2 (Brier 1950)."""
    nll: Metric
    """Log loss, nats."""
    class_ece: dict[str, Metric]
    """Label -> the error of that class's probability."""
    reliability: tuple[Bin, ...]
    """At most 15, the least sure first."""


def scale(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Probabilities at another temperature: softmax(log(p) / temperature).

    Works on the mean of several softmax outputs (test-time augmentation) as on one.

    Args:
        probabilities: shape (n, classes); taken as at least 1e-12.
        temperature: above 0; above 1 makes the model less sure.

    Returns:
        Shape (n, classes), rows sum to 1.
    """
    from scipy.special import softmax

    logits = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return np.asarray(softmax(logits / temperature, axis=1))


def fit_temperature(labels: Indices, probabilities: Probabilities) -> float | None:
    """The temperature at which the labels are most likely.

    The mean log-likelihood is concave in 1 / temperature, so there is one best.

    Args:
        labels: true class indices of the validation images, shape (n,), n >= 1.
        probabilities: finite, shape (n, classes).

    Returns:
        The temperature, or None if the best lies outside 0.05..20: the images then do not say, as when every
        one is judged rightly (the surer the better) or the answers have nothing to do with them.
    """
    from scipy.optimize import minimize_scalar

    low, high = np.log(_RANGE)

    def loss(exponent: float) -> float:
        return log_loss(labels, scale(probabilities, np.exp(exponent)))

    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    inside = low + 1e-3 < found.x < high - 1e-3
    # Where all temperatures are alike (uniform answers), the search ends anywhere.
    falls = found.fun < min(loss(low), loss(high)) - 1e-9
    return float(np.exp(found.x)) if inside and falls else None


def log_loss(labels: Indices, probabilities: Probabilities) -> float:
    """Mean negative log-likelihood of the labels, in nats; a probability counts as at least 1e-12."""
    return float(_losses(labels, probabilities).mean())


def calibration_metrics(
    labels: Indices, probabilities: Probabilities, bootstrap: Bootstrap, classes: Sequence[str]
) -> CalibrationMetrics:
    """How well the probabilities are calibrated.

    Args:
        labels: true class indices, shape (n,), n >= 1.
        probabilities: finite, shape (n, classes).
        bootstrap: over the lesions of these images.
        classes: the classes' codes, in order.

    Returns:
        Metrics whose intervals take the temperature as given.
    """
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    truth = np.eye(len(classes))[labels]
    bins = {"ece": equal_mass_bins(confidence)}
    gaps = {"ece": _gaps(bins["ece"], confidence, right)}
    for index, label in enumerate(classes):
        score = probabilities[:, index].astype(np.float64)
        gaps[f"ece:{label}"] = _gaps(equal_mass_bins(score), score, truth[:, index])
    ends = np.cumsum([columns.shape[1] for columns in gaps.values()])[:-1]
    stacked = np.concatenate(list(gaps.values()), axis=1)  # (n, bins of all)
    means = {"brier": ((probabilities - truth) ** 2).sum(axis=1), "nll": _losses(labels, probabilities)}

    def statistic(weights: Weights) -> Samples:
        total = weights.sum(axis=1)
        parts = np.split(np.abs(weights @ stacked), ends, axis=1)
        samples = {name: part.sum(axis=1) / total for name, part in zip(gaps, parts, strict=True)}
        return samples | {name: weights @ losses / total for name, losses in means.items()}

    point = {name: float(values[0]) for name, values in statistic(np.ones((1, len(labels)))).items()}
    samples = bootstrap.samples(statistic)
    errors: dict[str, Metric] = {name: distance(point[name], samples[name]) for name in gaps}
    return CalibrationMetrics(
        ece=errors["ece"],
        **{name: percentiles(point[name], samples[name]) for name in means},
        class_ece={label: errors[f"ece:{label}"] for label in classes},
        reliability=_reliability(bins["ece"], confidence, right),
    )


def equal_mass_bins(scores: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each score, from 0, shape (n,): equally many in each, equal scores in the same."""
    inner = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    _, compact = np.unique(np.searchsorted(inner, scores, side="right"), return_inverse=True)
    return compact.astype(np.int64)


def _gaps(bins: NDArray[np.int64], scores: NDArray[np.float64], happened: NDArray[Any]) -> NDArray[np.float64]:
    """Score minus outcome in the column of the image's bin, shape (n, bins): sums over images are bins' gaps."""
    columns = np.zeros((len(bins), int(bins.max()) + 1))
    columns[np.arange(len(bins)), bins] = scores - happened
    return columns


def _reliability(bins: NDArray[np.int64], confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    groups = [(confidence[bins == index], right[bins == index]) for index in range(int(bins.max()) + 1)]
    return tuple(
        Bin(
            low=float(inside.min()),
            high=float(inside.max()),
            images=len(inside),
            confidence=float(inside.mean()),
            accuracy=float(hits.mean()),
        )
        for inside, hits in groups
    )


def _losses(labels: Indices, probabilities: Probabilities) -> NDArray[np.float64]:
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), _LEAST))
