"""The model card: metadata that a hub reads, the evaluation's metrics, and CLAIM's 44 items."""

import json
import re

import pytest
import yaml
from judged import make_world, probabilities_for, strict_json

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.reporting.checklist import AUTHORS, claim_2024
from lesionflow.reporting.model_card import render_model_card
from lesionflow.taxonomy import HAM10000

TRUTH = [label for label in HAM10000.codes for _ in range(6)]


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A function that evaluates and returns (metadata, Markdown, evaluation)."""

    def evaluate(synthetic: bool = False, predicted: list[str] | None = None, **policy):
        world = make_world(tmp_path, TRUTH, synthetic)
        answers = predicted or ["mel" if row % 9 == 0 else dx for row, dx in enumerate(TRUTH)]
        world.evaluate(monkeypatch, probabilities_for(answers), **policy)
        _, head, body = world.out("model_card").read_text(encoding="utf-8").split("---\n", 2)
        return yaml.safe_load(head), body, strict_json(world.out("evaluation"))

    return evaluate


def test_the_metadata_is_what_a_hub_expects_and_its_results_are_the_evaluations(judged):
    metadata, _, evaluation = judged()

    assert metadata["license"] == "cc-by-nc-4.0"
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("keras", "image-classification")
    assert metadata["datasets"] == ["ham10000"]
    [entry] = metadata["model-index"]
    [result] = entry["results"]
    assert result["task"]["type"] == "image-classification"
    assert {"type", "name", "split"} <= set(result["dataset"])
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert values == {
        "macro-F1": evaluation["metrics"]["averages"]["macro_f1"]["value"],
        "weighted F1": evaluation["metrics"]["averages"]["weighted_f1"]["value"],
        "balanced accuracy": evaluation["metrics"]["averages"]["balanced_accuracy"]["value"],
        "accuracy": evaluation["metrics"]["averages"]["accuracy"]["value"],
        "macro AUC": evaluation["metrics"]["averages"]["macro_auc"]["value"],
    }
    assert {metric["type"] for metric in result["metrics"]} <= set(metadata["metrics"])


def test_the_tables_hold_the_evaluations_metrics(judged):
    _, body, evaluation = judged(threshold=0.99)
    metrics = evaluation["metrics"]

    macro_f1 = metrics["averages"]["macro_f1"]
    low, high = macro_f1["interval"]
    assert f"| macro-F1 | {macro_f1['value']:.3f} | {low:.3f} to {high:.3f} |" in body
    for label in HAM10000.codes:
        entry = metrics["per_class"][label]
        cells = [str(entry["support"])]
        for name in ("precision", "recall", "f1", "auc"):
            ends = entry[name]["interval"]
            cells += [f"{entry[name]['value']:.3f}", "n/a" if ends[0] is None else "{:.3f} to {:.3f}".format(*ends)]
        assert f"| {label} | {' | '.join(cells)} |" in body
    assert evaluation["gate"]["reasons"][0] in body
    assert "**not held**" in body


def test_every_table_has_as_many_cells_in_each_row_as_in_its_head(judged):
    _, body, _ = judged()

    tables = re.findall(r"(?:^\|.*\|\n)+", body, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_what_comes_from_outside_is_text_in_the_card(judged):
    _, body, _ = judged()

    assert "`some/&lt;folder>`" in body
    assert "<folder>" not in body


def test_synthetic_data_is_announced_and_not_called_ham10000(judged):
    metadata, body, _ = judged(synthetic=True)

    assert metadata["datasets"] == ["synthetic"]
    assert body.index("Synthetic data") < body.index("Macro-F1")


def test_the_checklist_has_the_44_items_and_answers_only_what_the_run_knows(judged):
    _, body, evaluation = judged()
    known = Evaluation.parse(json.dumps(evaluation).encode(), "the evaluation")
    items = claim_2024(known, {"citation": "a | b"})

    assert [item.number for item in items] == list(range(1, 45))
    assert len({item.topic for item in items}) == 44
    answers = {item.number: item.answer for item in items}
    for unknown in (1, 3, 5, 11, 13, 16, 18, 21, 34, 41, 43, 44):
        assert answers[unknown] == AUTHORS
    assert "lesion" in answers[20]
    assert f"{evaluation['metrics']['averages']['macro_f1']['value']:.3f}" in answers[37]
    assert answers[7] == "a | b"
    assert "| 44 | " in body
    assert "a \\| b" in render_model_card(known, {"citation": "a | b"})


def test_a_card_is_written_whatever_the_model_answers(judged):
    _, body, evaluation = judged(predicted=["nv"] * len(TRUTH), threshold=0.99)

    assert evaluation["verdict"] == "failed"
    assert "**The model failed the gate.**" in body
