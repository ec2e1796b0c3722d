"""What the gate must never let through, whatever the policy and the metrics."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lesionflow.metrics.classification import AVERAGES, CLASS_METRICS
from lesionflow.metrics.operating_points import TARGETS
from lesionflow.metrics.subgroups import AGE_BANDS, COLUMNS, MALIGNANT_METRICS, METRICS
from lesionflow.policy import (
    AgainstChampion,
    Average,
    Clause,
    OfCalibration,
    OfClass,
    OperatingPoint,
    Policy,
    Subgroup,
    floor,
)
from lesionflow.taxonomy import HAM10000
from lesionflow.verdict import Evidence, Verdict, judge

CALM: Any = {"suppress_health_check": [HealthCheck.too_slow], "deadline": None}
"""A whole evaluation is many draws, which a busy machine makes slowly."""

SHARES = st.floats(0, 1)
NO_NUMBERS: Any = st.sampled_from([None, math.nan, math.inf, -math.inf, "0.9", True, [], {}, 1.01, -0.5])
LIMITS = st.floats(0.001, 1)
GROUPS = [name for name, _ in AGE_BANDS]

AVERAGE_CLAUSES = st.builds(
    Average, metric=st.sampled_from(sorted(AVERAGES)), by=st.sampled_from(["value", "lower"]), at_least=LIMITS
)
CLAUSES: Any = st.one_of(
    AVERAGE_CLAUSES,
    st.builds(OfClass, label=st.sampled_from(HAM10000.codes), at_least=LIMITS),
    st.builds(
        OperatingPoint,
        metric=st.sampled_from(["sensitivity", "specificity", "ppv", "npv"]),
        at=st.sampled_from([f"{target} {least:g}" for target, least in TARGETS]),
        at_least=LIMITS,
    ),
    st.builds(OperatingPoint, metric=st.just("auc"), at=st.none(), at_least=LIMITS),
    st.builds(Subgroup, field=st.just("age"), group=st.sampled_from(GROUPS), at_least=LIMITS),
    st.builds(OfCalibration, metric=st.just("ece"), label=st.sampled_from([None, *HAM10000.codes]), at_most=LIMITS),
    st.builds(OfCalibration, metric=st.sampled_from(["brier", "nll"]), label=st.none(), at_most=LIMITS),
    st.builds(AgainstChampion, worse_by_at_most=st.floats(0, 0.5)),
)


def policies(clauses: Any = CLAUSES) -> Any:
    """A floor on an average, and any clauses after it."""
    return st.builds(lambda first, rest: Policy(clauses=(first, *rest)), AVERAGE_CLAUSES, st.lists(clauses, max_size=4))


def metrics(lowest: float = 0, highest: float = 1) -> Any:
    """A metric with an interval around it."""
    numbers = st.tuples(*[st.floats(lowest, highest)] * 3).map(sorted)
    return numbers.map(lambda ends: {"value": ends[1], "interval": [ends[0], ends[2]]})


@st.composite
def evaluations(draw: st.DrawFn) -> dict[str, Any]:
    """A sound evaluation of any model on a test set that has all classes and groups, as a file holds it."""
    calibrated = {
        **dict.fromkeys(("ece", "brier", "nll"), draw(metrics())),
        "class_ece": {label: draw(metrics()) for label in HAM10000.codes},
        "reliability": [],
    }
    rates = dict.fromkeys(("sensitivity", "specificity", "ppv", "npv"), draw(metrics()))
    group = {**draw(metrics()), "lesions": 60, "too_small": False}
    sizes = {"images": 70, "lesions": 60, "malignant_lesions": 30, "too_small": False}
    return {
        "taxonomy": HAM10000.model_dump(mode="json"),
        "metrics": {
            "averages": {name: draw(metrics()) for name in AVERAGES},
            "per_class": {
                label: {"support": draw(st.integers(1, 9))} | {name: draw(metrics()) for name in CLASS_METRICS}
                for label in HAM10000.codes
            },
            "confusion_matrix": [],
            "missing_classes": [],
            "invalid_predictions": 0,
        },
        "operating_points": {
            "reason": None,
            "questions": {
                question: {
                    "classes": [],
                    "positives": 3,
                    "negatives": 4,
                    "auc": draw(metrics()),
                    "points": [
                        {"target": target, "at_least": least, "reason": None, "test": rates}
                        for target, least in TARGETS
                    ],
                }
                for question in HAM10000.questions
            },
        },
        "subgroups": {
            "reason": None,
            "by": {
                field: {
                    "groups": [
                        {"group": name, **sizes, "metrics": dict.fromkeys((*METRICS, *MALIGNANT_METRICS), group)}
                        for name in GROUPS
                    ],
                    "reason": None,
                }
                for field in COLUMNS
            },
        },
        "calibration": {"temperature": 1.5, "reason": None, "before": None, "after": calibrated},
        "champion": {
            "status": "compared",
            "version": "v",
            "reason": None,
            "differences": {name: {**draw(metrics(-1, 1)), "p": 0.5} for name in AVERAGES},
        },
    }


def read(document: dict[str, Any]) -> Evidence:
    """What a file that says this is read as."""
    return Evidence.model_validate_json(json.dumps(document))


def judged(document: dict[str, Any], policy: Policy) -> Verdict | None:
    """The verdict on a file; None if it cannot even be read, so that nothing passes by it."""
    try:
        evidence = read(document)
    except ValidationError:
        return None
    return judge(evidence, policy)


def metric_of(evaluation: dict[str, Any], clause: Clause) -> dict[str, Any]:
    """The metric that a clause asks for: its value and interval."""
    metrics = evaluation["metrics"]
    match clause:
        case Average():
            return metrics["averages"][clause.metric]
        case OfClass():
            return metrics["per_class"][clause.label][clause.metric]
        case OperatingPoint(at=None):
            return evaluation["operating_points"]["questions"][clause.question]["auc"]
        case OperatingPoint():
            points = evaluation["operating_points"]["questions"][clause.question]["points"]
            (point,) = (p for p in points if f"{p['target']} {p['at_least']:g}" == clause.at)
            return point["test"][clause.metric]
        case Subgroup():
            groups = evaluation["subgroups"]["by"][clause.field]["groups"]
            return groups[GROUPS.index(clause.group)]["metrics"][clause.metric]
        case OfCalibration():
            after = evaluation["calibration"]["after"]
            return after["class_ece"][clause.label] if clause.label else after[clause.metric]
        case AgainstChampion():
            return evaluation["champion"]["differences"][clause.metric]


def reached(evaluation: dict[str, Any], clause: Clause) -> bool:
    """Whether a sound evaluation reaches what a clause asks for, written once more."""
    metric = metric_of(evaluation, clause)
    judged = {"value": metric["value"], "lower": metric["interval"][0], "upper": metric["interval"][1]}[clause.by]
    if isinstance(clause, OfCalibration):
        return judged <= clause.at_most
    return judged >= (-clause.worse_by_at_most if isinstance(clause, AgainstChampion) else clause.at_least)


def check_consistent(verdict: Verdict) -> None:
    assert verdict.passed == (verdict.word == "passed") == (not verdict.reasons)
    assert not verdict.passed or all(clause.held for clause in verdict.clauses)
    assert len(verdict.clauses) == len(verdict.policy.clauses)
    assert all(clause.held or clause.reason in verdict.reasons for clause in verdict.clauses)
    text = json.dumps(verdict.model_dump(mode="json"), allow_nan=False)
    assert Verdict.model_validate_json(text) == verdict


@given(evaluations(), policies())
@settings(**CALM, max_examples=80)
def test_sound_metrics_pass_exactly_if_every_clause_is_reached(evaluation, policy):
    verdict = judge(read(evaluation), policy)

    assert [clause.held for clause in verdict.clauses] == [reached(evaluation, clause) for clause in policy.clauses]
    assert verdict.passed == all(clause.held for clause in verdict.clauses)
    assert verdict.value == evaluation["metrics"]["averages"][policy.headline.metric]["value"]
    check_consistent(verdict)


@pytest.mark.slow
@given(evaluations(), CLAUSES, NO_NUMBERS, st.sampled_from(["value", "interval", "absent"]))
@settings(**CALM, max_examples=120)
def test_a_clause_whose_metric_is_no_number_or_absent_never_holds(evaluation, clause, broken, what):
    policy = Policy(clauses=(floor("accuracy", 0.001).headline, clause))
    evaluation = copy.deepcopy(evaluation)  # metrics may be shared
    metric = metric_of(evaluation, clause)
    if what == "absent":
        del metric["value"]
    elif what == "value" or clause.by == "value":
        # An error may exceed 1, a difference be negative: those are numbers there.
        metric["value"] = None if isinstance(broken, float) and math.isfinite(broken) else broken
    else:
        metric["interval"][0 if clause.by == "lower" else 1] = (
            None if isinstance(broken, float) and math.isfinite(broken) else broken
        )

    verdict = judged(evaluation, policy)

    assert verdict is not None or broken is not None
    if verdict:
        assert not verdict.clauses[1].held
        assert not verdict.passed
        check_consistent(verdict)


@given(
    evaluations(), policies(), st.sampled_from(["operating_points", "subgroups", "calibration", "champion"]), NO_NUMBERS
)
@settings(**CALM, max_examples=50)
def test_a_section_that_is_missing_or_broken_fails_the_clauses_on_it(evaluation, policy, section, broken):
    kinds = {"operating_points": "operating_point", "subgroups": "subgroup"}
    evaluation[section] = broken

    verdict = judged(evaluation, policy)

    assert verdict is not None or broken is not None
    if verdict:
        assert not any(clause.held for clause in verdict.clauses if clause.kind == kinds.get(section, section))
        check_consistent(verdict)


@given(
    evaluations(),
    policies(),
    st.sampled_from(HAM10000.codes),
    st.sampled_from([0, None, -1, math.nan, "absent", True, {}]),
)
@settings(**CALM, max_examples=50)
def test_a_class_without_test_images_never_passes(evaluation, policy, label, support):
    if support == "absent":
        del evaluation["metrics"]["per_class"][label]
    else:
        evaluation["metrics"]["per_class"][label]["support"] = support

    verdict = judged(evaluation, policy)

    assert (verdict is not None) == (support in (0, "absent") and support is not False)
    if verdict:
        assert not verdict.passed
        assert label in verdict.reasons[0]


@given(
    evaluations(),
    policies(),
    st.sampled_from(HAM10000.codes),
    st.sampled_from(["precision", "recall", "f1"]),
    NO_NUMBERS,
)
@settings(**CALM, max_examples=50)
def test_a_class_with_broken_metrics_never_passes(evaluation, policy, label, metric, broken):
    evaluation["metrics"]["per_class"][label][metric]["value"] = broken

    verdict = judged(evaluation, policy)

    assert verdict is not None or broken is not None
    assert verdict is None or not verdict.passed


@given(evaluations(), policies(), st.sampled_from([None, [], "metrics", 7, {}]), st.booleans())
@settings(**CALM, max_examples=50)
def test_metrics_of_nothing_never_pass(evaluation, policy, nothing, all_metrics):
    if all_metrics:
        evaluation["metrics"] = nothing
    else:
        evaluation["metrics"]["per_class"] = nothing

    verdict = judged(evaluation, policy)

    assert verdict is None or not verdict.passed


@given(evaluations(), policies())
@settings(**CALM, max_examples=20)
def test_predictions_that_are_not_numbers_never_pass(evaluation, policy):
    evaluation["metrics"]["invalid_predictions"] = 2

    reasons = judge(read(evaluation), policy).reasons
    assert reasons[0] == "The model gave probabilities that are not numbers for 2 images."


@given(evaluations(), CLAUSES)
@settings(**CALM, max_examples=50)
def test_an_interval_that_does_not_hold_its_metric_is_not_judged_by(evaluation, clause):
    clause = clause.model_copy(update={"by": "upper" if isinstance(clause, OfCalibration) else "lower"})
    evaluation = copy.deepcopy(evaluation)
    metric, sign = metric_of(evaluation, clause), -1 if clause.by == "upper" else 1
    metric["interval"] = sorted(metric["value"] + sign * off for off in (0.1, 0.2))

    assert not judge(read(evaluation), Policy(clauses=(floor("accuracy", 0.001).headline, clause))).clauses[1].held


@given(evaluations(), st.sampled_from(["value", "lower"]))
@settings(**CALM, max_examples=20)
def test_a_group_too_small_to_judge_counts_by_its_lower_bound_only(evaluation, by):
    clause = Subgroup(field="age", group="under 30", metric="accuracy", by=by, at_least=1e-9)
    metric = {"value": 0.9, "interval": [0.5, 0.95], "lesions": 12, "too_small": True}
    evaluation["subgroups"]["by"]["age"]["groups"][0]["metrics"]["accuracy"] = metric

    found = judge(read(evaluation), Policy(clauses=(floor("accuracy", 0.001).headline, clause))).clauses[1]

    assert found.held == (by == "lower")
    assert by == "lower" or "12 lesions, too few" in (found.reason or "")


@given(evaluations(), st.sampled_from(["under 30", "unknown"]), st.booleans())
@settings(**CALM, max_examples=20)
def test_a_group_that_no_image_is_of_fails(evaluation, group, none_at_all):
    clause = Subgroup(field="age", group=group, metric="accuracy", at_least=1e-9)
    by = evaluation["subgroups"]["by"]["age"]
    by["groups"] = [] if none_at_all else [entry for entry in by["groups"] if entry["group"] != group]
    if none_at_all:
        by["reason"] = "The metadata has no age of the test images."

    found = judge(read(evaluation), Policy(clauses=(floor("accuracy", 0.001).headline, clause))).clauses[1]

    assert not found.held
    assert ("no age" if none_at_all else f"no test image is of age {group}") in (found.reason or "")


VS_CHAMPION = Policy(
    clauses=(Average(metric="accuracy", at_least=1e-9), AgainstChampion(metric="macro_f1", worse_by_at_most=0.02))
)


@given(evaluations())
@settings(**CALM, max_examples=20)
def test_without_a_champion_there_is_nothing_to_be_worse_than(evaluation):
    evaluation["champion"] = {"status": "none", "version": None, "reason": "The registry has no champion yet."}

    found = judge(read(evaluation), VS_CHAMPION).clauses[1]

    assert (found.held, found.value) == (True, None)
    assert "no champion yet" in (found.reason or "")


@pytest.mark.parametrize(
    "section",
    [
        None,
        {},
        {"status": "none", "version": "20250131T120000Z-00000000"},
        {"status": "not compared", "version": None, "differences": {}},
        {"status": "not compared", "version": "v", "reason": "model.keras is not the file that was promoted."},
        {"status": "not compared", "version": "v", "reason": "damaged", "differences": {"macro_f1": {"value": 0.5}}},
        {"status": "compared", "version": "v", "differences": {"macro_f1": {"value": None, "interval": [None, None]}}},
        {"status": "compared", "version": "v", "differences": {"macro_f1": {"value": 2.0, "interval": [1.0, 3.0]}}},
        {"status": "compared", "version": "v", "differences": {"macro_auc": {"value": 0.5, "interval": [0.4, 0.6]}}},
        {"status": "compared", "version": "v", "differences": {"macro_f1": {"value": -0.03, "interval": [-0.1, 0.1]}}},
    ],
)
@given(evaluation=evaluations())
@settings(**CALM, max_examples=5)
def test_a_comparison_that_was_not_made_or_is_lost_never_holds(evaluation, section):
    evaluation["champion"] = section

    verdict = judged(evaluation, VS_CHAMPION)

    assert verdict is not None or not (section and "status" in section)
    if verdict:
        assert not verdict.passed
        assert not verdict.clauses[1].held
    if verdict and section and "damaged" in str(section):
        assert "damaged" in verdict.reasons[-1]


NOTHING_MORE: dict[str, Any] = {"class_ece": {}, "reliability": []}


@given(evaluations())
@settings(**CALM, max_examples=20)
def test_probabilities_are_judged_as_they_are_served(evaluation):
    policy = Policy(
        clauses=(Average(metric="accuracy", at_least=1e-9), OfCalibration(metric="ece", by="upper", at_most=0.1))
    )
    good, bad = (
        {**{name: {"value": value, "interval": [0, value]} for name in ("ece", "brier", "nll")}, **NOTHING_MORE}
        for value in (0.05, 0.3)
    )
    for temperature, before, after, held in (
        (1.5, bad, good, True),
        (1.5, good, bad, False),
        (1.5, good, None, False),
        (None, good, None, True),
        (None, bad, good, False),
    ):
        evaluation["calibration"] = {"temperature": temperature, "reason": None, "before": before, "after": after}
        assert judge(read(evaluation), policy).clauses[1].held == held, (temperature, before, after)


@given(evaluations(), CLAUSES, st.sampled_from([-1e-6, 0.0, 1e-6]))
@settings(**CALM, max_examples=80)
def test_the_limit_itself_holds_and_anything_beyond_it_does_not(evaluation, clause, beyond):
    evaluation = copy.deepcopy(evaluation)
    place = metric_of(evaluation, clause)
    sign = 1 if isinstance(clause, OfCalibration) else -1
    limit = {"OfCalibration": "at_most", "AgainstChampion": "worse_by_at_most"}.get(type(clause).__name__, "at_least")
    metric = (-1 if isinstance(clause, AgainstChampion) else 1) * getattr(clause, limit) + sign * beyond
    place |= {"value": metric, "interval": [metric, metric]}
    possible = -1 <= metric <= 1 if isinstance(clause, AgainstChampion) else 0 <= metric <= 1

    found = judge(read(evaluation), Policy(clauses=(Average(metric="accuracy", at_least=1e-9), clause))).clauses[1]

    assert found.held == (possible and beyond <= 0) or (clause.kind == "calibration" and metric > 1)
