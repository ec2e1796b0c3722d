"""Pooling out-of-fold predictions: the metrics are those of all images, each predicted once."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged import make_evaluation, make_world, strict_json, training_record
from sklearn import metrics

from lesionflow.artifacts.evaluation import CrossValidation
from lesionflow.artifacts.images import read_metadata
from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import Scores
from lesionflow.artifacts.training_record import Rows
from lesionflow.components.gate.gate import gate
from lesionflow.components.pool.pool import pool
from lesionflow.errors import GateRefused, UserError
from lesionflow.metrics.classification import measure
from lesionflow.policy import floor
from lesionflow.reporting.outcome import Conclusion
from lesionflow.runtime.files import write_json
from lesionflow.taxonomy import HAM10000
from lesionflow.verdict import Evidence, judge

OUTPUTS = ("evaluation", "metrics", "classification", "report", "pooled")


@dataclass
class Folds:
    """Images in three folds, with score tables and evaluations as evaluate would have written them."""

    folder: Path
    count: int = 3

    def scores(self) -> list[Path]:
        return [self.folder / f"scores-{fold}" for fold in range(self.count)]

    def evaluations(self) -> list[Path]:
        return [self.folder / f"evaluation-{fold}" for fold in range(self.count)]

    def out(self, name: str) -> Path:
        return self.folder / "out" / name

    def pool(self, **changes: Any) -> Conclusion[CrossValidation]:
        inputs: dict[str, Any] = {
            "images": self.folder / "images",
            "scores": self.scores(),
            "evaluations": self.evaluations(),
        }
        if "threshold" in changes:
            changes["policy"] = floor("macro_f1", changes.pop("threshold")).text()
        return pool(**inputs | {name: self.out(name) for name in OUTPUTS} | changes)

    def change_scores(self, fold: int, table: pd.DataFrame) -> None:
        """Another score table, with an evaluation that is of it."""
        write_table(table, self.scores()[fold])
        ids = "\n".join(sorted(table["image_id"]))
        document = strict_json(self.evaluations()[fold])
        document["data"]["test_set"] = hashlib.sha256(ids.encode()).hexdigest()
        write_json(self.evaluations()[fold], document)


@pytest.fixture
def folds(tmp_path: Path) -> Folds:
    random = np.random.default_rng(0)
    world = make_world(tmp_path, [label for label in HAM10000.codes for _ in range(12)])
    images = read_metadata(world.folder / "images")[["image_id", "lesion_id", "dx"]]
    images["fold"] = images["lesion_id"].map({name: i % 3 for i, name in enumerate(images["lesion_id"].unique())})
    made = Folds(tmp_path)
    for fold, table in images.groupby("fold"):
        truth = np.array([HAM10000.codes.index(dx) for dx in table["dx"]])
        probabilities = random.dirichlet(np.ones(7), len(table)).astype(np.float32)
        probabilities[np.arange(len(table)), truth] += 0.3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        predicted = [HAM10000.codes[index] for index in probabilities.argmax(axis=1)]
        scored = table[["image_id", "lesion_id", "dx"]].assign(predicted=predicted)
        for index, label in enumerate(HAM10000.codes):
            scored[f"p_{label}"] = probabilities[:, index]
        found = measure(truth, probabilities, table["lesion_id"].tolist(), 0, HAM10000.codes)
        verdict = judge(Evidence(taxonomy=HAM10000, metrics=found), floor("macro_f1", 0.1))
        make_evaluation(
            9,
            1,
            verdict=verdict.word,
            gate=verdict,
            metrics=found,
            training=training_record(rows=Rows(train=10 + fold, validation=5)),  # pyright: ignore
            artifacts={"images": "i", "model": f"model-{fold}", "report": f"report-{fold}"},
        ).write(made.evaluations()[fold])  # pyright: ignore
        made.change_scores(fold, scored)  # pyright: ignore
    return made


def test_the_metrics_are_those_of_all_images_together(folds: Folds):
    result = folds.pool(threshold=0.1)

    document = strict_json(folds.out("evaluation"))
    table = pd.read_parquet(folds.out("pooled"))
    images = read_metadata(folds.folder / "images")
    assert sorted(table["image_id"]) == sorted(images["image_id"])
    assert result.rows == len(images)
    f1 = metrics.f1_score(table["dx"], table["predicted"], average="macro")
    assert document["metrics"]["averages"]["macro_f1"]["value"] == pytest.approx(f1)
    assert document["metrics"]["averages"]["accuracy"]["value"] == pytest.approx(
        (table["dx"] == table["predicted"]).mean()
    )
    low, high = document["metrics"]["averages"]["macro_f1"]["interval"]
    assert low < f1 < high
    of_folds = [metrics.f1_score(rows["dx"], rows["predicted"], average="macro") for _, rows in table.groupby("fold")]
    assert [fold["macro_f1"]["value"] for fold in document["folds"]] == pytest.approx(of_folds)
    assert document["spread"]["mean"] == pytest.approx(np.mean(of_folds))
    assert document["spread"]["standard_deviation"] == pytest.approx(np.std(of_folds, ddof=1))
    assert [fold["fold"] for fold in document["folds"]] == sorted(table["fold"].unique()) == [1, 2, 3]
    assert document["method"] == "out-of-fold predictions of 3 models, each on lesions it never saw"
    assert document["training"]["recipe"]["name"] == "tiny-test"
    assert document["training"]["seed"] == 3
    assert "rows" not in document["training"]
    assert document["artifacts"]["fold 2: model"] == "model-1"


def test_the_gate_enforces_the_verdict_as_it_stands(folds: Folds):
    folds.pool(threshold=0.1)
    assert gate(folds.out("evaluation")) == "passed"
    folds.pool(threshold=0.99)
    with pytest.raises(GateRefused, match=r"below the threshold 0\.99"):
        gate(folds.out("evaluation"))


def test_the_report_shows_every_fold_and_says_what_the_metrics_are(folds: Folds):
    folds.pool(threshold=0.1)
    page, document = folds.out("report").read_text(), strict_json(folds.out("evaluation"))
    assert document["method"] in page
    for fold in document["folds"]:
        row = page[page.index(f'data-fold="{fold["fold"]}"') :]
        assert f"{fold['macro_f1']['value']:.3f}" in row[: row.index("</tr>")]
    assert "nothing was promoted" in page


def test_a_prediction_that_is_no_number_fails_the_method(folds: Folds):
    table = Scores.load(folds.scores()[0], HAM10000.codes)
    table.loc[0, "p_mel"] = np.nan
    table.loc[0, "predicted"] = None
    write_table(table, folds.scores()[0])
    folds.pool(threshold=0.1)
    document = strict_json(folds.out("evaluation"))
    assert document["verdict"] == "failed"
    assert document["metrics"]["averages"]["macro_f1"]["value"] is None


def test_a_missing_fold_is_refused(folds: Folds):
    with pytest.raises(UserError, match="were predicted in no fold"):
        folds.pool(scores=folds.scores()[:2], evaluations=folds.evaluations()[:2])
    with pytest.raises(UserError, match="2 score tables and 3 evaluations"):
        folds.pool(scores=folds.scores()[:2])
    assert not folds.out("evaluation").exists()


def test_a_fold_that_comes_twice_is_refused(folds: Folds):
    shutil.copy(folds.scores()[1], folds.scores()[0])
    shutil.copy(folds.evaluations()[1], folds.evaluations()[0])
    with pytest.raises(UserError, match="images were predicted in two folds"):
        folds.pool()


def test_a_lesion_on_both_sides_is_refused(folds: Folds):
    first, second = (Scores.load(path, HAM10000.codes) for path in folds.scores()[:2])
    first.loc[0, "lesion_id"] = second.loc[0, "lesion_id"]
    folds.change_scores(0, first)
    with pytest.raises(UserError, match=f"The lesion {second.loc[0, 'lesion_id']} is in 2 folds"):
        folds.pool()


def test_an_evaluation_is_that_of_its_scores_whatever_the_order(folds: Folds):
    folds.pool(threshold=0.1)
    expected = strict_json(folds.out("evaluation"))
    folds.pool(threshold=0.1, evaluations=folds.evaluations()[::-1])
    assert strict_json(folds.out("evaluation")) == expected


def test_an_evaluation_of_other_images_is_refused(folds: Folds):
    table = Scores.load(folds.scores()[0], HAM10000.codes)
    write_table(table.iloc[1:], folds.scores()[0])
    with pytest.raises(UserError, match=f"None of the evaluations is of the images in {folds.scores()[0]}"):
        folds.pool()


def test_a_policy_that_asks_for_one_model_is_refused(folds: Folds):
    ece = "{kind: calibration, metric: ece, at_most: 0.1}"
    with pytest.raises(UserError, match=r"Clause 2 of the policy \(calibration: ECE\) needs one model"):
        folds.pool(policy="{clauses: [{kind: average, metric: accuracy, at_least: 0.5}, " + ece + "]}")


def test_a_policy_that_judges_nothing_is_refused_first(folds: Folds):
    with pytest.raises(UserError, match=r"clause 1 \(average\), metric: .* received 'f2'"):
        folds.pool(policy="{clauses: [{kind: average, metric: f2, at_least: 0.5}]}")
