"""Is a promoted version still what was promoted, and do its own files bear out its metrics?"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesionflow import storage
from lesionflow.artifacts.evaluation import read_verdict
from lesionflow.artifacts.model_folder import model_file, read_labels
from lesionflow.artifacts.summary import SUMMARY
from lesionflow.artifacts.tables import probability_columns, read_table, table_digest
from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES, format_metric, measure
from lesionflow.registry.versions import CARD, SCORES, SPLIT, champion_if_registry, list_contents
from lesionflow.reporting.outcome import images_digest
from lesionflow.runtime.files import file_digest, finite, write_json
from lesionflow.runtime.provenance import code_digest
from lesionflow.taxonomy import Taxonomy, check_taxonomy

_ADDED = ("version", "created", "files", "promotion")
"""What promote put into the card beside the evaluation."""

_LAST_DIGITS = 1e-9
"""Two machines may add in another order."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    held: bool
    text: str
    """What was found, in a sentence."""


@dataclass(frozen=True)
class Verified:
    """A version, and what became of the checks."""

    uri: str
    checks: tuple[Check, ...]
    provenance: dict[str, Any]
    """What the card says the model was made of."""

    @property
    def held(self) -> bool:
        """Whether every check did."""
        return all(check.held for check in self.checks)


def verify(uri: str) -> Verified:
    """Check a version of a registry.

    Its files against the digests in its card; the card against the digest in the version's name; the score and split
    tables against the evaluation; the metrics, computed once more from the scores (their intervals too, unless
    another version of lesionflow computed them); the verdict, judged once more.

    Args:
        uri: a version, or a registry, of which the champion is taken; local, gs:// or s3://.

    Raises:
        UserError: there is no version, or the registry cannot be read.
    """
    uri = champion_if_registry(uri)
    if not storage.exists(uri):
        raise UserError(f"There is nothing at {uri}; expected a registry, or a version in one.")
    if storage.exists(storage.join(uri, SUMMARY)) and not storage.exists(storage.join(uri, CARD)):
        raise UserError(f"{uri} is a run; expected a registry, or the version that its {SUMMARY} calls published.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = storage.download(uri, Path(temporary, "version"))
        try:
            card = json.loads((folder / CARD).read_bytes())
            files = {str(file["name"]): str(file["sha256"]) for file in card["files"]}
            evaluation = {name: value for name, value in card.items() if name not in _ADDED}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            text = "It is missing or no version's card, so nothing else can be checked."
            return Verified(uri, (Check(CARD, False, text),), {})
        checks = (
            _checked("files", lambda: _files(folder, files)),
            _checked("card", lambda: _card(evaluation, uri)),
            _checked("model", lambda: _model(folder, evaluation)),
            _checked("tables", lambda: _tables(folder, evaluation)),
            _checked("metrics", lambda: _metrics(folder, evaluation)),
            _checked("verdict", lambda: _verdict(evaluation)),
        )
        return Verified(uri, checks, _provenance(card))


class _Refuted(Exception):
    """A check does not hold: why."""


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (_Refuted, UserError) as error:
        return Check(name, False, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return Check(name, False, f"It cannot be checked, as something is missing or damaged ({error!r}).")


def _files(folder: Path, expected: Mapping[str, str]) -> str:
    present = {str(file["name"]): str(file["sha256"]) for file in list_contents(folder) if file["name"] != CARD}
    missing = sorted(expected.keys() - present.keys())
    changed = sorted(name for name in expected.keys() & present.keys() if expected[name] != present[name])
    surplus = sorted(present.keys() - expected.keys())
    found = [("missing", missing), ("not the file that was promoted", changed), ("not in the card", surplus)]
    if problems := [f"{', '.join(names)}: {what}" for what, names in found if names]:
        raise _Refuted("; ".join(problems) + ".")
    return f"All {len(expected)} files are those that were promoted."


def _card(evaluation: Mapping[str, Any], uri: str) -> str:
    named = uri.rstrip("/").rsplit("-", 1)[-1]
    text = json.dumps(finite(evaluation), indent=2, allow_nan=False) + "\n"  # as `write_json` wrote the evaluation
    digest = hashlib.sha256(text.encode()).hexdigest()[: len(named)]
    if digest != named:
        raise _Refuted(f"The evaluation in it has the digest {digest}, but the version is named after {named}.")
    return "The evaluation in it is the one that the version is named after."


def _model(folder: Path, evaluation: Mapping[str, Any]) -> str:
    if file_digest(model_file(folder)) != evaluation["model_sha256"]:
        raise _Refuted("The model is not the one that was evaluated.")
    taxonomy, _ = read_labels(folder)
    if taxonomy != _taxonomy(evaluation):
        raise _Refuted("The model says that its outputs are of other classes than those that were evaluated.")
    return "The model is the one that was evaluated."


def _tables(folder: Path, evaluation: Mapping[str, Any]) -> str:
    data = evaluation["data"]
    split = read_table(folder / SPLIT, ("image_id", "lesion_id", "dx", "subset"))
    tables = {str(fold): rows for fold, rows in split.groupby("subset")}
    tables["scores"] = _scores(folder, _taxonomy(evaluation))
    expected = {**data["tables"], "scores": data["tables"]["test"]}
    for name, digest in expected.items():
        if name not in tables or table_digest(tables[name]) != digest:
            raise _Refuted(f"The {name} table is not the one that was evaluated.")
    if images_digest(tables["scores"]["image_id"]) != data["test_set"]:
        raise _Refuted("The images in the score table are not the test set.")
    lesions = tables["test"]["lesion_id"]
    if shared := set(lesions) & {*tables["train"]["lesion_id"], *tables["validation"]["lesion_id"]}:
        raise _Refuted(f"{len(shared)} lesions of the test table are in training or validation too.")
    return (
        f"Split and scores are those of the evaluation; none of its {lesions.nunique():,} test lesions was trained on."
    )


def _metrics(folder: Path, evaluation: Mapping[str, Any]) -> str:
    taxonomy = _taxonomy(evaluation)
    scores = _scores(folder, taxonomy)
    labels = scores["dx"].map(taxonomy.index).to_numpy(np.int64)
    probabilities = scores[[*probability_columns(taxonomy.codes)]].to_numpy()
    found = finite(measure(labels, probabilities, scores["lesion_id"].tolist(), evaluation["seed"], taxonomy.codes))
    different = _differences(evaluation["metrics"], found)
    # How intervals are computed may change between versions of lesionflow, what a metric means may not.
    other_code = evaluation["provenance"]["code"] != code_digest()
    if other_code and different and all("interval" in name for name, _, _ in different):
        return (
            f"Every metric follows from the {len(scores):,} scores: macro-F1 {format_metric(found['macro_f1'])}. "
            f"Other code of lesionflow than this computed the intervals; {len(different)} of their ends differ here."
        )
    if different:
        first = "; ".join(f"{name} is {ours}, the card says {theirs}" for name, theirs, ours in different[:3])
        raise _Refuted(f"{len(different)} metrics do not follow from the scores: {first}.")
    low, high = found["macro_f1_interval"]
    return (
        f"Every metric and interval follows from the {len(scores):,} scores: macro-F1 "
        f"{format_metric(found['macro_f1'])} ({format_metric(low)} to {format_metric(high)})."
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


def _verdict(evaluation: Mapping[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder, "evaluation"), evaluation)
        verdict = read_verdict(Path(folder, "evaluation"))
    if verdict.reasons:
        raise _Refuted("Judged again, it does not pass: " + " ".join(verdict.reasons))
    held = f"{len(verdict.clauses)} clauses hold" if len(verdict.clauses) > 1 else "its clause holds"
    return f"Judged again by the policy in the card, it passes: {held}."


def _taxonomy(evaluation: Mapping[str, Any]) -> Taxonomy:
    return check_taxonomy(evaluation["taxonomy"], f"the {CARD}")


def _scores(folder: Path, taxonomy: Taxonomy) -> pd.DataFrame:
    return read_table(folder / SCORES, ("image_id", "lesion_id", "dx", *probability_columns(taxonomy.codes)))


def _provenance(card: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody asks first of a model in use."""
    data, training, made = (card.get(name) or {} for name in ("data", "training", "provenance"))
    metrics = card.get("metrics") or {}
    return {
        "created": card.get("created"),
        "source": data.get("source"),
        "data fingerprint": data.get("fingerprint"),
        "test set": data.get("test_set"),
        "recipe": (training.get("recipe") or {}).get("name"),
        "seed": training.get("seed"),
        "starting weights": training.get("weights_sha256") or training.get("weights"),
        "lesionflow": made.get("lesionflow"),
        "code": made.get("code"),
        "image": made.get("image"),
        **{AVERAGES[name]: format_metric(metrics.get(name)) for name in ("macro_f1", "balanced_accuracy")},
    }
