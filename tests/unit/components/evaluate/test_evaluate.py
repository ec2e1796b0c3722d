"""What evaluate writes, and that it is valid whatever the model answers."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from judged import OUTPUTS, make_world, probabilities_for, strict_json

from lesionflow.artifacts.table import write_table
from lesionflow.components.gate.gate import gate
from lesionflow.errors import GateRefused, UserError
from lesionflow.taxonomy import HAM10000

TRUTH = [label for label in HAM10000.codes for _ in range(6)]


def _answers(wrong: dict[int, str]) -> np.ndarray:
    return probabilities_for([wrong.get(row, dx) for row, dx in enumerate(TRUTH)])


def test_a_good_model_is_evaluated_judged_and_described(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)

    result = world.evaluate(monkeypatch, _answers({0: "mel", 7: "nv"}), seed=4)

    document = strict_json(world.out("evaluation"))
    assert document["verdict"] == "passed"
    value, interval = (
        document["metrics"]["averages"]["macro_f1"]["value"],
        document["metrics"]["averages"]["macro_f1"]["interval"],
    )
    clause = {
        "clause": "macro-F1", "kind": "average", "by": "value", "requires": "at least 0.7", "limit": 0.7,
        "value": value, "interval": interval, "held": True, "reason": None,
        "text": f"macro-F1: {value:.3f}, 95 % interval {interval[0]:.3f} to {interval[1]:.3f}; asked for: at least 0.7",
    }  # fmt: skip
    assert document["gate"] == {
        "metric": "macro_f1", "threshold": 0.7, "value": value, "reasons": [], "clauses": [clause],
        "policy": {"clauses": [{"kind": "average", "metric": "macro_f1", "by": "value", "at_least": 0.7}]},
    }  # fmt: skip
    assert document["champion"] is None
    assert document["metrics"]["averages"]["accuracy"]["value"] == pytest.approx(40 / 42)
    low, high = document["metrics"]["averages"]["macro_f1"]["interval"]
    assert low < document["metrics"]["averages"]["macro_f1"]["value"] < high
    assert document["data"]["counts"]["test"] == dict.fromkeys(HAM10000.codes, 6)
    assert document["data"]["counts"]["train"] == dict.fromkeys(HAM10000.codes, 4)
    assert document["data"]["fingerprint"] == "f1n9e2"
    assert document["training"]["recipe"]["name"] == "tiny-test"
    assert document["seed"] == 4
    assert document["artifacts"] == {
        **world.inputs(), **{name: str(world.out(name)) for name in ("report", "scores", "model_card", "evaluation")}
    }  # fmt: skip
    assert result.headline["macro_f1"] == document["metrics"]["averages"]["macro_f1"]["value"]
    assert gate(world.out("evaluation")) == "passed"


def test_a_model_below_the_threshold_fails_the_gate(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)

    world.evaluate(monkeypatch, _answers({0: "mel"}), threshold=0.99)

    assert strict_json(world.out("evaluation"))["verdict"] == "failed"
    with pytest.raises(GateRefused, match=r"below the threshold 0\.99"):
        gate(world.out("evaluation"))


def test_the_scores_table_has_a_row_per_test_image(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)
    answers = _answers({3: "bcc"})

    world.evaluate(monkeypatch, answers)

    scores = pd.read_parquet(world.out("scores"))
    assert list(scores.columns) == [
        "image_id",
        "lesion_id",
        "dx",
        "predicted",
        *(f"p_{label}" for label in HAM10000.codes),
    ]
    assert scores["image_id"].tolist() == world.test["image_id"].tolist()
    assert scores["predicted"][3] == "bcc"
    assert np.array_equal(scores[[f"p_{label}" for label in HAM10000.codes]].to_numpy(), answers)


@pytest.mark.parametrize(
    ("truth", "break_it"),
    [
        (TRUTH, lambda p: np.full_like(p, np.nan)),
        (TRUTH, lambda p: np.where(np.arange(len(p))[:, None] == 5, np.nan, p).astype(np.float32)),
        (TRUTH, lambda p: np.full_like(p, 1 / 7)),
        (TRUTH, lambda p: np.full_like(p, np.inf)),
        (["mel"] * 4, lambda p: p),
        (["mel"], lambda p: np.full_like(p, np.nan)),
        ([label for label in HAM10000.codes if label != "mel"], lambda p: p),
    ],
    ids=["all NaN", "one NaN", "constant", "infinite", "one class", "one image, NaN", "no melanoma"],
)
def test_everything_is_strict_json_and_nothing_passes_whatever_the_model_answers(
    tmp_path, monkeypatch, truth, break_it
):
    world = make_world(tmp_path, truth)

    result = world.evaluate(monkeypatch, break_it(probabilities_for(truth)), threshold=0.2)

    document = strict_json(world.out("evaluation"))
    strict_json(world.out("metrics"))
    strict_json(world.out("classification"))
    assert all(world.out(name).stat().st_size for name in OUTPUTS)
    json.dumps([result.headline, result.confusion_matrix, result.roc, result.facts], allow_nan=False)
    assert document["verdict"] == "failed"
    assert len(document["metrics"]["averages"]["macro_f1"]["interval"]) == 2
    assert "failed" in world.out("report").read_text()
    with pytest.raises(GateRefused):
        gate(world.out("evaluation"))


def test_roc_thresholds_are_finite_and_few(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH * 20)
    random = np.random.default_rng(0)
    answers = random.dirichlet(np.ones(7), len(TRUTH) * 20).astype(np.float32)

    result = world.evaluate(monkeypatch, answers)

    assert result.roc
    assert all(math.isfinite(value) for part in result.roc for value in part)
    assert len(result.roc[0]) <= 200
    assert (result.roc[0][0], result.roc[0][-1], result.roc[1][-1]) == (0, 1, 1)


def test_a_test_set_that_shares_lesions_with_training_is_refused(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)
    train = pd.read_parquet(tmp_path / "train")
    train.loc[2, "lesion_id"] = world.test.loc[0, "lesion_id"]
    write_table(train, tmp_path / "train")

    with pytest.raises(UserError, match=f"train table.*{world.test.loc[0, 'lesion_id']}"):
        world.evaluate(monkeypatch, _answers({}))
    assert not (tmp_path / "out").exists()


def test_an_empty_test_table_is_refused(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)
    write_table(world.test.head(0), tmp_path / "test")

    with pytest.raises(UserError, match="no rows"):
        world.evaluate(monkeypatch, _answers({}))


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("{clauses: [{kind: average, metric: f1, at_least: 0.7}]}", "macro_f1"),
        ("{clauses: [{kind: average, metric: macro_f1, at_least: 70}]}", "at_least"),
        ("nowhere.yaml", "no policy"),
    ],
)
def test_a_policy_by_which_nothing_can_be_judged_is_refused_before_any_work(tmp_path, policy, says):
    from lesionflow.components.evaluate.evaluate import evaluate

    paths = {name: str(tmp_path / name) for name in ("images", "train", "validation", "test", "model", *OUTPUTS)}
    with pytest.raises(UserError, match=says):
        evaluate(**paths, policy=policy)


def test_a_model_folder_without_history_is_refused(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)
    (tmp_path / "model" / "history.csv").write_text("epoch,loss\n1,2\n")

    with pytest.raises(UserError, match=r"history\.csv"):
        world.evaluate(monkeypatch, _answers({}))


def test_the_adapter_logs_what_kfp_can_serialise(tmp_path, monkeypatch):
    from kfp import dsl

    from lesionflow.components.evaluate.component import evaluate

    world = make_world(tmp_path, ["mel"] * 3)
    answers = np.full((3, 7), np.nan, np.float32)
    monkeypatch.setattr("lesionflow.components.evaluate.evaluate.load_model", lambda folder: _Fake(answers))
    kinds = {"metrics": dsl.Metrics, "classification": dsl.ClassificationMetrics, "report": dsl.HTML}
    artifacts = {
        name: kinds.get(name, dsl.Artifact)(uri=path) for name, path in (world.inputs() | world.outputs()).items()
    }

    evaluate.python_func(**artifacts)

    metadata = {name: artifact.metadata for name, artifact in artifacts.items()}
    assert json.loads(json.dumps(metadata, allow_nan=False))["evaluation"]["verdict"] == "failed"
    assert metadata["classification"]["confusionMatrix"]


class _Fake:
    decode_size = 32
    taxonomy = HAM10000
    labels = HAM10000.codes

    def __init__(self, probabilities: np.ndarray) -> None:
        answers = iter(
            [probabilities, probabilities_for(list(HAM10000.codes))]
        )  # of the test table, of the validation table
        self.predict = lambda pixels: next(answers)
