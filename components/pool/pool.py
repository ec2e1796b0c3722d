"""Pool the out-of-fold predictions of a cross-validation, measure and judge them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd

from lesionflow.artifacts.evaluation import read_evaluation
from lesionflow.artifacts.images import read_data_card, read_metadata, read_taxonomy
from lesionflow.artifacts.tables import probability_columns, read_table, score_columns, write_table
from lesionflow.components.pool.report import render_report
from lesionflow.errors import UserError
from lesionflow.metrics.classification import measure
from lesionflow.policy import check_classes, check_pooled, load_policy
from lesionflow.reporting.outcome import Outcome, conclude, images_digest, spoken_result
from lesionflow.runtime.files import write_json, write_text
from lesionflow.runtime.progress import report as tell
from lesionflow.runtime.provenance import provenance
from lesionflow.taxonomy import Taxonomy

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
) -> Outcome:
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
        evaluation: JSON file to write, as evaluate writes it but for `model_sha256`, as there is no one model,
            and with `method`, `folds` (per fold: fold, images, lesions, macro_f1, macro_f1_interval, f1 per
            class) and `spread` of their macro-F1 (mean, standard_deviation, lowest, highest; or null).
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

    folds = [_fold(number, rows, documents[number - 1]) for number, rows in table.groupby("fold")]  # pyright: ignore
    outcome = conclude(
        {
            "method": METHOD.format(folds=len(folds)),
            "taxonomy": taxonomy.model_dump(mode="json"),
            "metrics": measured,
            "folds": folds,
            "spread": _spread([fold["macro_f1"] for fold in folds]),
            "data": {
                "source": card.get("source"),
                "synthetic": bool(card.get("synthetic")),
                "fingerprint": card.get("fingerprint"),
                "test_set": images_digest(table["image_id"]),
                "counts": {"test": {label: entry["support"] for label, entry in measured["per_class"].items()}},
                "lesions": {"test": int(table["lesion_id"].nunique())},
            },
            "training": _shared([document["training"] for document in documents]),
            "provenance": provenance(),
            "seed": seed,
            "artifacts": {
                "images": str(images),
                "report": str(report),
                "scores": str(pooled),
                "evaluation": str(evaluation),
                **{
                    f"fold {number}: {name}": path
                    for number, document in enumerate(documents, start=1)
                    for name, path in document["artifacts"].items()
                    if name != "images"
                },
            },
        },
        asked,
        taxonomy,
        truth,
        probabilities,
        {"folds": len(folds), "macro_f1_of_folds": [fold["macro_f1"] for fold in folds]},
    )
    write_table(table, pooled)
    write_text(report, render_report(outcome.document, card, table, images))
    outcome.write_metrics(metrics, classification)
    write_json(evaluation, outcome.document)
    tell("headline", text=spoken_result(measured, f"{len(table):,} images in {len(folds)} folds"))
    return outcome


def _read_folds(
    scores: Sequence[str | Path], evaluations: Sequence[str | Path], taxonomy: Taxonomy
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """All score tables as one, with `fold` from 1, and the evaluation of each, found by its images.

    Not by its place: nothing says that KFP collects two outputs of a loop in the same order.
    """
    if len(scores) < 2 or len(scores) != len(evaluations):
        raise UserError(
            f"Received {len(scores)} score tables and {len(evaluations)} evaluations; "
            "expected one of each per fold, and two folds or more."
        )
    by_images = {document["data"]["test_set"]: document for document in map(read_evaluation, evaluations)}
    tables: list[pd.DataFrame] = []
    documents: list[dict[str, Any]] = []
    for fold, path in enumerate(scores, start=1):
        table = read_table(path, score_columns(taxonomy.codes))
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


def _fold(number: int, rows: pd.DataFrame, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    measured = evaluation["metrics"]
    return {
        "fold": int(number),
        "images": len(rows),
        "lesions": int(rows["lesion_id"].nunique()),
        "macro_f1": measured["macro_f1"],
        "macro_f1_interval": measured["macro_f1_interval"],
        "f1": {label: entry["f1"] for label, entry in measured["per_class"].items()},
    }


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    return {
        "mean": mean(numbers),
        "standard_deviation": stdev(numbers),
        "lowest": min(numbers),
        "highest": max(numbers),
    }


def _shared(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that were the same in every fold; how many rows a fold had is not."""
    first, *others = settings
    return {
        name: value for name, value in first.items() if all(name in other and other[name] == value for other in others)
    }
