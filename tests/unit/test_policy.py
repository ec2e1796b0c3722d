"""What a policy may say, and how a mistake in one is told."""

from pathlib import Path
from typing import get_args

import pytest

from lesionflow import policy as module
from lesionflow.errors import UserError
from lesionflow.metrics import operating_points, subgroups
from lesionflow.metrics.classification import AVERAGES, CLASS_METRICS
from lesionflow.policy import DEFAULT, AgainstChampion, OfClass, choose_policy, floor, load_policy
from lesionflow.taxonomy import HAM10000

FLOOR = "{kind: average, metric: macro_f1, at_least: 0.7}"
POLICY = f"""
clauses:
  - {FLOOR}
  - {{kind: class, class: mel, metric: recall, by: lower, at_least: 0.5}}
  - {{kind: operating_point, question: melanoma, at: specificity 0.9, metric: sensitivity, at_least: 0.7}}
  - {{kind: operating_point, question: malignant, metric: auc, at_least: 0.9}}
  - {{kind: subgroup, field: sex, group: female, metric: accuracy, at_least: 0.7}}
  - {{kind: calibration, metric: ece, by: upper, at_most: 0.05}}
  - {{kind: champion, metric: macro_f1, worse_by_at_most: 0.02}}
"""


def test_a_policy_is_read_from_a_file_and_back_from_the_parameter_it_becomes(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)

    policy = load_policy(str(tmp_path / "policy.yaml"))

    assert [clause.kind for clause in policy.clauses] == [
        "average", "class", "operating_point", "operating_point", "subgroup", "calibration", "champion"
    ]  # fmt: skip
    assert policy.clauses[1] == OfClass(label="mel", metric="recall", by="lower", at_least=0.5)
    assert policy.clauses[-1] == AgainstChampion(metric="macro_f1", worse_by_at_most=0.02)
    assert policy.compares
    assert "\n" not in policy.text()
    assert load_policy(policy.text()) == policy
    assert load_policy("default") == DEFAULT == floor("macro_f1", 0.7)
    assert not DEFAULT.compares


def test_the_example_in_the_module_is_one() -> None:
    assert len(load_policy((module.__doc__ or "").split("\n\n")[1]).clauses) == 6


def test_it_names_what_an_evaluation_gives() -> None:
    assert get_args(module.AverageMetric) == tuple(AVERAGES)
    assert get_args(module.ClassMetric) == CLASS_METRICS
    assert get_args(module.Question) == tuple(HAM10000.questions)
    assert get_args(module.Point) == tuple(f"{target} {least:g}" for target, least in operating_points.TARGETS)
    assert get_args(module.GroupField) == tuple(subgroups.COLUMNS)
    assert get_args(module.AgeBand) == (*(name for name, _ in subgroups.AGE_BANDS), subgroups.UNKNOWN)
    assert get_args(module.GroupMetric) == (*subgroups.METRICS, *subgroups.MALIGNANT_METRICS)


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ("{kind: average, metric: f1, at_least: 0.5}", "clause 2 (average), metric: .*'f1'"),
        ("{kind: class, class: '', metric: recall, at_least: 0.5}", "clause 2 (class), class: .*''"),
        ("{kind: subgroup, field: skin, group: x, metric: accuracy, at_least: 0.5}", "clause 2 (subgroup), field"),
        ("{kind: subgroup, field: age, group: young, metric: accuracy, at_least: 0.5}", "no age group 'young'"),
        ("{kind: operating_point, question: melanoma, metric: ppv, at_least: 0.5}", "needs `at`, one of specificity"),
        ("{kind: calibration, metric: brier, class: mel, at_most: 0.5}", "only ece is"),
        ("{kind: calibration, metric: ece, at_least: 0.5}", "clause 2 (calibration), at_most: Field required"),
        ("{kind: average, metric: macro_f1, at_most: 0.5}", "clause 2 (average), at_least"),
        ("{kind: average, metric: macro_f1, by: upper, at_least: 0.5}", "clause 2 (average), by"),
        ("{kind: average, metric: macro_f1, at_least: '0.5'}", "clause 2 (average), at_least"),
        ("{kind: average, metric: macro_f1, at_least: true}", "clause 2 (average), at_least"),
        ("{kind: average, metric: macro_f1, at_least: .nan}", "clause 2 (average), at_least"),
        ("{kind: average, metric: macro_f1, at_least: 0}", "clause 2 (average), at_least"),
        ("{kind: average, metric: macro_f1, at_least: 70}", "clause 2 (average), at_least"),
        ("{kind: champion, metric: recall, worse_by_at_most: 0.1}", "clause 2 (champion), metric"),
        ("{kind: champion, metric: macro_f1, worse_by_at_most: -0.1}", "clause 2 (champion), worse_by_at_most"),
        ("{kind: fairness}", "clause 2: .*'fairness'"),
        ("macro_f1", "clause 2: "),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_clause(tmp_path: Path, clause: str, says: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"clauses: [{FLOOR}, {clause}]")
    pattern = says.replace("(", r"\(").replace(")", r"\)")

    with pytest.raises(UserError, match=pattern) as raised:
        load_policy(str(file))

    assert str(raised.value).startswith(f"The policy in {file} is not valid: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{clauses: []}", "a floor on one of the averages is needed"),
        ("{clauses: [{kind: champion, metric: macro_f1, worse_by_at_most: 0.1}]}", "a floor on one of the averages"),
        ("{}", "clauses: Field required"),
        ("{clauses: [" + FLOOR + "], clause: []}", "clause: there is no such field"),
        ("{clauses: [", "not valid YAML"),
        ("nowhere.yaml", "There is no policy 'nowhere.yaml'"),
        ("", "There is no policy ''"),
        ("\n", "is not valid: policy"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_policy(text)


def test_an_unknown_metric_is_named_with_those_to_choose_from() -> None:
    with pytest.raises(UserError, match=r"'f1'.*macro_f1, weighted_f1, balanced_accuracy, accuracy, macro_auc"):
        floor("f1", 0.7)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match="above 0 and not above 1"):
        floor("macro_f1", threshold)


def test_the_short_options_are_a_policy_of_one_clause_and_exclude_the_long_one(tmp_path: Path) -> None:
    assert choose_policy(None, None, None, None) == DEFAULT
    assert choose_policy(None, None, 0.6, None) == floor("macro_f1", 0.6)
    assert choose_policy(None, "accuracy", None, 5) == floor("accuracy", 0.7)
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert choose_policy(str(tmp_path / "policy.yaml"), None, None, None) == load_policy(POLICY)
    for short in (("accuracy", None), (None, 0.5)):
        with pytest.raises(UserError, match="leave these out"):
            choose_policy(str(tmp_path / "policy.yaml"), *short, None)


def test_what_asks_for_one_model_is_refused_for_a_cross_validation(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(f"clauses: [{FLOOR}, {{kind: class, class: mel, metric: f1, at_least: 0.5}}]")
    assert len(choose_policy(str(tmp_path / "policy.yaml"), None, None, 5).clauses) == 2
    champion = "{kind: champion, metric: macro_f1, worse_by_at_most: 0.02}"
    (tmp_path / "policy.yaml").write_text(f"clauses: [{FLOOR}, {champion}]")
    with pytest.raises(UserError, match=r"Clause 2 of the policy \(champion: difference of macro-F1 to the champion\)"):
        choose_policy(str(tmp_path / "policy.yaml"), None, None, 5)
