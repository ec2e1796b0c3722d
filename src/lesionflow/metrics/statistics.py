"""Everything beyond the point metrics that an evaluation says: one set of draws for all of it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lesionflow.metrics.bootstrap import Bootstrap
from lesionflow.metrics.calibration import calibration_metrics, fit_temperature, log_loss, scale
from lesionflow.metrics.classification import Indices, Probabilities, predicted_classes
from lesionflow.metrics.operating_points import operating_points
from lesionflow.metrics.selective_prediction import abstention
from lesionflow.metrics.subgroups import subgroups
from lesionflow.taxonomy import Taxonomy

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


def statistics(
    test: Judged, validation: Judged, metadata: pd.DataFrame, seed: int, taxonomy: Taxonomy
) -> dict[str, Any]:
    """Calibration, operating points, abstention and subgroups of the test images.

    Temperature and thresholds are chosen on the validation images. Where there is a temperature, everything but
    `calibration.before` is about the scaled probabilities, which are the ones that an exported model gives.

    Args:
        test: the test images, at least one.
        validation: the validation images.
        metadata: the columns of the images artifact, one row per test image, in their order.
        seed: of the bootstrap.
        taxonomy: of the classes; without malignant ones there are no operating points.

    Returns:
        `calibration`, `operating_points`, `abstention` and `subgroups`, ready for JSON once `files.finite` has
        been over it. Where a part cannot be computed, its `reason` is a sentence and its metrics are None.
    """
    if test.invalid:
        reason = _INVALID.format(count=test.invalid, subset="test")
        return {
            "calibration": _calibration(None, reason),
            "operating_points": {"reason": reason, "questions": {}},
            "abstention": {"threshold": None, "reason": reason},
            "subgroups": {"reason": reason, "by": {}},
        }
    bootstrap = Bootstrap(test.lesion_ids, seed, strata=test.labels)
    temperature, reason = _temperature(validation)
    before = calibration_metrics(test.labels, test.probabilities, bootstrap, taxonomy.codes)
    calibration = _calibration(temperature, reason) | {"before": before}
    probabilities = test.probabilities
    chosen = None if validation.invalid or not len(validation.labels) else (validation.labels, validation.probabilities)
    if temperature is not None:
        scaled = scale(validation.probabilities, temperature)
        probabilities, chosen = scale(test.probabilities, temperature), (validation.labels, scaled)
        calibration["after"] = calibration_metrics(test.labels, probabilities, bootstrap, taxonomy.codes)
        calibration["validation"] = {
            "images": len(validation.labels),
            "nll_before": log_loss(validation.labels, validation.probabilities),
            "nll_after": log_loss(validation.labels, scaled),
        }
    questions = operating_points(chosen, test.labels, probabilities, bootstrap, taxonomy)
    points = questions["malignant"]["points"] if taxonomy.malignant else []
    thresholds = {(point["target"], point["at_least"]): point["threshold"] for point in points}
    groups = subgroups(metadata, test.labels, probabilities, thresholds.get(MALIGNANT_POINT), bootstrap, taxonomy)
    return {
        "calibration": calibration,
        "operating_points": {"reason": None, "questions": questions},
        "abstention": abstention(chosen, test.labels, probabilities, bootstrap),
        "subgroups": {"reason": None, "by": groups},
    }


def _calibration(temperature: float | None, reason: str | None) -> dict[str, Any]:
    return {"temperature": temperature, "reason": reason, "validation": None, "before": None, "after": None}


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
