"""Whether a model is good enough: one pure function, used by evaluate to judge and by gate to check the judgement."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lesionflow.metrics.classification import format_metric
from lesionflow.policy import AgainstChampion, Average, Clause, OfCalibration, OfClass, OperatingPoint, Policy, Subgroup

_ROUNDING = 1e-9  # a value may be off the end of its own interval by that


@dataclass(frozen=True)
class ClauseVerdict:
    """What became of one clause."""

    clause: str
    """What it judges, in words: "recall of mel"."""
    kind: str
    by: Literal["value", "lower", "upper"]
    requires: str
    """In words: "at least 0.7"."""
    limit: float
    value: float | None
    """The metric; None if the evaluation gives none that can be used."""
    interval: tuple[float, float] | tuple[None, None]
    """Its 95 % interval, likewise."""
    held: bool
    reason: str | None
    """Why it did not hold; or a remark, if there is one."""

    @property
    def text(self) -> str:
        """All of it but whether it held, on one line."""
        metric = format_metric(self.value)
        if self.interval[0] is not None:
            low, high = map(format_metric, self.interval)
            metric += f", 95 % interval {low} to {high}"
        asked = "asked for" if self.by == "value" else f"asked of its {self.by} end"
        remark = f" ({self.reason})" if self.held and self.reason else ""
        return f"{self.clause}: {metric}; {asked}: {self.requires}{remark}"


@dataclass(frozen=True)
class Verdict:
    """The outcome of the gate."""

    policy: Policy
    clauses: tuple[ClauseVerdict, ...]
    """In the policy's order."""
    value: float | None
    """Of the policy's headline, if it is a finite number."""
    reasons: tuple[str, ...]
    """Why the model fails, one sentence each; none if it passes."""

    @property
    def verdict(self) -> Literal["passed", "failed"]:
        """The verdict in one word."""
        return "failed" if self.reasons else "passed"

    @property
    def metric(self) -> str:
        """The metric of the policy's headline."""
        return self.policy.headline.metric

    @property
    def threshold(self) -> float:
        """The limit of the policy's headline."""
        return self.policy.headline.at_least

    def section(self) -> dict[str, Any]:
        """The part `gate` of an evaluation: metric, threshold and value of the headline, reasons, clauses, policy."""
        return {
            "metric": self.metric,
            "threshold": self.threshold,
            "value": self.value,
            "reasons": list(self.reasons),
            "clauses": [
                {**asdict(clause), "interval": list(clause.interval), "text": clause.text} for clause in self.clauses
            ],
            "policy": self.policy.model_dump(mode="json"),
        }


def judge(evaluation: Mapping[str, Any], policy: Policy) -> Verdict:
    """Pass a model if every clause holds and the metrics can be trusted.

    They cannot if any class of the taxonomy has no test image, or if a metric of a class is no number in 0..1.
    A clause whose metric is missing, broken, or at odds with its own interval does not hold.

    Args:
        evaluation: with `taxonomy`, `metrics`, and the other sections that clauses ask for; possibly read from a file.
        policy: what to judge by.
    """
    metrics = _mapping(evaluation.get("metrics"))
    reasons: list[str] = []
    if invalid := metrics.get("invalid_predictions"):
        reasons.append(f"The model gave probabilities that are not numbers for {invalid} images.")
    codes = _codes(evaluation)
    if not codes:
        reasons.append("The evaluation does not say which classes there are.")
    entries = {label: _mapping(_mapping(metrics.get("per_class")).get(label)) for label in codes}
    empty = [label for label, entry in entries.items() if not _is_count(entry.get("support"))]
    if empty:
        reasons.append(f"The test set has no images of {', '.join(empty)}.")
    broken = [
        label
        for label, entry in entries.items()
        if label not in empty
        and any(_number(entry.get(metric), 0, 1) is None for metric in ("precision", "recall", "f1"))
    ]
    if broken:
        reasons.append(f"The metrics of {', '.join(broken)} are not numbers in 0..1.")
    clauses = tuple(_judge_clause(evaluation, clause) for clause in policy.clauses)
    reasons += [clause.reason or f"The {clause.clause} fails." for clause in clauses if not clause.held]
    return Verdict(policy, clauses, _number(metrics.get(policy.headline.metric), 0, 1), tuple(reasons))


@dataclass(frozen=True)
class _Found:
    """A metric as an evaluation gives it, unchecked."""

    value: Any = None
    interval: Any = None
    problem: str | None = None
    """Why there is none, or why it cannot be judged by, if the evaluation says."""


def _judge_clause(evaluation: Mapping[str, Any], clause: Clause) -> ClauseVerdict:
    lowest, highest = 0.0, 1.0
    match clause:
        case OfCalibration():
            # A sum over the classes (Brier 1950); a mean of logarithms.
            highest = {"ece": 1.0, "brier": 2.0, "nll": math.inf}[clause.metric]
            limit, requires = clause.at_most, f"at most {clause.at_most:g}"
        case AgainstChampion():
            lowest, limit = -1.0, -clause.worse_by_at_most
            requires = f"worse by at most {clause.worse_by_at_most:g}"
        case _:
            limit, requires = clause.at_least, f"at least {clause.at_least:g}"
    if isinstance(clause, AgainstChampion) and _no_champion(evaluation):
        reason = "There is no champion yet, so there is nothing to be worse than."
        return ClauseVerdict(clause.name, clause.kind, clause.by, requires, limit, None, (None, None), True, reason)
    found = _find(evaluation, clause)
    value = _number(found.value, lowest, highest)
    low, high = _interval(found.interval, value, clause)
    judged = {"value": value, "lower": low, "upper": high}[clause.by]
    name = clause.name if clause.by == "value" else f"{clause.by} bound of the {clause.name}"
    reason = None
    if found.problem or judged is None:
        why = f": {found.problem}" if found.problem else "."
        reason = f"The evaluation gives no {name}{why}"
    elif isinstance(clause, OfCalibration) and judged > limit:
        reason = f"The {name} of {judged:.4f} is above the limit {limit:g}."
    elif not isinstance(clause, OfCalibration) and judged < limit:
        reason = f"The {name} of {judged:.4f} is below the threshold {limit:g}."
    interval = (None, None) if low is None or high is None else (low, high)
    return ClauseVerdict(clause.name, clause.kind, clause.by, requires, limit, value, interval, reason is None, reason)


def _find(evaluation: Mapping[str, Any], clause: Clause) -> _Found:
    """The metric that a clause asks for."""
    metrics = _mapping(evaluation.get("metrics"))
    match clause:
        case Average():
            return _Found(metrics.get(clause.metric), _mapping(metrics.get("intervals")).get(clause.metric))
        case OfClass():
            entry = _mapping(_mapping(metrics.get("per_class")).get(clause.label))
            return _Found(entry.get(clause.metric), entry.get(f"{clause.metric}_interval"))
        case OperatingPoint():
            return _operating_point(_mapping(evaluation.get("operating_points")), clause)
        case Subgroup():
            return _subgroup(_mapping(evaluation.get("subgroups")), clause)
        case OfCalibration():
            return _calibration(_mapping(evaluation.get("calibration")), clause)
        case AgainstChampion():
            section = _mapping(evaluation.get("champion"))
            return _metric(section, _mapping(section.get("differences")).get(clause.metric))


def _operating_point(section: Mapping[str, Any], clause: OperatingPoint) -> _Found:
    question = _mapping(_mapping(section.get("questions")).get(clause.question))
    if clause.at is None:
        return _metric(section, question.get("auc"))
    target, least = clause.at.split()
    points = question.get("points")
    for point in map(_mapping, points if isinstance(points, list | tuple) else ()):
        if point.get("target") == target and point.get("at_least") == float(least):
            return _metric(point, _mapping(point.get("test")).get(clause.metric))
    return _metric(section, None)


def _subgroup(section: Mapping[str, Any], clause: Subgroup) -> _Found:
    by = _mapping(_mapping(section.get("by")).get(clause.field))
    groups = by.get("groups")
    for group in map(_mapping, groups if isinstance(groups, list | tuple) else ()):
        if group.get("group") == clause.group:
            metric = _mapping(_mapping(group.get("metrics")).get(clause.metric))
            found = _metric({}, metric)
            # The lower bound of a small group says by itself how little is known; its value does not.
            if clause.by == "value" and found.value is not None and metric.get("too_small") is not False:
                lesions = metric.get("lesions")
                return _Found(
                    found.value,
                    found.interval,
                    f"it rests on {lesions} lesions, too few to judge by; judge `by: lower`, or test more lesions.",
                )
            return found
    if not section.get("reason") and not by.get("reason") and groups:
        return _Found(problem=f"no test image is of {clause.field} {clause.group}.")
    return _metric(by if by.get("reason") else section, None)


def _calibration(section: Mapping[str, Any], clause: OfCalibration) -> _Found:
    served = _mapping(section.get("before" if section.get("temperature") is None else "after"))
    metric = _mapping(served.get("class_ece")).get(clause.label) if clause.label else served.get(clause.metric)
    return _metric({} if served else section, metric)


def _metric(section: Mapping[str, Any], metric: Any) -> _Found:
    """A `Metric`, or the reason that its section gives for having none."""
    reason = section.get("reason")
    found = _mapping(metric)
    return _Found(found.get("value"), found.get("interval"), reason if isinstance(reason, str) else None)


def _no_champion(evaluation: Mapping[str, Any]) -> bool:
    """Whether the evaluation says that it looked for a champion and there was none."""
    section = evaluation.get("champion")
    return isinstance(section, Mapping) and section.get("status") == "none" and section.get("version", "") is None


def _interval(interval: Any, value: float | None, clause: Clause) -> tuple[float | None, float | None]:
    """Both ends if they are numbers around the value; else none."""
    if value is None or not isinstance(interval, list | tuple) or len(interval) != 2:
        return None, None
    low, high = (_number(end, -math.inf, math.inf) for end in interval)
    if low is None or high is None or not low - _ROUNDING <= value <= high + _ROUNDING:
        return None, None
    return low, high


def _codes(evaluation: Mapping[str, Any]) -> list[str]:
    """The classes by the evaluation's own taxonomy; none if it has no usable one."""
    classes = _mapping(evaluation.get("taxonomy")).get("classes")
    found = [_mapping(each).get("code") for each in classes] if isinstance(classes, list | tuple) else []
    return [code for code in found if isinstance(code, str)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _number(value: Any, lowest: float, highest: float) -> float | None:
    """The value if it is a finite number in lowest..highest (which NaN is not, nor JSON's true), else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) and lowest <= value <= highest else None
