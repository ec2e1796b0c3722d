"""Pool the out-of-fold predictions of a cross-validation, measure and judge them."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd

from lesionflow.artifacts.evaluation import CrossValidation, Evaluation, Fold, Spread, TestedData
from lesionflow.artifacts.images import read_data_card, read_metadata, read_taxonomy
from lesionflow.artifacts.tables import Pooled, Scores, probability_columns
from lesionflow.artifacts.training_record import SharedTraining, TrainingRecord
from lesionflow.components.pool.report import render_report
from lesionflow.errors import UserError
from lesionflow.metrics.classification import measure
from lesionflow.policy import check_classes, check_pooled, load_policy
from lesionflow.reporting.outcome import Conclusion, conclude, images_digest, spoken_result
from lesionflow.runtime.files import write_text
from lesionflow.runtime.progress import report as tell
from lesionflow.runtime.provenance import provenance
from lesionflow.taxonomy import Taxonomy
from lesionflow.verdict import Evidence, judge

METHOD = "out-of-fold predictions of {folds} models, each on lesions it never saw"
"""What pooled metrics are metrics of."""


def pool(
    images: str | Path,
    scores: Sequence[str | Path],
    evaluations: Sequence[str | Path],
    evaluation: str | Path,
    metrics: str | Path,
    classification: str | Path,
    report: str | Path,
    pooled: str | Path,
    policy: str = "default",
    seed: int = 0,
) -> Conclusion[CrossValidation]:
    """Judge a method by the predictions that k models made, each on the lesions it never saw.

    The metrics are those of all images together, as if one model had predicted them. That is not the mean
    of the folds' metrics, which are noisier: a rare class has a fifth of its images in each of five folds.
    The intervals are of the choice of lesions, as in evaluate; how much k other models, trained on other
    lesions, would differ can be estimated from one cross-validation only with bias (Bengio and Grandvalet
    2004, "No unbiased estimator of the variance of k-fold cross-validation"), so the folds' spread is given
    beside them and not mixed in.

    Args:
        images: folder of the images artifact.
        scores: the folds' score tables.
        evaluations: the folds' evaluations, in any order.
        evaluation: JSON file to write, a `CrossValidation`.
        metrics: JSON file to write: the headline metrics.
        classification: JSON file to write: confusion matrix, ROC of melanoma against the rest if it is a class.
        report: HTML file to write.
        pooled: Parquet file to write: the score tables, one after the other, with `fold`, from 1.
        policy: what the gate judges by, as `load_policy` understands it: averages and metrics of classes.
        seed: of the bootstrap.

    Raises:
        UserError: an input is unusable, a fold is missing, or an image or lesion is in two.
    """
    asked = load_policy(policy)
    check_pooled(asked)
    taxonomy = read_taxonomy(images)
    check_classes(asked, taxonomy)
    card = read_data_card(images)
    table, documents = _read_folds(scores, evaluations, taxonomy)
    _require_each_image_once(table, read_metadata(images)["image_id"])

    truth = table["dx"].map(taxonomy.index).to_numpy(np.int64)
    probabilities = table[[*probability_columns(taxonomy.codes)]].to_numpy(np.float64)
    measured = measure(truth, probabilities, table["lesion_id"].tolist(), seed, taxonomy.codes)

    verdict = judge(Evidence(taxonomy=taxonomy, metrics=measured), asked)
    folds = tuple(_fold(number, rows, documents[number - 1]) for number, rows in table.groupby("fold"))  # pyright: ignore
    document = CrossValidation(
        verdict=verdict.word,
        gate=verdict,
        taxonomy=taxonomy,
        method=METHOD.format(folds=len(folds)),
        metrics=measured,
        folds=folds,
        spread=_spread([fold.macro_f1.value for fold in folds]),
        data=TestedData(
            source=card.get("source"),
            synthetic=bool(card.get("synthetic")),
            fingerprint=card.get("fingerprint"),
            test_set=images_digest(table["image_id"]),
            counts={"test": {label: entry.support for label, entry in measured.per_class.items()}},
            lesions={"test": int(table["lesion_id"].nunique())},
        ),
        training=_shared([document.training for document in documents]),
        provenance=provenance(),
        seed=seed,
        artifacts={
            "images": str(images),
            "report": str(report),
            "scores": str(pooled),
            "evaluation": str(evaluation),
            **{
                f"fold {number}: {name}": path
                for number, document in enumerate(documents, start=1)
                for name, path in document.artifacts.items()
                if name != "images"
            },
        },
    )
    conclusion = conclude(document, truth, probabilities)
    Pooled.store(table, pooled)
    write_text(report, render_report(document, card, table, images))
    conclusion.write_metrics(metrics, classification)
    document.write(evaluation)
    tell("headline", text=spoken_result(measured, f"{len(table):,} images in {len(folds)} folds"))
    return conclusion


def _read_folds(
    scores: Sequence[str | Path], evaluations: Sequence[str | Path], taxonomy: Taxonomy
) -> tuple[pd.DataFrame, list[Evaluation]]:
    """All score tables as one, with `fold` from 1, and the evaluation of each, found by its images.

    Not by its place: nothing says that KFP collects two outputs of a loop in the same order.
    """
    if len(scores) < 2 or len(scores) != len(evaluations):
        raise UserError(
            f"Received {len(scores)} score tables and {len(evaluations)} evaluations; "
            "expected one of each per fold, and two folds or more."
        )
    by_images = {document.data.test_set: document for document in map(Evaluation.load, evaluations)}
    tables: list[pd.DataFrame] = []
    documents: list[Evaluation] = []
    for fold, path in enumerate(scores, start=1):
        table = Scores.load(path, taxonomy.codes)
        document = by_images.get(images_digest(table["image_id"]))
        if document is None:
            raise UserError(
                f"None of the evaluations is of the images in {path}; pass the score table and the evaluation of each "
                "fold of one cross-validation."
            )
        tables.append(table.assign(fold=fold))
        documents.append(document)
    return pd.concat(tables, ignore_index=True), documents


def _require_each_image_once(table: pd.DataFrame, image_ids: "pd.Series[str]") -> None:
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise UserError(
            f"{len(twice)} images were predicted in two folds (the first: {twice.iloc[0]}); "
            "pass the score tables of one cross-validation, each fold once."
        )
    folds_of = table.groupby("lesion_id")["fold"].nunique()
    if (folds_of > 1).any():
        raise UserError(
            f"The lesion {folds_of.index[folds_of > 1][0]} is in {folds_of.max()} folds, so a model was tested on what "
            "it was trained on; pass the score tables of one cross-validation."
        )
    missing = sorted(set(image_ids) - set(table["image_id"]))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(image_ids)} images were predicted in no fold (the first: {missing[0]}); "
            "pass the score tables of all folds."
        )


def _fold(number: int, rows: pd.DataFrame, evaluation: Evaluation) -> Fold:
    measured = evaluation.metrics
    return Fold(
        fold=int(number),
        images=len(rows),
        lesions=int(rows["lesion_id"].nunique()),
        macro_f1=measured.macro_f1,
        f1={label: entry.f1.value for label, entry in measured.per_class.items()},
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    return Spread(mean=mean(numbers), standard_deviation=stdev(numbers), lowest=min(numbers), highest=max(numbers))


def _shared(records: Sequence[TrainingRecord]) -> SharedTraining:
    """The settings that were the same in every fold; how many rows a fold had is not."""
    same = {
        name: getattr(records[0], name)
        for name in SharedTraining.model_fields
        if len({repr(getattr(record, name)) for record in records}) == 1
    }
    return SharedTraining(**same)
