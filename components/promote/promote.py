"""Publish a model that passed the gate."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lesionflow import storage
from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.model_folder import model_file
from lesionflow.artifacts.tables import Labelled, Split, table_digest
from lesionflow.artifacts.version_card import CARD, FileFacts, Promotion, VersionCard
from lesionflow.errors import UserError
from lesionflow.registry.champion import Standing, check_replace, move_champion
from lesionflow.registry.versions import (
    MODEL_CARD,
    REPORT,
    SCORES,
    SPLIT,
    list_contents,
    published_card,
    version_address,
)
from lesionflow.runtime.files import file_digest, whole_folder
from lesionflow.runtime.metric_text import format_metric
from lesionflow.runtime.progress import report as tell
from lesionflow.storage import Address
from lesionflow.verdict import Verdict


def promote(
    model: str | Path,
    evaluation: str | Path,
    report: str | Path,
    train: str | Path,
    validation: str | Path,
    scores: str | Path,
    model_card: str | Path,
    registry: str,
    replace_champion: str = "better",
) -> str:
    """Copy a model and its card to a registry as a new version, and make that the champion if it is better.

    A crash at any moment leaves the old champion in use and no version that counts but is not whole.
    An evaluation that was promoted before gets no second version.

    Args:
        model: the model folder.
        evaluation: the file that evaluate wrote.
        report: the page that evaluate wrote.
        train: the training table of the model; with the next two, so that a later model is compared with this
            version on lesions that are new to both.
        validation: the validation table.
        scores: the score table that evaluate wrote.
        model_card: the Markdown page that evaluate wrote.
        registry: folder, or gs:// or s3:// prefix; a folder is created if it does not exist.
        replace_champion: `better` leaves the champion in use unless this model's value of the gate's
            metric is higher; `always` puts this model in use, as after a change of the data.

    Returns:
        URI of the version, champion or not.

    Raises:
        UserError: the verdict is not "passed", the evaluation is of another model or other tables, or the
            registry cannot be written.
    """
    when = check_replace(replace_champion)
    document = Evaluation.load(evaluation)
    verdict = document.gate
    if not verdict.passed:
        raise UserError(
            f"{evaluation} is of a model that failed the gate; only one that passed is promoted. "
            + " ".join(verdict.reasons)
        )
    if file_digest(model_file(model)) != document.model_sha256:
        raise UserError(f"{evaluation} judges another model than the one in {model}; pass the two of one run.")

    split = _split(train, validation, scores, document, evaluation)
    files = _Files(Path(model), Path(report), split, Path(scores), Path(model_card))
    digest = document.digest[:8]
    # A retrain on unchanged data ends with the same evaluation, over and over.
    card = published_card(registry, digest) or _publish(files, registry, document, digest)
    place = version_address(registry, card.version)
    standing = move_champion(registry, card, when)
    if standing.outcome != "stands":
        promotion = Promotion(outcome=standing.outcome, reason=standing.reason, replace_champion=when)
        card = card.model_copy(update={"promotion": promotion})
        storage.write_bytes(place / CARD, card.text().encode())
    _tell(place, standing, verdict)
    return str(place)


@dataclass(frozen=True)
class _Files:
    """What a version is made of."""

    model: Path
    report: Path
    split: pd.DataFrame
    scores: Path
    model_card: Path


def _split(
    train: str | Path, validation: str | Path, scores: str | Path, document: Evaluation, evaluation: str | Path
) -> pd.DataFrame:
    """All images of the split as one table.

    Raises:
        UserError: a table is not the one that was evaluated.
    """
    tables: list[pd.DataFrame] = []
    for subset, path in (("train", train), ("validation", validation), ("test", scores)):
        table = Labelled.load(path).assign(subset=subset)
        if table_digest(table) != document.data.tables.get(subset):
            raise UserError(f"{path} is not the {subset} table of {evaluation}; pass the files of one run.")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _publish(files: _Files, registry: str, evaluation: Evaluation, evaluation_digest: str) -> VersionCard:
    """Make a version and return its card, which is the last file to appear."""
    created = datetime.now(UTC)
    version = f"{created:%Y%m%dT%H%M%SZ}-{evaluation_digest}"
    place = version_address(registry, version)

    def card(contents: tuple[FileFacts, ...]) -> VersionCard:
        when = created.isoformat(timespec="seconds")
        return VersionCard(version=version, created=when, evaluation=evaluation, files=contents)

    if place.is_remote:
        with tempfile.TemporaryDirectory() as temporary:
            written = card(_copy(files, Path(temporary)))
            storage.upload_folder(temporary, place)
            storage.write_bytes(place / CARD, written.text().encode())
    else:
        with whole_folder(place.local) as folder:
            written = card(_copy(files, folder))
            written.write(folder / CARD)
    return written


def _tell(place: Address, standing: Standing, verdict: Verdict) -> None:
    """Say what became of the version: in the log, to who watches, and in the metric of the step."""
    print(f"Version {place}: {standing.reason}", flush=True)
    if standing.outcome == "published":
        tell("published", version=str(place), champion=standing.rival, reason=standing.reason)
        theirs, ours = format_metric(standing.rival_value), format_metric(verdict.value)
        tell("headline", text=f"published; the champion stays, {theirs} against {ours}")
    else:
        tell("promoted", version=str(place), reason=standing.reason)
        tell(
            "headline",
            text=f"version {place.name}" + (" is the champion already" if standing.outcome == "stands" else ""),
        )


def _copy(files: _Files, folder: Path) -> tuple[FileFacts, ...]:
    """Put everything into `folder`, and list what it then holds."""
    # A model folder may itself be a version, with a card of its own.
    shutil.copytree(files.model, folder, ignore=shutil.ignore_patterns(CARD), dirs_exist_ok=True)
    shutil.copyfile(files.report, folder / REPORT)
    shutil.copyfile(files.scores, folder / SCORES)
    shutil.copyfile(files.model_card, folder / MODEL_CARD)
    Split.store(files.split, folder / SPLIT)
    return list_contents(folder)
