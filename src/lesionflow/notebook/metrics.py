"""Metrics with their intervals, as objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lesionflow.errors import UserError
from lesionflow.metrics.bootstrap import Metric
from lesionflow.metrics.classification import AVERAGES, CLASS_METRICS
from lesionflow.metrics.classification import Metrics as MeasuredMetrics
from lesionflow.metrics.classification import measure as measure_predictions
from lesionflow.notebook.markup import table
from lesionflow.runtime.metric_text import format_metric
from lesionflow.taxonomy import HAM10000


@dataclass(frozen=True)
class Estimate:
    """A metric and how sure one can be of it."""

    value: float | None
    """None where it is undefined: a class without images, say."""
    interval: tuple[float, float] | tuple[None, None]
    """Its 95 % interval, by a bootstrap over lesions."""

    @classmethod
    def of(cls, metric: Metric) -> "Estimate":
        """A metric of an evaluation."""
        return cls(metric.value, metric.interval)

    def __float__(self) -> float:
        return float("nan") if self.value is None else self.value

    def __repr__(self) -> str:
        low, high = self.interval
        return format_metric(self.value) + ("" if low is None else f" ({format_metric(low)} to {format_metric(high)})")


@dataclass(frozen=True)
class ClassEstimates:
    """What is known of one class."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    auc: Estimate
    """Of this class against the rest."""
    support: int
    """Its images."""


@dataclass(frozen=True)
class Metrics:
    """Averages over the classes, each class by itself, and the confusion matrix."""

    averages: dict[str, Estimate]
    """Each is an attribute too: `metrics.macro_f1`."""
    per_class: dict[str, ClassEstimates]
    confusion_matrix: pd.DataFrame
    """Counts; row: true class, column: predicted class."""

    def __getattr__(self, name: str) -> Estimate:
        if name not in AVERAGES:
            raise AttributeError(f"there is no metric {name!r}; the averages are {', '.join(AVERAGES)}")
        return self.averages[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *AVERAGES]

    def __repr__(self) -> str:
        return "Metrics(" + ", ".join(f"{AVERAGES[name]} {found}" for name, found in self.averages.items()) + ")"

    def _repr_html_(self) -> str:
        averages = [(AVERAGES[name], found) for name, found in self.averages.items()]
        classes = [
            (label, *(getattr(each, name) for name in CLASS_METRICS), f"{each.support:,}")
            for label, each in self.per_class.items()
        ]
        return table(("metric", "value, 95 % interval"), averages) + table(("class", *CLASS_METRICS, "images"), classes)


def metrics_of(measured: MeasuredMetrics) -> Metrics:
    """What the evaluation measures, as a notebook shows it."""
    per_class = {
        label: ClassEstimates(
            **{name: Estimate.of(entry.metric(name)) for name in CLASS_METRICS},
            support=entry.support,
        )
        for label, entry in measured.per_class.items()
    }
    averages = {name: Estimate.of(metric) for name, metric in measured.averages.items()}
    labels = list(per_class)
    matrix = pd.DataFrame(measured.confusion_matrix, index=labels, columns=labels).rename_axis(
        index="true", columns="predicted"
    )
    return Metrics(averages, per_class=per_class, confusion_matrix=matrix)


def measure(
    y: Sequence[str],
    p: ArrayLike | pd.DataFrame,
    groups: Sequence[str] | None = None,
    *,
    classes: Sequence[str] = HAM10000.codes,
    seed: int = 0,
) -> Metrics:
    """Measure any predictions, of any program, as the evaluation does: with intervals over lesions.

    Args:
        y: true classes, length n.
        p: probabilities, shape (n, classes): an array with columns in the order of the classes, or a table with the
            classes' names, or `p_` and the names, among its columns.
        groups: lesion or patient of each image, length n; None if each image is of another one.
        classes: their names, in the order of the columns.
        seed: of the resampling.

    Raises:
        UserError: lengths or classes do not fit each other.
    """
    if isinstance(p, pd.DataFrame):
        missing = [label for label in classes if label not in p and f"p_{label}" not in p]
        if missing:
            raise UserError(f"The probabilities have no column {', '.join(missing)}; they have {', '.join(p.columns)}.")
        p = p[[label if label in p else f"p_{label}" for label in classes]]
    probabilities = np.asarray(p, np.float64)
    if unknown := sorted(set(y) - set(classes)):
        raise UserError(f"There is no class {unknown[0]!r}; expected the classes {', '.join(classes)}.")
    ids = list(map(str, range(len(y)))) if groups is None else list(map(str, groups))
    if not len(y) or probabilities.shape != (len(y), len(classes)) or len(ids) != len(y):
        raise UserError(
            f"{len(y)} classes, probabilities of shape {probabilities.shape} and {len(ids)} groups do not fit each "
            f"other; expected n, (n, {len(classes)}) and n, n above 0."
        )
    index = {label: number for number, label in enumerate(classes)}
    labels = np.array([index[label] for label in y])
    return metrics_of(measure_predictions(labels, probabilities, ids, seed, classes))
