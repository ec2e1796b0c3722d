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
from lesionflow.storage import Address, AnyAddress

CHAMPION = "champion.json"
VERSIONS = "versions"
REPORT = "report.html"
MODEL_CARD = "README.md"
SPLIT = "split.parquet"
SCORES = "scores.parquet"


_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class DamagedVersion(UserError):
    """A version lacks files, or they are not those that were promoted."""


def version_address(registry: AnyAddress, version: str) -> Address:
    """Where a version lies."""
    return Address.parse(registry) / VERSIONS / version


def list_contents(folder: Path) -> tuple[FileFacts, ...]:
    """Every file below `folder`, sorted by name."""
    return tuple(
        FileFacts(name=file.name, size=file.size, sha256=file_digest(folder / file.name))
        for file in storage.list_files(str(folder))
    )


def champion_address(registry: AnyAddress) -> Address:
    """Where the version in use lies.

    Raises:
        UserError: the pointer cannot be read or names no version.
    """
    pointer = Address.parse(registry) / CHAMPION
    version = named_version(storage.read_bytes(pointer))
    if version is None:
        raise UserError(
            f"{pointer} names no version; expected a champion pointer that lesionflow wrote; promote again."
        )
    return version_address(registry, version)


def champion_if_registry(place: AnyAddress) -> Address:
    """Where the version in use lies, if `place` is a registry; else `place` itself.

    Raises:
        UserError: it is a registry without a champion, or as `champion_address`.
    """
    address = Address.parse(place)
    if storage.exists(address / CHAMPION):
        return champion_address(address)
    if storage.exists(address / VERSIONS):
        raise UserError(f"The registry {address} has no {CHAMPION} yet; name one of its versions, or promote a model.")
    return address


def champion_version(registry: AnyAddress) -> str | None:
    """The version in use; None if the registry has none yet, or does not exist.

    Raises:
        UserError: the pointer cannot be read or names no version, or it names one that is not complete.
    """
    pointer = Address.parse(registry) / CHAMPION
    found = storage.read_versioned(pointer)
    if found is None:
        return None
    version = named_version(found[0])
    if version is None or read_card(registry, version) is None:
        why = "names no version" if version is None else f"names {version}, which is not complete"
        raise UserError(
            f"The champion cannot be compared with: {pointer} {why}; promote a model with replace_champion=always, "
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


def read_card(registry: AnyAddress, version: str) -> VersionCard | None:
    """The card of a version; None if it has none that can be read, so that nobody can use the version either.

    Raises:
        UserError: the registry cannot be read.
    """
    place = version_address(registry, version) / CARD
    found = storage.read_versioned(place)
    if found is None:
        return None
    try:
        return VersionCard.parse(found[0], str(place))
    except UserError:  # another reason than a registry that cannot be read, which raises above
        return None


def published_card(registry: AnyAddress, evaluation_digest: str) -> VersionCard | None:
    """The card of the complete version that a promotion of this very evaluation left; None if there is none.

    Raises:
        UserError: the registry cannot be read.
    """
    versions = Address.parse(registry) / VERSIONS
    if not storage.exists(versions):
        return None
    suffix = f"-{evaluation_digest}/{CARD}"
    names = [file.name for file in storage.list_files(versions) if file.name.endswith(suffix)]
    return read_card(registry, max(names).removesuffix(f"/{CARD}")) if names else None


def fetch_model(place: AnyAddress, folder: str | Path) -> Path:
    """Bring a model here, if it is not, and check that it is whole.

    Args:
        place: a registry (its champion is taken), a version in one, or a model folder; local or in a bucket.
        folder: receives what is downloaded.

    Returns:
        A local model folder.

    Raises:
        UserError: there is no such model, or it is not whole.
    """
    address = champion_if_registry(place)
    published = address != Address.parse(place)
    if not storage.exists(address / MODEL):
        raise DamagedVersion(
            f"There is no model at {address}: neither {CHAMPION} (a registry) nor {MODEL} (a version or a "
            "model folder)."
        )
    path = storage.download(address, folder)
    if published or (path / CARD).exists() or address.parent.name == VERSIONS:
        _check_whole(address, path)
    return path


def _check_whole(address: Address, path: Path) -> None:
    """Compare a version's files with its card."""
    if not (path / CARD).is_file():
        raise DamagedVersion(
            f"The version {address} has no {CARD}, so it was never completed; promote the model again."
        )
    try:
        card = VersionCard.load(path / CARD)
    except UserError as error:
        raise DamagedVersion(f"{address / CARD} is not a version's card ({error}); promote the model again.") from None
    for file in card.files:
        if not (path / file.name).is_file() or file_digest(path / file.name) != file.sha256:
            raise DamagedVersion(
                f"{address / file.name} is missing or not the file that was promoted; promote the model again."
            )
