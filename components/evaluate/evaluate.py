"""Measure a model on the separate test set, judge it, and write down everything that led to the verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionflow.artifacts.evaluation import Evaluation, SplitData
from lesionflow.artifacts.images import read_data_card, read_metadata, read_taxonomy
from lesionflow.artifacts.model_folder import HISTORY, TRAINING, model_file
from lesionflow.artifacts.tables import (
    Balanced,
    Scores,
    Split,
    probability_columns,
    table_digest,
)
from lesionflow.artifacts.training_record import TrainingRecord
from lesionflow.components.evaluate.champion import compare_with_champion
from lesionflow.data.pixels import decode_images
from lesionflow.errors import UserError
from lesionflow.metrics.bootstrap import RESAMPLES
from lesionflow.metrics.classification import measure, predicted_classes
from lesionflow.metrics.statistics import Judged, statistics
from lesionflow.models.loaded_model import LoadedModel, load_model
from lesionflow.policy import check_classes, load_policy
from lesionflow.reporting.examples import pick_examples
from lesionflow.reporting.model_card import render_model_card
from lesionflow.reporting.outcome import Conclusion, conclude, images_digest, spoken_result
from lesionflow.reporting.report import render_report
from lesionflow.runtime.files import file_digest, write_text
from lesionflow.runtime.progress import report as tell
from lesionflow.runtime.provenance import provenance
from lesionflow.taxonomy import Taxonomy
from lesionflow.verdict import Evidence, judge


def evaluate(
    images: str | Path,
    train: str | Path,
    validation: str | Path,
    test: str | Path,
    model: str | Path,
    evaluation: str | Path,
    metrics: str | Path,
    classification: str | Path,
    report: str | Path,
    scores: str | Path,
    model_card: str | Path,
    policy: str = "default",
    seed: int = 0,
    registry: str = "",
    champion: str = "",
) -> Conclusion[Evaluation]:
    """Evaluate a model folder on the test table.

    Args:
        images: folder of the images artifact.
        train: the balanced training table.
        validation: the validation table.
        test: the test table.
        model: the model folder.
        evaluation: JSON file to write, an `Evaluation`.
        metrics: JSON file to write: the headline metrics.
        classification: JSON file to write: confusion matrix, ROC of melanoma against the rest if it is a class.
        report: HTML file to write.
        scores: Parquet file to write: image_id, lesion_id, dx, predicted, p_<label> per class.
        model_card: Markdown file to write.
        policy: what the gate judges by, as `load_policy` understands it.
        seed: of the bootstrap.
        registry: folder, or gs:// or s3:// prefix, with the champion; read only if the policy compares with it.
        champion: the version to compare with; empty if there is none.

    Raises:
        UserError: a table, the images, the model or the policy is unusable, or the test set shares
            lesions with training or validation.
    """
    asked = load_policy(policy)
    taxonomy = read_taxonomy(images)
    tables = {
        "train": Balanced.load(train, taxonomy.codes),
        "validation": Split.load(validation, taxonomy.codes),
        "test": Split.load(test, taxonomy.codes),
    }
    _check_tables(tables)
    check_classes(asked, taxonomy)
    card = read_data_card(images)
    training, history = TrainingRecord.load(Path(model, TRAINING)), _read_history(model)
    loaded = load_model(model)
    if loaded.labels != taxonomy.codes:
        raise UserError(
            f"The model in {model} knows the classes {', '.join(loaded.labels)}, and the images have "
            f"{', '.join(taxonomy.codes)}; pass the model that was trained on them."
        )

    held_out = tables["test"]
    test_set, validation_set = _predict(loaded, images, [held_out, tables["validation"]])
    truth, probabilities = test_set.labels, test_set.probabilities
    measured = measure(truth, probabilities, test_set.lesion_ids, seed, taxonomy.codes)
    metadata = read_metadata(images).set_index("image_id").loc[held_out["image_id"].tolist()]
    against = None
    if asked.compares:
        against = compare_with_champion(
            registry,
            champion,
            held_out,
            test_set,
            lambda model, table: _predict(model, images, [table])[0],
            seed,
            taxonomy,
        )
    scored = _score_table(held_out, probabilities, taxonomy)
    examples = pick_examples(scored, images, taxonomy, loaded)

    found = statistics(test_set, validation_set, metadata, seed, taxonomy)
    verdict = judge(
        Evidence(
            taxonomy=taxonomy,
            metrics=measured,
            calibration=found.calibration,
            operating_points=found.operating_points,
            subgroups=found.subgroups,
            champion=against,
        ),
        asked,
    )
    document = Evaluation(
        verdict=verdict.word,
        gate=verdict,
        taxonomy=taxonomy,
        metrics=measured,
        calibration=found.calibration,
        operating_points=found.operating_points,
        abstention=found.abstention,
        subgroups=found.subgroups,
        champion=against,
        resamples=RESAMPLES,
        examples=examples.facts(),
        data=_data(card, tables, taxonomy),
        training=training,
        provenance=provenance(),
        model_sha256=file_digest(model_file(model)),
        seed=seed,
        artifacts={
            "images": str(images),
            "train": str(train),
            "validation": str(validation),
            "test": str(test),
            "model": str(model),
            "report": str(report),
            "scores": str(scores),
            "model_card": str(model_card),
            "evaluation": str(evaluation),
        },
    )
    conclusion = conclude(document, truth, probabilities)
    Scores.store(scored, scores)
    write_text(report, render_report(document, card, scored, history, examples))
    write_text(model_card, render_model_card(document, card))
    conclusion.write_metrics(metrics, classification)
    document.write(evaluation)
    tell("headline", text=spoken_result(measured, f"{len(held_out):,} test images"))
    return conclusion


def _data(card: Mapping[str, Any], tables: dict[str, pd.DataFrame], taxonomy: Taxonomy) -> SplitData:
    """What is said of the data, by its card and the three tables."""
    return SplitData(
        source=card.get("source"),
        synthetic=bool(card.get("synthetic")),
        fingerprint=card.get("fingerprint"),
        quarantined=card.get("quarantined") or {},
        # Metrics compare only on the same images, whatever split them off; promote looks at this.
        test_set=images_digest(tables["test"]["image_id"]),
        counts={name: _counts(table, taxonomy) for name, table in tables.items()},
        balanced=_epoch(tables["train"], taxonomy),
        lesions={name: int(table["lesion_id"].nunique()) for name, table in tables.items()},
        tables={name: table_digest(table) for name, table in tables.items()},
    )


def _check_tables(tables: dict[str, pd.DataFrame]) -> None:
    test = tables["test"]
    if test.empty:
        raise UserError("The test table has no rows; expected the test table that split wrote.")
    for name in ("train", "validation"):
        shared = sorted(set(test["lesion_id"]) & set(tables[name]["lesion_id"]))
        if shared:
            raise UserError(
                f"{len(shared)} lesions of the test table are also in the {name} table (the first: {shared[0]}), "
                "so the metrics would mean nothing; pass three tables of one split."
            )


def _read_history(model: str | Path) -> pd.DataFrame:
    path = Path(model, HISTORY)
    columns = ["phase", "epoch", "loss", "val_loss", "val_macro_f1"]
    try:
        return pd.read_csv(path, usecols=columns)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a readable history ({error}); expected the columns {', '.join(columns)}, "
            "as the finetune step writes them."
        ) from None


def _predict(model: LoadedModel, images: str | Path, tables: Sequence[pd.DataFrame]) -> list[Judged]:
    """What the model says of the images of each table."""
    done, total = 0, sum(map(len, tables))
    judged: list[Judged] = []
    for table in tables:
        probabilities = np.empty((len(table), len(model.labels)), np.float32)
        for rows, pixels in decode_images(images, table["image_id"].tolist(), model.decode_size):
            probabilities[rows] = model.predict(pixels)
            done += len(rows)
            tell("progress", done=done, total=total)
        labels = table["dx"].map(model.taxonomy.index).to_numpy(np.int64)
        judged.append(Judged(labels, probabilities, table["lesion_id"].tolist()))
    return judged


def _counts(table: pd.DataFrame, taxonomy: Taxonomy) -> dict[str, int]:
    counts = table["dx"].value_counts()
    return {code: int(counts.get(code, 0)) for code in taxonomy.codes}


def _epoch(train: pd.DataFrame, taxonomy: Taxonomy) -> dict[str, int]:
    """How often an epoch meets each class, as weighted or drawn by the balancing."""
    times = (train["weight"] * train["sampling_weight"]).groupby(train["dx"]).sum()
    return {code: round(times.get(code, 0)) for code in taxonomy.codes}


def _score_table(test: pd.DataFrame, probabilities: NDArray[np.float32], taxonomy: Taxonomy) -> pd.DataFrame:
    """`predicted` is null where a probability is not a finite number."""
    table = test[["image_id", "lesion_id", "dx"]].reset_index(drop=True)
    table["predicted"] = [taxonomy.codes[index] if index >= 0 else None for index in predicted_classes(probabilities)]
    for index, column in enumerate(probability_columns(taxonomy.codes)):
        table[column] = probabilities[:, index]
    return table
