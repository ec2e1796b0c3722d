"""Questions with yes or no, answered at thresholds that the validation images chose.

Is it a melanoma? Is it malignant? They are asked as far as the taxonomy has such classes. The score is the (summed)
probability of the classes asked for, the answer yes if it is at least the threshold.

"Sensitivity at 90 % specificity" here means: at the lowest threshold whose specificity on the validation images
is at least 90 %; "specificity at 90 % sensitivity" at the highest one whose sensitivity there is at least 90 %.
Finitely many images never give exactly 90 %, so validation is on the safe side of it, if barely. The test images
then show both rates as they come out at that threshold, which is fixed: their intervals hold the chance in the
test lesions, not in the choice.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.classification import Indices, Probabilities, weighted_auc
from lesionflow.taxonomy import Taxonomy

TARGETS: tuple[tuple[str, float], ...] = (
    ("specificity", 0.9),
    ("specificity", 0.95),
    ("sensitivity", 0.9),
    ("sensitivity", 0.95),
)
"""What the validation images must reach, and by how much."""


def ask(columns: Sequence[int], labels: Indices, probabilities: Probabilities) -> tuple[NDArray[Any], NDArray[Any]]:
    """The truth (bool) and the score in 0..1 of a yes-or-no question, both of shape (n,).

    Args:
        columns: of the classes for which the answer is yes.
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
    """
    columns = list(columns)
    return np.isin(labels, columns), probabilities[:, columns].astype(np.float64).sum(axis=1)


def choose_threshold(positive: NDArray[np.bool_], scores: NDArray[np.float64], target: str, least: float) -> float:
    """The threshold at which `target` is at least `least`, and the other rate as high as that allows.

    Args:
        positive: the truth, shape (n,); both answers occur.
        scores: shape (n,).
        target: sensitivity or specificity.
        least: in (0, 1].

    Returns:
        One of the scores, or infinity if only answering no to all of them is specific enough.
    """
    candidates = np.append(np.unique(scores), np.inf)
    if target == "sensitivity":
        hits = positive.sum() - np.searchsorted(np.sort(scores[positive]), candidates, side="left")
        return float(candidates[hits >= least * positive.sum() - 1e-9].max())
    negatives = np.sort(scores[~positive])
    dismissed = np.searchsorted(negatives, candidates, side="left")
    return float(candidates[dismissed >= least * len(negatives) - 1e-9].min())


def operating_points(
    validation: tuple[Indices, Probabilities] | None,
    labels: Indices,
    probabilities: Probabilities,
    bootstrap: Bootstrap,
    taxonomy: Taxonomy,
) -> dict[str, dict[str, Any]]:
    """The questions of a taxonomy on the test images.

    Args:
        validation: labels and probabilities of the validation images; None if they are unusable.
        labels: true class indices of the test images, shape (n,).
        probabilities: of the test images, finite, shape (n, classes).
        bootstrap: over their lesions.
        taxonomy: of the classes; without malignant ones there is no question.

    Returns:
        Question -> `classes`, `positives` and `negatives` (test images), metric `auc`, and `points`: for each of
        TARGETS `target`, `at_least`, `threshold` (None with a `reason` if validation gives none), `validation`
        (`sensitivity` and `specificity` there) and `test` (metrics `sensitivity`, `specificity`, `ppv`, `npv`;
        the last two hold for the share of positives in this test set only).
    """
    result: dict[str, dict[str, Any]] = {}
    for question, classes in taxonomy.questions.items():
        columns = [taxonomy.index[code] for code in classes]
        positive, scores = ask(columns, labels, probabilities)
        chosen = None if validation is None else ask(columns, *validation)
        result[question] = {
            "classes": list(classes),
            "positives": int(positive.sum()),
            "negatives": int((~positive).sum()),
            "auc": auc_metric(positive, scores, bootstrap),
            "points": [_point(chosen, target, least, positive, scores, bootstrap) for target, least in TARGETS],
        }
    return result


def auc_metric(positive: NDArray[np.bool_], scores: NDArray[np.float64], bootstrap: Bootstrap) -> Any:
    """The area under the ROC curve as a metric, None where an answer does not occur."""
    lesions = min(bootstrap.lesions_of(positive), bootstrap.lesions_of(~positive))
    return bootstrap.metrics(lambda weights: {"auc": weighted_auc(weights, positive, scores)}, {"auc": lesions})["auc"]


def _point(
    chosen: tuple[NDArray[Any], NDArray[Any]] | None,
    target: str,
    least: float,
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    point = {"target": target, "at_least": least, "threshold": None, "reason": None, "validation": None, "test": None}
    if chosen is None:
        return point | {"reason": "The probabilities of the validation images are unusable."}
    truth, validation_scores = chosen
    if truth.all() or not truth.any():
        return point | {"reason": f"The validation images are all {'positive' if truth.all() else 'negative'}."}
    threshold = choose_threshold(truth, validation_scores, target, least)
    if not np.isfinite(threshold):
        return point | {"reason": "No threshold is specific enough on the validation images."}
    yes, said = validation_scores >= threshold, scores >= threshold
    rates = {"sensitivity": float(yes[truth].mean()), "specificity": float((~yes)[~truth].mean())}
    test = bootstrap.shares(
        {
            "sensitivity": (said, positive),
            "specificity": (~said, ~positive),
            "ppv": (positive, said),
            "npv": (~positive, ~said),
        }
    )
    return point | {"threshold": threshold, "validation": rates, "test": test}
