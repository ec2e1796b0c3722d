"""What is gained by leaving the unsure images to a person.

The model keeps an image if its largest probability is at least a threshold. Coverage is the share of images it
keeps, risk the share of errors among them (El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017, arXiv 1705.08500).
AURC is the mean of the risk over all coverages (Geifman et al. 2019, arXiv 1805.08206): lower is better, and an
order by chance gives the overall error rate.

The suggested threshold is the lowest one at which the validation images that are kept have at most half of the
error rate of all. Half is a convention that keeps as many images as a gain worth the trouble allows; who knows
what an error and a second look cost reads the threshold off the curve.
"""

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import Bootstrap, Metric, Samples, Weights
from lesionflow.metrics.classification import Indices, Probabilities
from lesionflow.runtime.document import Part

LEAST_ERRORS = 20  # on validation; half of fewer cannot be told from chance
POINTS = 200


class Curve(Part):
    """Risk against coverage at at most 200 thresholds, the highest first: three lists of equal length."""

    threshold: tuple[float, ...]
    coverage: tuple[float, ...]
    risk: tuple[float, ...]


class OnValidation(Part):
    """What the validation images come to at the threshold."""

    coverage: float
    risk: float
    risk_of_all: float


class OnTest(Part):
    """What the test images come to at the threshold."""

    coverage: Metric
    risk: Metric


class Abstention(Part):
    """What is gained by leaving the unsure images to a person."""

    threshold: float | None = None
    """The suggested one; None with a `reason` if there is none."""
    reason: str | None = None
    validation: OnValidation | None = None
    test: OnTest | None = None
    risk_of_all: Metric | None = None
    """Of the test images, as are the next two; None if their probabilities are unusable."""
    aurc: Metric | None = None
    curve: Curve | None = None


def abstention_threshold(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float | None:
    """The lowest confidence at which the kept images have at most half of the overall error rate.

    Args:
        right: which images are judged rightly, shape (n,).
        confidence: shape (n,).

    Returns:
        One of the confidences, or None if there is no such one.
    """
    thresholds, _, risk = _curve(right, confidence)
    enough = thresholds[risk <= (1 - right.mean()) / 2]
    return float(enough.min()) if len(enough) else None


def abstention(
    validation: tuple[Indices, Probabilities] | None,
    labels: Indices,
    probabilities: Probabilities,
    bootstrap: Bootstrap,
) -> Abstention:
    """Risk and coverage on the test images, and the suggested threshold.

    Args:
        validation: labels and probabilities of the validation images; None if they are unusable.
        labels: true class indices of the test images, shape (n,), n >= 1.
        probabilities: of the test images, finite, shape (n, classes).
        bootstrap: over their lesions.
    """
    right, confidence = _answered(labels, probabilities)
    everything = np.ones(len(labels), bool)
    threshold, on_validation, reason = _suggestion(validation)
    test = None
    if threshold is not None:
        sees = confidence >= threshold
        test = OnTest(**bootstrap.shares({"coverage": (sees, everything), "risk": (~right, sees)}))
    return Abstention(
        threshold=threshold,
        reason=reason,
        validation=on_validation,
        test=test,
        risk_of_all=bootstrap.shares({"risk_of_all": (~right, everything)})["risk_of_all"],
        aurc=_aurc(right, confidence, bootstrap),
        curve=_points(right, confidence),
    )


def _suggestion(
    validation: tuple[Indices, Probabilities] | None,
) -> tuple[float | None, OnValidation | None, str | None]:
    """The threshold and what the validation images come to at it, or why there is none."""
    if validation is None:
        return None, None, "The probabilities of the validation images are unusable."
    right, confidence = _answered(*validation)
    errors = int((~right).sum())
    if errors < LEAST_ERRORS:
        reason = f"Only {errors} validation images are misjudged; to choose a threshold takes {LEAST_ERRORS} or more."
        return None, None, reason
    threshold = abstention_threshold(right, confidence)
    if threshold is None:
        return None, None, "No threshold halves the error rate of the validation images."
    kept = confidence >= threshold
    reached = OnValidation(
        coverage=float(kept.mean()), risk=float((~right)[kept].mean()), risk_of_all=float((~right).mean())
    )
    return threshold, reached, None


def _answered(labels: Indices, probabilities: Probabilities) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    return probabilities.argmax(axis=1) == labels, probabilities.max(axis=1).astype(np.float64)


def _curve(
    right: NDArray[np.bool_], confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Threshold, coverage and risk at each distinct confidence, the highest first."""
    order = np.argsort(-confidence, kind="stable")
    ends = _ends(confidence[order])
    errors, kept = np.cumsum(~right[order])[ends], ends + 1
    return confidence[order][ends], kept / len(right), errors / kept


def _ends(ordered: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where each run of equal values ends: images of equal confidence are kept together."""
    return np.flatnonzero(np.append(np.diff(ordered) != 0, True)).astype(np.int64)


def _points(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> Curve:
    curve = np.stack(_curve(right, confidence))
    kept = np.unique(np.linspace(0, curve.shape[1] - 1, POINTS).round().astype(int))
    threshold, coverage, risk = map(tuple, curve[:, kept].tolist())
    return Curve(threshold=threshold, coverage=coverage, risk=risk)


def _aurc(right: NDArray[np.bool_], confidence: NDArray[np.float64], bootstrap: Bootstrap) -> Metric:
    order = np.argsort(-confidence, kind="stable")
    ends = _ends(confidence[order])
    wrong = ~right[order]

    def statistic(weights: Weights) -> Samples:
        ordered = weights[:, order]
        kept = np.cumsum(ordered, axis=1)[:, ends]  # (resamples, distinct confidences)
        errors = np.cumsum(ordered * wrong, axis=1)[:, ends]
        shares = np.diff(kept, axis=1, prepend=0) / kept[:, -1:]
        return {"aurc": (shares * errors / np.maximum(kept, 1)).sum(axis=1)}

    return bootstrap.metrics(statistic)["aurc"]
