"""`lesionflow compare`: runs side by side, on the test images that all of them scored."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionflow import storage
from lesionflow.artifacts.evaluation import TestedData
from lesionflow.artifacts.summary import SUMMARY, Summary
from lesionflow.artifacts.tables import Scores, probability_columns, read_codes
from lesionflow.artifacts.training_record import SharedTraining, TrainingRecord
from lesionflow.artifacts.version_card import CARD, VersionCard
from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES, classification_metrics, predicted_classes
from lesionflow.metrics.paired import Difference, paired_differences
from lesionflow.registry.versions import CHAMPION, SCORES, champion_address
from lesionflow.storage import Address, AnyAddress
from lesionflow.verdict import Word


def compared_metrics(codes: Sequence[str]) -> tuple[str, ...]:
    """What is compared: the averages, and the recall of each class."""
    return (*AVERAGES, *(f"recall:{code}" for code in codes))


@dataclass(frozen=True)
class Run:
    """One side of a comparison."""

    name: str
    verdict: Word
    seed: int
    settings: Mapping[str, str]
    """What may explain a difference, as flat names."""
    scores: pd.DataFrame
    """`Scores` of the images that it was tested on, indexed by `image_id`."""
    codes: tuple[str, ...]
    """Of the classes, in the order of the probabilities."""


@dataclass(frozen=True)
class Comparison:
    """Runs, on the test images that all of them scored."""

    runs: tuple[Run, ...]
    images: int
    lesions: int
    metrics: tuple[dict[str, float | None], ...]
    """Of each run: the `compared_metrics` of its classes on those images."""
    differences: tuple[dict[str, Difference], ...]
    """Of each run but the first: it minus the first."""
    changed: dict[str, list[str]]
    """Setting -> its value in each run, where they are not all the same; "—" where a run does not say."""

    def facts(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "runs": [
                {
                    "name": run.name,
                    "verdict": run.verdict,
                    "tested_on": len(run.scores),
                    "metrics": metrics,
                }
                for run, metrics in zip(self.runs, self.metrics, strict=True)
            ],
            "images": self.images,
            "lesions": self.lesions,
            "differences": [
                {
                    "run": run.name,
                    "minus": self.runs[0].name,
                    "metrics": {name: each.model_dump() for name, each in found.items()},
                }
                for run, found in zip(self.runs[1:], self.differences, strict=True)
            ],
            "changed": self.changed,
        }


def compare(places: Sequence[AnyAddress]) -> Comparison:
    """Compare runs with the first one.

    Every run is judged on lesions it was not trained on, so images that all have scored are new to all.

    Args:
        places: of each run: its folder (with `summary.json`), a version in a registry, or a registry, of which the
            champion is taken; the last two local, gs:// or s3://.

    Raises:
        UserError: there are fewer than two, one has no scores, or they share no images or contradict each other.
    """
    if len(places) < 2:
        raise UserError("There is nothing to compare with; name two runs or more.")
    runs = tuple(map(_read, places))
    first, *others = runs
    for run in others:
        if run.codes != first.codes:
            raise UserError(
                f"{first.name} knows the classes {', '.join(first.codes)}, and {run.name} {', '.join(run.codes)}; "
                "compare runs of the same classes."
            )
    shared = first.scores.index
    for run in others:
        shared = shared.intersection(run.scores.index, sort=False)
    if not len(shared):
        raise UserError(
            f"No image was scored by all of {', '.join(run.name for run in runs)}; "
            "compare runs that share test images, as those of one data set and one split do."
        )
    aligned = [run.scores.loc[shared] for run in runs]
    for run, rows in zip(others, aligned[1:], strict=True):
        _require_agreement(first, run, aligned[0], rows)
    labels = aligned[0]["dx"].map({code: index for index, code in enumerate(first.codes)}).to_numpy(np.int64)
    lesion_ids = aligned[0]["lesion_id"].tolist()
    probabilities = [rows[[*probability_columns(first.codes)]].to_numpy(np.float64) for rows in aligned]
    for run, given in zip(runs, probabilities, strict=True):
        if invalid := int((predicted_classes(given) < 0).sum()):
            raise UserError(
                f"The model of {run.name} gave probabilities that are not numbers for {invalid} of the images, "
                "so it compares with nothing; leave it out."
            )
    return Comparison(
        runs,
        len(shared),
        len(set(lesion_ids)),
        tuple(_metrics(labels, given, first.codes) for given in probabilities),
        tuple(
            paired_differences(
                labels,
                given,
                probabilities[0],
                lesion_ids,
                first.seed,
                first.codes,
                names=compared_metrics(first.codes),
            )
            for given in probabilities[1:]
        ),
        _changed([run.settings for run in runs]),
    )


def _read(given: AnyAddress) -> Run:
    """A run by its folder, or by its place in a registry."""
    place = Address.parse(given)
    summary = place / SUMMARY
    if storage.exists(summary):
        return _run(place, Summary.parse(storage.read_bytes(summary), str(summary)))
    if storage.exists(place / CHAMPION):
        place = champion_address(place)
    if not storage.exists(place / CARD):
        raise UserError(
            f"{place} is neither a run ({SUMMARY}), nor a version ({CARD}) or a registry ({CHAMPION}) of lesionflow."
        )
    if not storage.exists(place / SCORES):
        raise UserError(f"The version {place} holds no {SCORES}; it was promoted by an older lesionflow.")
    card = place / CARD
    found = VersionCard.parse(storage.read_bytes(card), str(card)).evaluation
    with tempfile.TemporaryDirectory() as folder:
        scores = storage.download(place / SCORES, folder)
        settings = _settings(found.training, found.data, found.seed, None)
        return Run(place.name, found.verdict, found.seed, settings, *_scores(scores))


def _run(place: Address, summary: Summary) -> Run:
    path = summary.artifacts.get("scores")
    if not path:
        raise UserError(f"{place} was not evaluated (its status: {summary.status}); compare runs that were.")
    if not Path(path).is_file():
        raise UserError(f"The scores of {place} are gone: there is no {path}; run it again, or leave it out.")
    settings = _settings(summary.training, summary.data, summary.seed, summary.method)
    return Run(place.local.resolve().name, summary.verdict, summary.seed, settings, *_scores(path))


def _scores(path: str | Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    codes = read_codes(path)
    return Scores.load(path).set_index("image_id"), codes


def _require_agreement(first: Run, other: Run, ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    for column, what in (("dx", "class"), ("lesion_id", "lesion")):
        differ = ours.index[(ours[column] != theirs[column]).to_numpy()]
        if len(differ):
            image = differ[0]
            raise UserError(
                f"{first.name} and {other.name} do not agree on the {what} of {len(differ)} images (the first: "
                f"{image}, {ours.at[image, column]} or {theirs.at[image, column]}), so their data are not the same; "
                "compare runs on the same metadata."
            )


def _metrics(labels: np.ndarray, probabilities: np.ndarray, codes: Sequence[str]) -> dict[str, float | None]:
    measured = classification_metrics(labels, probabilities, codes)
    recalls = {f"recall:{label}": entry.recall.value for label, entry in measured.per_class.items()}
    return {name: metric.value for name, metric in measured.averages.items()} | recalls


def _settings(
    training: TrainingRecord | SharedTraining | None, data: TestedData | None, seed: int, method: str | None
) -> dict[str, str]:
    """What may explain a difference, as flat names."""
    rows = data.counts.get("train", {}).values() if data else ()
    settings: dict[str, Any] = {
        "recipe": training and training.recipe and training.recipe.model_dump(mode="json"),
        "seed": seed,
        "weights": training and training.weights,
        "versions": training and training.versions,
        "method": method,
        "data": data and {"source": data.source, "fingerprint": data.fingerprint, "test_set": data.test_set},
        "training images": sum(rows) or None,
    }
    return _flat({name: value for name, value in settings.items() if value is not None})


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        elif item is not None:
            flat[f"{prefix}{key}"] = str(item)
    return flat


def _changed(settings: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for each in settings for name in each)
    values = {name: [each.get(name, "—") for each in settings] for name in names}
    return {name: found for name, found in values.items() if len(set(found)) > 1}
