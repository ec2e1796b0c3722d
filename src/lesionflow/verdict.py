"""Whether a model is good enough: one pure function, used by evaluate to judge and by gate to check the judgement."""

import math
from typing import Literal, NamedTuple

from lesionflow.metrics.bootstrap import Interval, Metric
from lesionflow.metrics.champion import ChampionComparison
from lesionflow.metrics.classification import ClassMetrics, Metrics
from lesionflow.metrics.statistics import CalibrationOfModel, OperatingPoints, Subgroups
from lesionflow.metrics.subgroups import MetricOfGroup
from lesionflow.policy import AgainstChampion, Average, Clause, OfCalibration, OfClass, OperatingPoint, Policy, Subgroup
from lesionflow.runtime.document import Part
from lesionflow.runtime.metric_text import format_metric
from lesionflow.taxonomy import Taxonomy

_ROUNDING = 1e-9  # a value may be off the end of its own interval by that

Word = Literal["passed", "failed"]


class Evidence(Part):
    """What a policy can ask about; None what was not measured."""

    taxonomy: Taxonomy
    metrics: Metrics
    calibration: CalibrationOfModel | None = None
    operating_points: OperatingPoints | None = None
    subgroups: Subgroups | None = None
    champion: ChampionComparison | None = None


class ClauseVerdict(Part):
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
    interval: Interval
    """Its 95 % interval, likewise."""
    held: bool
    reason: str | None
    """Why it did not hold; or a remark, if there is one."""
    text: str
    """All of it but whether it held, on one line."""


class Verdict(Part):
    """The outcome of the gate."""

    metric: str
    """Of the policy's headline; so are the next two."""
    threshold: float
    value: float | None
    """None if the metric is no number in 0..1."""
    reasons: tuple[str, ...]
    """Why the model fails, one sentence each; none if it passes."""
    clauses: tuple[ClauseVerdict, ...]
    """In the policy's order."""
    policy: Policy

    @property
    def passed(self) -> bool:
        """Whether the model is good enough."""
        return not self.reasons

    @property
    def word(self) -> Word:
        """The verdict in one word."""
        return "passed" if self.passed else "failed"


def judge(evidence: Evidence, policy: Policy) -> Verdict:
    """Pass a model if every clause holds and the metrics can be trusted.

    They cannot if any class of the taxonomy has no test image, or if a metric of a class is no number in 0..1.
    A clause whose metric is missing, broken, or at odds with its own interval does not hold.
    """
    metrics = evidence.metrics
    reasons: list[str] = []
    if metrics.invalid_predictions:
        reasons.append(f"The model gave probabilities that are not numbers for {metrics.invalid_predictions} images.")
    entries = {label: metrics.per_class.get(label, ClassMetrics(support=0)) for label in evidence.taxonomy.codes}
    empty = [label for label, entry in entries.items() if not entry.support]
    if empty:
        reasons.append(f"The test set has no images of {', '.join(empty)}.")
    broken = [
        label
        for label, entry in entries.items()
        if label not in empty
        and any(_within(metric.value, 0, 1) is None for metric in (entry.precision, entry.recall, entry.f1))
    ]
    if broken:
        reasons.append(f"The metrics of {', '.join(broken)} are not numbers in 0..1.")
    clauses = tuple(_judge_clause(evidence, clause) for clause in policy.clauses)
    reasons += [clause.reason or f"The {clause.clause} fails." for clause in clauses if not clause.held]
    headline = policy.headline
    average = metrics.averages.get(headline.metric, Metric())
    return Verdict(
        metric=headline.metric,
        threshold=headline.at_least,
        value=_within(average.value, 0, 1),
        reasons=tuple(reasons),
        clauses=clauses,
        policy=policy,
    )


class _Found(NamedTuple):
    """A metric as an evaluation gives it, unchecked."""

    metric: Metric | None
    problem: str | None = None
    """Why there is none, or why it cannot be judged by, if the evaluation says."""


class _Required(NamedTuple):
    """What a clause asks for, and what values its metric can have."""

    limit: float
    words: str
    lowest: float = 0.0
    highest: float = 1.0


def _required(clause: Clause) -> _Required:
    match clause:
        case OfCalibration():
            # A sum over the classes (Brier 1950); a mean of logarithms.
            highest = {"ece": 1.0, "brier": 2.0, "nll": math.inf}[clause.metric]
            return _Required(clause.at_most, f"at most {clause.at_most:g}", highest=highest)
        case AgainstChampion():
            return _Required(-clause.worse_by_at_most, f"worse by at most {clause.worse_by_at_most:g}", lowest=-1.0)
        case _:
            return _Required(clause.at_least, f"at least {clause.at_least:g}")


def _judge_clause(evidence: Evidence, clause: Clause) -> ClauseVerdict:
    required = _required(clause)
    if isinstance(clause, AgainstChampion) and _no_champion(evidence.champion):
        reason = "There is no champion yet, so there is nothing to be worse than."
        return _clause_verdict(clause, required, None, (None, None), True, reason)
    found = _find(evidence, clause)
    value = _within(found.metric.value, required.lowest, required.highest) if found.metric else None
    low, high = _interval(found.metric.interval, value) if found.metric else (None, None)
    judged = {"value": value, "lower": low, "upper": high}[clause.by]
    name = clause.name if clause.by == "value" else f"{clause.by} bound of the {clause.name}"
    reason = None
    if found.problem or judged is None:
        why = f": {found.problem}" if found.problem else "."
        reason = f"The evaluation gives no {name}{why}"
    elif isinstance(clause, OfCalibration) and judged > required.limit:
        reason = f"The {name} of {judged:.4f} is above the limit {required.limit:g}."
    elif not isinstance(clause, OfCalibration) and judged < required.limit:
        reason = f"The {name} of {judged:.4f} is below the threshold {required.limit:g}."
    interval = (None, None) if low is None or high is None else (low, high)
    return _clause_verdict(clause, required, value, interval, reason is None, reason)


def _clause_verdict(
    clause: Clause, required: _Required, value: float | None, interval: Interval, held: bool, reason: str | None
) -> ClauseVerdict:
    shown = format_metric(value)
    if interval[0] is not None:
        shown += f", 95 % interval {format_metric(interval[0])} to {format_metric(interval[1])}"
    asked = "asked for" if clause.by == "value" else f"asked of its {clause.by} end"
    remark = f" ({reason})" if held and reason else ""
    return ClauseVerdict(
        clause=clause.name,
        kind=clause.kind,
        by=clause.by,
        requires=required.words,
        limit=required.limit,
        value=value,
        interval=interval,
        held=held,
        reason=reason,
        text=f"{clause.name}: {shown}; {asked}: {required.words}{remark}",
    )


def _find(evidence: Evidence, clause: Clause) -> _Found:
    """The metric that a clause asks for."""
    match clause:
        case Average():
            return _Found(evidence.metrics.averages.get(clause.metric))
        case OfClass():
            entry = evidence.metrics.per_class.get(clause.label)
            return _Found(entry.metric(clause.metric) if entry else None)
        case OperatingPoint():
            return _operating_point(evidence.operating_points or OperatingPoints(), clause)
        case Subgroup():
            return _subgroup(evidence.subgroups or Subgroups(), clause)
        case OfCalibration():
            return _calibration(evidence.calibration or CalibrationOfModel(), clause)
        case AgainstChampion():
            section = evidence.champion
            return _Found(section.differences.get(clause.metric), section.reason) if section else _Found(None)


def _operating_point(section: OperatingPoints, clause: OperatingPoint) -> _Found:
    question = section.questions.get(clause.question)
    if clause.at is None:
        return _Found(question.auc if question else None, section.reason)
    target, least = clause.at.split()
    point = question.point(target, float(least)) if question else None
    if point is None:
        return _Found(None, section.reason)
    return _Found(point.test.metric(clause.metric) if point.test else None, point.reason)


def _subgroup(section: Subgroups, clause: Subgroup) -> _Found:
    grouping = section.by.get(clause.field)
    groups = grouping.groups if grouping else ()
    reason = (grouping and grouping.reason) or section.reason
    for group in groups:
        if group.group == clause.group:
            metric = group.metrics.get(clause.metric)
            return _Found(metric, _too_small(metric, clause))
    if not reason and groups:
        return _Found(None, f"no test image is of {clause.field} {clause.group}.")
    return _Found(None, reason)


def _too_small(metric: MetricOfGroup | None, clause: Subgroup) -> str | None:
    """Why a group's metric cannot be judged by, or None."""
    # The lower bound of a small group says by itself how little is known; its value does not.
    if metric is None or metric.value is None or not metric.too_small or clause.by != "value":
        return None
    return f"it rests on {metric.lesions} lesions, too few to judge by; judge `by: lower`, or test more lesions."


def _calibration(section: CalibrationOfModel, clause: OfCalibration) -> _Found:
    served = section.served
    if served is None:
        return _Found(None, section.reason)
    return _Found(
        served.class_ece.get(clause.label)
        if clause.label
        else {"ece": served.ece, "brier": served.brier, "nll": served.nll}[clause.metric]
    )


def _no_champion(section: ChampionComparison | None) -> bool:
    """Whether the evaluation says that it looked for a champion and there was none."""
    return section is not None and section.status == "none" and section.version is None


def _interval(interval: Interval, value: float | None) -> Interval:
    """The interval if it holds the value; else none."""
    low, high = interval
    if value is None or low is None or high is None or not low - _ROUNDING <= value <= high + _ROUNDING:
        return None, None
    return low, high


def _within(value: float | None, lowest: float, highest: float) -> float | None:
    """The value if it lies in lowest..highest, else None."""
    return value if value is not None and lowest <= value <= highest else None
