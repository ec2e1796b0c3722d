"""Everything beyond the point metrics that an evaluation says: one set of draws for all of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.calibration import CalibrationMetrics, calibration_metrics, fit_temperature, log_loss, scale
from lesionflow.metrics.classification import Indices, Probabilities, predicted_classes
from lesionflow.metrics.operating_points import QuestionMetrics, operating_points
from lesionflow.metrics.selective_prediction import Abstention, abstention
from lesionflow.metrics.subgroups import Grouping, subgroups
from lesionflow.runtime.document import Part
from lesionflow.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd

MALIGNANT_POINT = ("sensitivity", 0.9)
"""The operating point of "malignant" at which groups are compared: few cancers missed comes first."""

LEAST_LESIONS = 50
"""Of the validation images, for a temperature; a single number asks for little."""

_INVALID = "The model gave probabilities that are not numbers for {count} {subset} images."


@dataclass(frozen=True)
class Judged:
    """Images with their truth and what the model said of them."""

    labels: Indices
    """True class indices, shape (n,)."""
    probabilities: Probabilities
    """As the model gave them, shape (n, classes)."""
    lesion_ids: list[str]

    @property
    def invalid(self) -> int:
        """How many images got a probability that is not a finite number."""
        return int((predicted_classes(self.probabilities) < 0).sum())


class TemperatureFit(Part):
    """The validation images before and after temperature scaling."""

    images: int
    nll_before: float
    """Log loss, nats; so is the next."""
    nll_after: float


class CalibrationOfModel(Part):
    """Whether a model's probabilities mean what they say."""

    temperature: float | None = None
    """None with a `reason` if the validation images give none."""
    reason: str | None = None
    validation: TemperatureFit | None = None
    before: CalibrationMetrics | None = None
    """Of the test images, as the model gave the probabilities; None if they are unusable."""
    after: CalibrationMetrics | None = None
    """Likewise, scaled; None if there is no temperature."""

    @property
    def served(self) -> CalibrationMetrics | None:
        """Of the probabilities as an exported model gives them."""
        return self.before if self.temperature is None else self.after


class OperatingPoints(Part):
    """Yes-or-no questions at thresholds that the validation images chose."""

    reason: str | None = None
    """Why there are none."""
    questions: dict[str, QuestionMetrics] = Field(default_factory=dict[str, QuestionMetrics])


class Subgroups(Part):
    """Whether it is as good for everybody."""

    reason: str | None = None
    """Why there is nothing."""
    by: dict[str, Grouping] = Field(default_factory=dict[str, Grouping])


@dataclass(frozen=True)
class Statistics:
    """Where a part cannot be computed, its `reason` is a sentence and its metrics are None."""

    calibration: CalibrationOfModel
    operating_points: OperatingPoints
    abstention: Abstention
    subgroups: Subgroups


def statistics(test: Judged, validation: Judged, metadata: "pd.DataFrame", seed: int, taxonomy: Taxonomy) -> Statistics:
    """Calibration, operating points, abstention and subgroups of the test images.

    Temperature and thresholds are chosen on the validation images. Where there is a temperature, everything but
    `calibration.before` is about the scaled probabilities, which are the ones that an exported model gives.

    Args:
        test: the test images, at least one.
        validation: the validation images.
        metadata: the columns of the images artifact, one row per test image, in their order.
        seed: of the bootstrap.
        taxonomy: of the classes; without malignant ones there are no operating points.
    """
    if test.invalid:
        reason = _INVALID.format(count=test.invalid, subset="test")
        return Statistics(
            CalibrationOfModel(reason=reason),
            OperatingPoints(reason=reason),
            Abstention(reason=reason),
            Subgroups(reason=reason),
        )
    bootstrap = Bootstrap(test.lesion_ids, seed, strata=test.labels)
    temperature, reason = _temperature(validation)
    before = calibration_metrics(test.labels, test.probabilities, bootstrap, taxonomy.codes)
    probabilities, after, fit = test.probabilities, None, None
    chosen = None if validation.invalid or not len(validation.labels) else (validation.labels, validation.probabilities)
    if temperature is not None:
        scaled = scale(validation.probabilities, temperature)
        probabilities, chosen = scale(test.probabilities, temperature), (validation.labels, scaled)
        after = calibration_metrics(test.labels, probabilities, bootstrap, taxonomy.codes)
        fit = TemperatureFit(
            images=len(validation.labels),
            nll_before=log_loss(validation.labels, validation.probabilities),
            nll_after=log_loss(validation.labels, scaled),
        )
    questions = operating_points(chosen, test.labels, probabilities, bootstrap, taxonomy)
    point = questions["malignant"].point(*MALIGNANT_POINT) if taxonomy.malignant else None
    groups = subgroups(metadata, test.labels, probabilities, point and point.threshold, bootstrap, taxonomy)
    return Statistics(
        CalibrationOfModel(temperature=temperature, reason=reason, validation=fit, before=before, after=after),
        OperatingPoints(questions=questions),
        abstention(chosen, test.labels, probabilities, bootstrap),
        Subgroups(by=groups),
    )


def _temperature(validation: Judged) -> tuple[float | None, str | None]:
    """The temperature, or why there is none."""
    if validation.invalid:
        return None, _INVALID.format(count=validation.invalid, subset="validation")
    lesions = len(set(validation.lesion_ids))
    if lesions < LEAST_LESIONS:
        return None, f"The validation images are of {lesions} lesions; a temperature takes {LEAST_LESIONS}."
    temperature = fit_temperature(validation.labels, validation.probabilities)
    if temperature is None:
        return None, "No temperature from 0.05 to 20 makes the validation images most likely."
    return temperature, None
