"""Is a promoted version still what was promoted, and do its own files bear out its metrics?"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionflow import storage
from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.model_folder import model_file, read_labels
from lesionflow.artifacts.summary import SUMMARY
from lesionflow.artifacts.tables import Scores, Split, probability_columns, table_digest
from lesionflow.artifacts.version_card import CARD, FileFacts, VersionCard
from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES, measure
from lesionflow.registry.versions import SCORES, SPLIT, champion_if_registry, list_contents
from lesionflow.reporting.outcome import images_digest
from lesionflow.runtime.files import file_digest
from lesionflow.runtime.metric_text import format_metric
from lesionflow.runtime.provenance import code_digest
from lesionflow.storage import Address, AnyAddress
from lesionflow.taxonomy import Taxonomy

_LAST_DIGITS = 1e-9
"""Two machines may add in another order."""


@dataclass(frozen=True)
class VersionCheck:
    """One thing that was looked at."""

    name: str
    held: bool
    text: str
    """What was found, in a sentence."""


@dataclass(frozen=True)
class Verified:
    """A version, and what became of the checks."""

    address: Address
    checks: tuple[VersionCheck, ...]
    provenance: dict[str, Any]
    """What the card says the model was made of."""

    @property
    def held(self) -> bool:
        """Whether every check did."""
        return all(check.held for check in self.checks)


def verify(place: AnyAddress) -> Verified:
    """Check a version of a registry.

    Its files against the digests in its card; the card against the digest in the version's name; the score and split
    tables against the evaluation; the metrics, computed once more from the scores (their intervals too, unless
    another version of lesionflow computed them); the verdict, judged once more.

    Args:
        place: a version, or a registry, of which the champion is taken; local, gs:// or s3://.

    Raises:
        UserError: there is no version, or the registry cannot be read.
    """
    address = champion_if_registry(place)
    if not storage.exists(address):
        raise UserError(f"There is nothing at {address}; expected a registry, or a version in one.")
    if storage.exists(address / SUMMARY) and not storage.exists(address / CARD):
        raise UserError(f"{address} is a run; expected a registry, or the version that its {SUMMARY} calls published.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = storage.download(address, Path(temporary, "version"))
        try:
            card = VersionCard.load(folder / CARD)
        except UserError as error:
            text = f"It is missing or no version's card, so nothing else can be checked ({error})"
            return Verified(address, (VersionCheck(CARD, False, text),), {})
        evaluation = card.evaluation
        checks = (
            _checked("files", lambda: _files(folder, card.files)),
            _checked("card", lambda: _card(evaluation, address)),
            _checked("model", lambda: _model(folder, evaluation)),
            _checked("tables", lambda: _tables(folder, evaluation)),
            _checked("metrics", lambda: _metrics(folder, evaluation)),
            _checked("verdict", lambda: _verdict(evaluation, address)),
        )
        return Verified(address, checks, _provenance(card))


class _Refuted(Exception):
    """A check does not hold: why."""


def _checked(name: str, check: Callable[[], str]) -> VersionCheck:
    try:
        return VersionCheck(name, True, check())
    except (_Refuted, UserError) as error:
        return VersionCheck(name, False, str(error))
    except (KeyError, ValueError, OSError) as error:  # of the tables
        return VersionCheck(name, False, f"It cannot be checked, as something is missing or damaged ({error!r}).")


def _files(folder: Path, promoted: tuple[FileFacts, ...]) -> str:
    expected = {file.name: file.sha256 for file in promoted}
    present = {file.name: file.sha256 for file in list_contents(folder) if file.name != CARD}
    missing = sorted(expected.keys() - present.keys())
    changed = sorted(name for name in expected.keys() & present.keys() if expected[name] != present[name])
    surplus = sorted(present.keys() - expected.keys())
    found = [("missing", missing), ("not the file that was promoted", changed), ("not in the card", surplus)]
    if problems := [f"{', '.join(names)}: {what}" for what, names in found if names]:
        raise _Refuted("; ".join(problems) + ".")
    return f"All {len(expected)} files are those that were promoted."


def _card(evaluation: Evaluation, address: Address) -> str:
    named = address.name.rsplit("-", 1)[-1]
    digest = evaluation.digest[: len(named)]
    if digest != named:
        raise _Refuted(f"The evaluation in it has the digest {digest}, but the version is named after {named}.")
    return "The evaluation in it is the one that the version is named after."


def _model(folder: Path, evaluation: Evaluation) -> str:
    if file_digest(model_file(folder)) != evaluation.model_sha256:
        raise _Refuted("The model is not the one that was evaluated.")
    taxonomy, _ = read_labels(folder)
    if taxonomy != evaluation.taxonomy:
        raise _Refuted("The model says that its outputs are of other classes than those that were evaluated.")
    return "The model is the one that was evaluated."


def _tables(folder: Path, evaluation: Evaluation) -> str:
    data = evaluation.data
    split = Split.load(folder / SPLIT)
    tables = {str(fold): rows for fold, rows in split.groupby("subset")}
    tables["scores"] = _scores(folder, evaluation.taxonomy)
    expected = {**data.tables, "scores": data.tables["test"]}
    for name, digest in expected.items():
        if name not in tables or table_digest(tables[name]) != digest:
            raise _Refuted(f"The {name} table is not the one that was evaluated.")
    if images_digest(tables["scores"]["image_id"]) != data.test_set:
        raise _Refuted("The images in the score table are not the test set.")
    lesions = tables["test"]["lesion_id"]
    if shared := set(lesions) & {*tables["train"]["lesion_id"], *tables["validation"]["lesion_id"]}:
        raise _Refuted(f"{len(shared)} lesions of the test table are in training or validation too.")
    return (
        f"Split and scores are those of the evaluation; none of its {lesions.nunique():,} test lesions was trained on."
    )


def _metrics(folder: Path, evaluation: Evaluation) -> str:
    taxonomy = evaluation.taxonomy
    scores = _scores(folder, taxonomy)
    labels = scores["dx"].map(taxonomy.index).to_numpy(np.int64)
    probabilities = scores[[*probability_columns(taxonomy.codes)]].to_numpy()
    found = measure(labels, probabilities, scores["lesion_id"].tolist(), evaluation.seed, taxonomy.codes)
    different = _differences(evaluation.metrics.model_dump(mode="json"), found.model_dump(mode="json"))
    # How intervals are computed may change between versions of lesionflow, what a metric means may not.
    other_code = evaluation.provenance.code != code_digest()
    if other_code and different and all("interval" in name for name, _, _ in different):
        return (
            f"Every metric follows from the {len(scores):,} scores: macro-F1 {format_metric(found.macro_f1.value)}. "
            f"Other code of lesionflow than this computed the intervals; {len(different)} of their ends differ here."
        )
    if different:
        first = "; ".join(f"{name} is {ours}, the card says {theirs}" for name, theirs, ours in different[:3])
        raise _Refuted(f"{len(different)} metrics do not follow from the scores: {first}.")
    low, high = found.macro_f1.interval
    return (
        f"Every metric and interval follows from the {len(scores):,} scores: macro-F1 "
        f"{format_metric(found.macro_f1.value)} ({format_metric(low)} to {format_metric(high)})."
    )


def _differences(stated: Any, found: Any, name: str = "metrics") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ: names on the way there, what the first says, what the second says."""
    if isinstance(stated, dict) and isinstance(found, dict):
        keys = dict.fromkeys([*stated, *found])
        return [row for key in keys for row in _differences(stated.get(key), found.get(key), f"{name}.{key}")]
    if isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        return [row for pair in zip(stated, found, strict=True) for row in _differences(*pair, name)]
    if isinstance(stated, int | float) and isinstance(found, int | float):
        return [] if abs(stated - found) <= _LAST_DIGITS else [(name, stated, found)]
    return [] if stated == found else [(name, stated, found)]


def _verdict(evaluation: Evaluation, address: Address) -> str:
    verdict = evaluation.check(str(address))
    if not verdict.passed:
        raise _Refuted("Judged again, it does not pass: " + " ".join(verdict.reasons))
    held = f"{len(verdict.clauses)} clauses hold" if len(verdict.clauses) > 1 else "its clause holds"
    return f"Judged again by the policy in the card, it passes: {held}."


def _scores(folder: Path, taxonomy: Taxonomy) -> pd.DataFrame:
    return Scores.load(folder / SCORES, taxonomy.codes)


def _provenance(card: VersionCard) -> dict[str, Any]:
    """What somebody asks first of a model in use."""
    evaluation = card.evaluation
    data, training, made = evaluation.data, evaluation.training, evaluation.provenance
    averages = evaluation.metrics.averages
    return {
        "created": card.created,
        "source": data.source,
        "data fingerprint": data.fingerprint,
        "test set": data.test_set,
        "recipe": training.recipe.name,
        "seed": training.seed,
        "starting weights": training.weights_sha256 or training.weights,
        "lesionflow": made.lesionflow,
        "code": made.code,
        "image": made.image,
        **{AVERAGES[name]: format_metric(averages[name].value) for name in ("macro_f1", "balanced_accuracy")},
    }
