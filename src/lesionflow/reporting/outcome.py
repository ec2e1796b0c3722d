"""What evaluate and pool make of an evaluation: what the KFP UI shows of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lesionflow.artifacts.evaluation import AnyEvaluation, CrossValidation, Evaluation
from lesionflow.metrics.classification import Indices, Metrics, Probabilities
from lesionflow.reporting.curves import RocCurve, roc_curve
from lesionflow.runtime.files import finite, write_json

E = TypeVar("E", bound=AnyEvaluation)


@dataclass(frozen=True)
class Conclusion(Generic[E]):
    """An evaluation, and what the adapter shows of it; nothing in it is NaN or infinite."""

    evaluation: E
    headline: dict[str, float]
    labels: list[str]
    confusion_matrix: list[list[int]]
    roc: RocCurve | None
    """Of melanoma against the rest; None without such a class too."""
    facts: dict[str, object]
    rows: int
    """Images that were tested on."""

    def write_metrics(self, metrics: str | Path, classification: str | Path) -> None:
        """Write the headline metrics, and the confusion matrix with the ROC curve, as JSON."""
        write_json(metrics, self.headline)
        content = {"labels": self.labels, "confusion_matrix": self.confusion_matrix, "roc": self.roc}
        write_json(classification, content)


def conclude(evaluation: E, truth: Indices, probabilities: Probabilities) -> Conclusion[E]:
    """Gather what is shown of an evaluation.

    Args:
        evaluation: of a model, or of a cross-validation.
        truth: true class indices, shape (n,).
        probabilities: what was said of them, shape (n, classes).
    """
    measured, gate, taxonomy = evaluation.metrics, evaluation.gate, evaluation.taxonomy
    facts: dict[str, object] = {
        "verdict": evaluation.verdict,
        "macro_f1_interval": measured.macro_f1.interval,
        "metric": gate.metric,
        "threshold": gate.threshold,
        "value": gate.value,
        "reasons": gate.reasons,
        "test_images": len(truth),
    }
    match evaluation:
        case Evaluation():
            facts["synthetic"] = evaluation.data.synthetic
        case CrossValidation():
            facts |= {
                "synthetic": evaluation.data.synthetic,
                "folds": len(evaluation.folds),
                "macro_f1_of_folds": [fold.macro_f1.value for fold in evaluation.folds],
            }
        case _:
            raise TypeError(f"{type(evaluation).__name__} is no kind of evaluation that is concluded from")
    return Conclusion(
        evaluation=evaluation,
        headline={name: metric.value for name, metric in measured.averages.items() if metric.value is not None},
        labels=list(taxonomy.codes),
        confusion_matrix=[list(row) for row in measured.confusion_matrix],
        roc=roc_curve(truth, probabilities, taxonomy.index[taxonomy.melanoma]) if taxonomy.melanoma else None,
        facts=finite(facts),
        rows=len(truth),
    )


def images_digest(image_ids: Iterable[str]) -> str:
    """Which images a metric is of, whatever their order: metrics compare only on the same images."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()


def spoken_result(measured: Metrics, of_what: str) -> str:
    """The headline in one line.

    Args:
        measured: of the images.
        of_what: "2,000 test images".
    """
    value, (low, high) = measured.macro_f1.value, measured.macro_f1.interval
    if value is None or low is None or high is None:
        return f"no macro-F1, {of_what}"
    return f"macro-F1 {value:.3f} ({low:.3f} to {high:.3f}), {of_what}"
