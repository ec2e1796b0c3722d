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
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lesionflow.metrics.bootstrap import Bootstrap, Metric
from lesionflow.metrics.classification import Indices, Probabilities, weighted_auc
from lesionflow.runtime.document import Part
from lesionflow.taxonomy import Taxonomy

Target = Literal["specificity", "sensitivity"]

TARGETS: tuple[tuple[Target, float], ...] = (
    ("specificity", 0.9),
    ("specificity", 0.95),
    ("sensitivity", 0.9),
    ("sensitivity", 0.95),
)
"""What the validation images must reach, and by how much."""


class Rates(Part):
    """Both rates of the validation images at a threshold."""

    sensitivity: float
    specificity: float


class RatesOnTest(Part):
    """What the test images come to at a threshold."""

    sensitivity: Metric
    specificity: Metric
    ppv: Metric
    """The share of rightly positive answers; like `npv`, it holds for the share of positives in this test set only."""
    npv: Metric

    def metric(self, name: str) -> Metric:
        """One of them by its name."""
        return {"sensitivity": self.sensitivity, "specificity": self.specificity, "ppv": self.ppv, "npv": self.npv}[
            name
        ]


class ChosenPoint(Part):
    """A threshold that the validation images chose."""

    target: Target
    at_least: float
    threshold: float | None = None
    """None with a `reason` if validation gives none."""
    reason: str | None = None
    validation: Rates | None = None
    test: RatesOnTest | None = None


class QuestionMetrics(Part):
    """A yes-or-no question, asked of the test images."""

    classes: tuple[str, ...]
    """Those for which the answer is yes."""
    positives: int
    """Test images; so are `negatives`."""
    negatives: int
    auc: Metric
    points: tuple[ChosenPoint, ...]
    """One for each of TARGETS."""

    def point(self, target: str, at_least: float) -> ChosenPoint | None:
        """The point of a target; None if there is none."""
        return next((each for each in self.points if (each.target, each.at_least) == (target, at_least)), None)


def ask(columns: Sequence[int], labels: Indices, probabilities: Probabilities) -> tuple[NDArray[Any], NDArray[Any]]:
    """The truth (bool) and the score in 0..1 of a yes-or-no question, both of shape (n,).

    Args:
        columns: of the classes for which the answer is yes.
        labels: true class indices, shape (n,).
        probabilities: shape (n, classes).
    """
    columns = list(columns)
    return np.isin(labels, columns), probabilities[:, columns].astype(np.float64).sum(axis=1)


def threshold_at(positive: NDArray[np.bool_], scores: NDArray[np.float64], target: str, least: float) -> float:
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
) -> dict[str, QuestionMetrics]:
    """The questions of a taxonomy on the test images.

    Args:
        validation: labels and probabilities of the validation images; None if they are unusable.
        labels: true class indices of the test images, shape (n,).
        probabilities: of the test images, finite, shape (n, classes).
        bootstrap: over their lesions.
        taxonomy: of the classes; without malignant ones there is no question.

    Returns:
        Question -> what the test images come to.
    """
    result: dict[str, QuestionMetrics] = {}
    for question, classes in taxonomy.questions.items():
        columns = [taxonomy.index[code] for code in classes]
        positive, scores = ask(columns, labels, probabilities)
        chosen = None if validation is None else ask(columns, *validation)
        result[question] = QuestionMetrics(
            classes=classes,
            positives=int(positive.sum()),
            negatives=int((~positive).sum()),
            auc=auc_metric(positive, scores, bootstrap),
            points=tuple(_point(chosen, target, least, positive, scores, bootstrap) for target, least in TARGETS),
        )
    return result


def auc_metric(positive: NDArray[np.bool_], scores: NDArray[np.float64], bootstrap: Bootstrap) -> Metric:
    """The area under the ROC curve as a metric, None where an answer does not occur."""
    lesions = min(bootstrap.lesions_of(positive), bootstrap.lesions_of(~positive))
    return bootstrap.metrics(lambda weights: {"auc": weighted_auc(weights, positive, scores)}, {"auc": lesions})["auc"]


def _point(
    chosen: tuple[NDArray[Any], NDArray[Any]] | None,
    target: Target,
    least: float,
    positive: NDArray[np.bool_],
    scores: NDArray[np.float64],
    bootstrap: Bootstrap,
) -> ChosenPoint:
    if chosen is None:
        return ChosenPoint(
            target=target, at_least=least, reason="The probabilities of the validation images are unusable."
        )
    truth, validation_scores = chosen
    if truth.all() or not truth.any():
        reason = f"The validation images are all {'positive' if truth.all() else 'negative'}."
        return ChosenPoint(target=target, at_least=least, reason=reason)
    threshold = threshold_at(truth, validation_scores, target, least)
    if not np.isfinite(threshold):
        reason = "No threshold is specific enough on the validation images."
        return ChosenPoint(target=target, at_least=least, reason=reason)
    yes, said = validation_scores >= threshold, scores >= threshold
    rates = Rates(sensitivity=float(yes[truth].mean()), specificity=float((~yes)[~truth].mean()))
    test = bootstrap.shares(
        {
            "sensitivity": (said, positive),
            "specificity": (~said, ~positive),
            "ppv": (positive, said),
            "npv": (~positive, ~said),
        }
    )
    return ChosenPoint(target=target, at_least=least, threshold=threshold, validation=rates, test=RatesOnTest(**test))
