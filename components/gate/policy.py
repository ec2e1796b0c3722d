"""When a model is good enough: one pure function, used by evaluate to judge and by gate to check the judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components.common.errors import UserError
from components.common.metrics import AVERAGES
from components.common.taxonomy import LABELS


@dataclass(frozen=True)
class Verdict:
    """The outcome of the gate."""

    metric: str
    threshold: float
    value: float | None
    """The metric's value, if it is a finite number."""
    reasons: tuple[str, ...]
    """Why the model fails, one sentence each; none if it passes."""

    @property
    def verdict(self) -> Literal["passed", "failed"]:
        """The verdict in one word."""
        return "failed" if self.reasons else "passed"


def check_policy(gate_metric: str, threshold: float) -> None:
    """Refuse a policy by which nothing can be judged.

    Raises:
        UserError: there is no such metric, or the threshold is not in (0, 1].
    """
    if gate_metric not in AVERAGES:
        raise UserError(f"The gate cannot judge by {gate_metric!r}; choose one of {', '.join(AVERAGES)}.")
    if not 0 < threshold <= 1:
        raise UserError(f"The gate's threshold must lie above 0 and not above 1, received {threshold}.")


def judge(metrics: Mapping[str, Any], gate_metric: str, threshold: float) -> Verdict:
    """Pass a model if `gate_metric` reaches `threshold` and the figures can be trusted.

    They cannot if the metric is missing or no number in 0..1, if any of the seven classes has no
    test image, or if a figure of a class is no number in 0..1.

    Args:
        metrics: what `classification_metrics` returned, possibly read back from a file.
        gate_metric: a key of AVERAGES.
        threshold: in (0, 1].

    Raises:
        UserError: see `check_policy`.
    """
    check_policy(gate_metric, threshold)
    name = AVERAGES[gate_metric]
    reasons: list[str] = []
    if invalid := metrics.get("invalid_predictions"):
        reasons.append(f"The model gave probabilities that are not numbers for {invalid} images.")
    per_class: Any = metrics.get("per_class")
    entries = {label: _mapping(_mapping(per_class).get(label)) for label in LABELS}
    empty = [label for label, entry in entries.items() if not _is_count(entry.get("support"))]
    if empty:
        reasons.append(f"The test set has no images of {', '.join(empty)}.")
    broken = [
        label
        for label, entry in entries.items()
        if label not in empty and any(_share(entry.get(figure)) is None for figure in ("precision", "recall", "f1"))
    ]
    if broken:
        reasons.append(f"The figures of {', '.join(broken)} are not numbers in 0..1.")
    value = _share(metrics.get(gate_metric))
    if value is None:
        reasons.append(f"The evaluation gives no {name}.")
    elif value < threshold:
        reasons.append(f"The {name} of {value:.4f} is below the threshold {threshold:g}.")
    return Verdict(gate_metric, threshold, value, tuple(reasons))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _share(value: Any) -> float | None:
    """The value if it is a number in 0..1 (which NaN is not, nor JSON's true), else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= 1 else None
