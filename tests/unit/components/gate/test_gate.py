"""The gate reads what evaluate wrote and trusts no word of it."""

import json

import pytest
from judged import write_evaluation

from lesionflow.components.gate.gate import gate
from lesionflow.errors import GateRefused, UserError


@pytest.fixture
def progress(tmp_path, monkeypatch):
    """Reads the events that were reported."""
    folder = tmp_path / "progress"
    folder.mkdir()
    monkeypatch.setenv("LESIONFLOW_PROGRESS", str(folder))
    return lambda: [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]


def test_a_good_model_passes(tmp_path, progress):
    write_evaluation(tmp_path / "evaluation", hits=9, misses=1)

    assert gate(tmp_path / "evaluation") == "passed"
    assert progress()[0]["text"].startswith("passed: ")


def test_a_weak_model_is_refused_with_the_reason(tmp_path, progress):
    write_evaluation(tmp_path / "evaluation", hits=6, misses=4)

    with pytest.raises(GateRefused, match=r"macro-F1 of 0\.6000 is below the threshold 0\.7\."):
        gate(tmp_path / "evaluation")
    assert progress()[0]["text"].startswith("refused: ")


def test_the_same_model_passes_a_lower_threshold(tmp_path):
    write_evaluation(tmp_path / "evaluation", hits=6, misses=4, threshold=0.6)

    assert gate(tmp_path / "evaluation") == "passed"


@pytest.mark.parametrize(
    "edit",
    [
        {"verdict": "passed"},
        {"verdict": "passed", "gate": {"metric": "macro_f1", "threshold": 0.7, "value": 0.95, "reasons": []}},
        {"verdict": "passed", "gate": {"metric": "macro_f1", "threshold": 0.1, "value": 0.95, "reasons": []}},
        {"verdict": "passed", "metrics": {"averages": {"macro_f1": {"value": 0.95, "interval": [0.9, 1.0]}}}},
        {"verdict": "passed", "metrics": {}},
        {"verdict": "passed", "metrics": None},
        {"verdict": "passed", "gate": None},
        {"verdict": "passed", "gate": {"metric": "macro_f1", "threshold": "0.1", "value": 0.6, "reasons": []}},
        {"verdict": "passed", "gate": {"metric": "macro_f1", "threshold": 0, "value": 0.6, "reasons": []}},
        {"verdict": "passed", "gate": {"metric": ["macro_f1"], "threshold": 0.1, "value": 0.6, "reasons": []}},
    ],
)
def test_an_edited_evaluation_of_a_weak_model_never_passes(tmp_path, edit):
    document = write_evaluation(tmp_path / "evaluation", hits=6, misses=4)
    (tmp_path / "evaluation").write_text(json.dumps(document | edit))

    with pytest.raises((UserError, GateRefused)):
        gate(tmp_path / "evaluation")


@pytest.mark.parametrize("hits", [9, 6])
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("value",), 0.95),
        (("value",), None),
        (("threshold",), 0.1),
        (("reasons",), ["It is good."]),
        (("clauses",), []),
        (("clauses", 0, "held"), "yes"),
        (("clauses", 0, "value"), 0.95),
        (("clauses", 0, "limit"), 0.1),
        (("policy", "clauses", 0, "at_least"), 0.1),
        (("policy", "clauses", 0, "at_least"), "0.7"),
        (("policy", "clauses"), []),
        (("policy",), None),
        (("policy",), "default"),
    ],
)
def test_a_gate_section_that_does_not_follow_from_policy_and_metrics_never_passes(tmp_path, hits, place, value):
    document = write_evaluation(tmp_path / "evaluation", hits, 10 - hits)
    *path, last = place
    part = document["gate"]
    for key in path:
        part = part[key]
    part[last] = value
    (tmp_path / "evaluation").write_text(json.dumps(document | {"verdict": "passed"}))

    with pytest.raises(UserError, match="evaluation"):
        gate(tmp_path / "evaluation")


@pytest.mark.parametrize("content", ["", "[]", "{}", '"passed"', '{"verdict": "passed"', "\xff\xfe", "null"])
def test_a_damaged_evaluation_is_a_user_error(tmp_path, content):
    (tmp_path / "evaluation").write_bytes(content.encode("latin-1"))

    with pytest.raises(UserError, match="evaluation"):
        gate(tmp_path / "evaluation")


def test_nan_in_an_evaluation_is_a_user_error(tmp_path):
    document = write_evaluation(tmp_path / "evaluation", hits=9, misses=1)
    document["metrics"]["per_class"]["df"]["f1"]["value"] = float("nan")
    (tmp_path / "evaluation").write_text(json.dumps(document))

    with pytest.raises(UserError, match="NaN"):
        gate(tmp_path / "evaluation")


def test_a_missing_evaluation_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        gate(tmp_path / "nowhere")
