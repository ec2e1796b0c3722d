"""What evaluate and pool make of their metrics: the verdict, and what the KFP UI shows."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lesionflow.metrics.classification import AVERAGES, Indices, Probabilities
from lesionflow.policy import Policy
from lesionflow.reporting.curves import RocCurve, roc_curve
from lesionflow.runtime.files import finite, write_json
from lesionflow.taxonomy import Taxonomy
from lesionflow.verdict import judge


@dataclass(frozen=True)
class Outcome:
    """A judged document, and what the adapter shows of it; nothing in it is NaN or infinite."""

    document: dict[str, Any]
    """The evaluation with `verdict` and `gate`, first of all."""
    headline: dict[str, float]
    labels: list[str]
    confusion_matrix: list[list[int]]
    roc: RocCurve | None
    """Of melanoma against the rest; None without such a class too."""
    facts: dict[str, Any]
    rows: int
    """Images judged."""

    def write_metrics(self, metrics: str | Path, classification: str | Path) -> None:
        """Write the headline metrics, and the confusion matrix with the ROC curve, as JSON."""
        write_json(metrics, self.headline)
        content = {"labels": self.labels, "confusion_matrix": self.confusion_matrix, "roc": self.roc}
        write_json(classification, content)


def conclude(
    evaluation: Mapping[str, Any],
    policy: Policy,
    taxonomy: Taxonomy,
    truth: Indices,
    probabilities: Probabilities,
    more_facts: Mapping[str, Any] | None = None,
) -> Outcome:
    """Judge an evaluation by a policy.

    Args:
        evaluation: everything measured, with `taxonomy`, and `metrics` from `measure`.
        policy: what the gate judges by.
        taxonomy: of the classes.
        truth: true class indices, shape (n,).
        probabilities: what was said of them, shape (n, classes).
        more_facts: to show beside those that every evaluation has.
    """
    measured = evaluation["metrics"]
    content: dict[str, Any] = finite(dict(evaluation))
    verdict = judge(content, policy)
    document: dict[str, Any] = {"verdict": verdict.verdict, "gate": finite(verdict.section()), **content}
    facts = {
        "verdict": verdict.verdict,
        "macro_f1_interval": measured["macro_f1_interval"],
        **{name: document["gate"][name] for name in ("metric", "threshold", "value", "reasons")},
        "test_images": len(truth),
        "synthetic": document["data"]["synthetic"],
        **(more_facts or {}),
    }
    return Outcome(
        document=document,
        headline={name: float(measured[name]) for name in AVERAGES if measured[name] is not None},
        labels=list(taxonomy.codes),
        confusion_matrix=measured["confusion_matrix"],
        roc=roc_curve(truth, probabilities, taxonomy.index[taxonomy.melanoma]) if taxonomy.melanoma else None,
        facts=finite(facts),
        rows=len(truth),
    )


def images_digest(image_ids: Iterable[str]) -> str:
    """Which images a metric is of, whatever their order: metrics compare only on the same images."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()


def spoken_result(measured: Mapping[str, Any], of_what: str) -> str:
    """The headline in one line.

    Args:
        measured: from `measure`.
        of_what: "2,000 test images".
    """
    if measured["macro_f1"] is None:
        return f"no macro-F1, {of_what}"
    low, high = measured["macro_f1_interval"]
    return f"macro-F1 {measured['macro_f1']:.3f} ({low:.3f} to {high:.3f}), {of_what}"
