"""Publish a model that passed the gate."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.common import storage
from components.common.errors import UserError
from components.common.files import file_digest, whole_folder, write_json
from components.common.model_folder import model_file
from components.common.progress import report as tell
from components.gate.gate import read_evaluation, read_verdict
from components.promote.registry import CARD, CHAMPION, REPORT, champion_uri, list_contents, move_champion, version_uri


def promote(
    model: str | Path, evaluation: str | Path, report: str | Path, registry: str, gate_verdict: str = ""
) -> str:
    """Copy a model and its card to a registry as a new version, then make that version the champion.

    A crash at any moment leaves the old champion in use and no version that counts but is not whole.

    Args:
        model: the model folder.
        evaluation: the file that evaluate wrote.
        report: the page that evaluate wrote.
        registry: folder or gs:// prefix; a folder is created if it does not exist.
        gate_verdict: what the gate answered; empty if it was not asked.

    Returns:
        URI of the version; of the present champion, if this very evaluation promoted it.

    Raises:
        UserError: the verdict is not "passed", the evaluation is of another model, or the registry
            cannot be written.
    """
    verdict = read_verdict(evaluation)
    if verdict.reasons or gate_verdict not in ("", "passed"):
        raise UserError(
            f"{evaluation} is of a model that failed the gate; only one that passed is promoted. "
            + " ".join(verdict.reasons)
        )
    document = read_evaluation(evaluation)
    if file_digest(model_file(model)) != document.get("model_sha256"):
        raise UserError(f"{evaluation} judges another model than the one in {model}; pass the two of one run.")

    created = datetime.now(UTC)
    digest = file_digest(evaluation)[:8]
    if standing := _standing_champion(registry, digest):
        # A retrain on unchanged data ends here with the same evaluation, over and over.
        tell("promoted", version=standing)
        tell("figure", text=f"version {standing.rsplit('/', 1)[-1]} is the champion already")
        return standing
    version = f"{created:%Y%m%dT%H%M%SZ}-{digest}"
    uri = version_uri(registry, version)
    facts = {"version": version, "created": created.isoformat(timespec="seconds"), **document}
    if storage.is_remote(uri):
        with tempfile.TemporaryDirectory() as temporary:
            card = {**facts, "files": _copy(model, report, Path(temporary))}
            storage.upload_folder(temporary, uri)
            write_json(Path(temporary, CARD), card)
            storage.write_bytes(storage.join(uri, CARD), Path(temporary, CARD).read_bytes())
    else:
        with whole_folder(storage.local_path(uri)) as folder:
            write_json(folder / CARD, {**facts, "files": _copy(model, report, folder)})
    champion = {"version": version, "promoted_at": facts["created"], "macro_f1": document["metrics"]["macro_f1"]}
    move_champion(registry, champion)
    tell("promoted", version=uri)
    tell("figure", text=f"version {version}")
    return uri


def _standing_champion(registry: str, digest: str) -> str | None:
    """URI of the version in use if it was promoted by the evaluation with this digest and is complete."""
    if not storage.exists(storage.join(registry, CHAMPION)):
        return None
    try:
        uri = champion_uri(registry)
    except UserError:  # a damaged pointer, which is about to be replaced
        return None
    return uri if uri.endswith(f"-{digest}") and storage.exists(storage.join(uri, CARD)) else None


def _copy(model: str | Path, report: str | Path, folder: Path) -> list[dict[str, Any]]:
    """Put model and report into `folder`, and list what it then holds."""
    # A model folder may itself be a version, with a card of its own.
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns(CARD), dirs_exist_ok=True)
    shutil.copyfile(report, folder / REPORT)
    return list_contents(folder)
