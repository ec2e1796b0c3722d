"""The registry of published models: a folder, or a gs:// or s3:// prefix.

    champion.json                      which version is in use; `champion.py` moves it
    versions/20250131T120102Z-1a2b3c4d/
        model.keras, labels.json, ...  the model folder, so that the version can be loaded as it is
        report.html                    how it was judged
        README.md                      its model card, where model hubs look for it
        split.parquet                  every image that it was trained, validated and tested on, with its lesion
        scores.parquet                 what it said of each test image
        card.json                      its metrics, where it comes from, and every file's size and SHA-256

A version counts only if it has its card, which is the last file to appear.
"""

import json
import re
from pathlib import Path

from lesionflow import storage
from lesionflow.artifacts.model_folder import MODEL
from lesionflow.artifacts.version_card import CARD, FileFacts, VersionCard
from lesionflow.errors import UserError
from lesionflow.runtime.files import file_digest

CHAMPION = "champion.json"
VERSIONS = "versions"
REPORT = "report.html"
MODEL_CARD = "README.md"
SPLIT = "split.parquet"
SCORES = "scores.parquet"


_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class DamagedVersion(UserError):
    """A version lacks files, or they are not those that were promoted."""


def version_uri(registry: str, version: str) -> str:
    """Where a version lies."""
    return storage.join(registry, VERSIONS, version)


def list_contents(folder: Path) -> tuple[FileFacts, ...]:
    """Every file below `folder`, sorted by name."""
    return tuple(
        FileFacts(name=file.name, size=file.size, sha256=file_digest(folder / file.name))
        for file in storage.list_files(str(folder))
    )


def champion_uri(registry: str) -> str:
    """Where the version in use lies.

    Raises:
        UserError: the pointer cannot be read or names no version.
    """
    uri = storage.join(registry, CHAMPION)
    version = named_version(storage.read_bytes(uri))
    if version is None:
        raise UserError(f"{uri} names no version; expected a champion pointer that lesionflow wrote; promote again.")
    return version_uri(registry, version)


def champion_if_registry(uri: str) -> str:
    """Where the version in use lies, if `uri` is a registry; else `uri` itself.

    Raises:
        UserError: it is a registry without a champion, or as `champion_uri`.
    """
    if storage.exists(storage.join(uri, CHAMPION)):
        return champion_uri(uri)
    if storage.exists(storage.join(uri, VERSIONS)):
        raise UserError(f"The registry {uri} has no {CHAMPION} yet; name one of its versions, or promote a model.")
    return uri


def champion_version(registry: str) -> str | None:
    """The version in use; None if the registry has none yet, or does not exist.

    Raises:
        UserError: the pointer cannot be read or names no version, or it names one that is not complete.
    """
    uri = storage.join(registry, CHAMPION)
    found = storage.read_versioned(uri)
    if found is None:
        return None
    version = named_version(found[0])
    if version is None or read_card(registry, version) is None:
        why = "names no version" if version is None else f"names {version}, which is not complete"
        raise UserError(
            f"The champion cannot be compared with: {uri} {why}; promote a model with replace_champion=always, "
            "judged by a policy without a clause on the champion."
        )
    return version


def named_version(pointer: bytes) -> str | None:
    """The version that the content of a champion pointer names; None if it names none."""
    try:
        version = json.loads(pointer)["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else None


def read_card(registry: str, version: str) -> VersionCard | None:
    """The card of a version; None if it has none that can be read, so that nobody can use the version either.

    Raises:
        UserError: the registry cannot be read.
    """
    uri = storage.join(version_uri(registry, version), CARD)
    found = storage.read_versioned(uri)
    if found is None:
        return None
    try:
        return VersionCard.parse(found[0], uri)
    except UserError:  # another reason than a registry that cannot be read, which raises above
        return None


def published_card(registry: str, evaluation_digest: str) -> VersionCard | None:
    """The card of the complete version that a promotion of this very evaluation left; None if there is none.

    Raises:
        UserError: the registry cannot be read.
    """
    versions = storage.join(registry, VERSIONS)
    if not storage.exists(versions):
        return None
    suffix = f"-{evaluation_digest}/{CARD}"
    names = [file.name for file in storage.list_files(versions) if file.name.endswith(suffix)]
    return read_card(registry, max(names).removesuffix(f"/{CARD}")) if names else None


def fetch_model(uri: str, folder: str | Path) -> Path:
    """Bring a model here, if it is not, and check that it is whole.

    Args:
        uri: a registry (its champion is taken), a version in one, or a model folder; local or in a bucket.
        folder: receives what is downloaded.

    Returns:
        A local model folder.

    Raises:
        UserError: there is no such model, or it is not whole.
    """
    given, uri = uri, champion_if_registry(uri)
    published = uri != given
    if not storage.exists(storage.join(uri, MODEL)):
        raise DamagedVersion(
            f"There is no model at {uri}: neither {CHAMPION} (a registry) nor {MODEL} (a version or a model folder)."
        )
    path = storage.download(uri, folder)
    if published or (path / CARD).exists() or uri.rstrip("/").split("/")[-2:-1] == [VERSIONS]:
        _check_whole(uri, path)
    return path


def _check_whole(uri: str, path: Path) -> None:
    """Compare a version's files with its card."""
    if not (path / CARD).is_file():
        raise DamagedVersion(f"The version {uri} has no {CARD}, so it was never completed; promote the model again.")
    try:
        card = VersionCard.load(path / CARD)
    except UserError as error:
        raise DamagedVersion(
            f"{storage.join(uri, CARD)} is not a version's card ({error}); promote the model again."
        ) from None
    for file in card.files:
        if not (path / file.name).is_file() or file_digest(path / file.name) != file.sha256:
            raise DamagedVersion(
                f"{storage.join(uri, file.name)} is missing or not the file that was promoted; promote the model again."
            )
