"""Files behind a URI: a local path, gs://, or s3:// (minio:// is the same), read and written the same way.

A bucket that cannot be reached, does not exist or may not be read raises a `UserError` within some
ten seconds.
"""

import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_file, whole_folder
from lesionflow.storage.gcs import GoogleStorage
from lesionflow.storage.local import LocalDisk, local_path
from lesionflow.storage.s3 import S3
from lesionflow.storage.store import Buckets, Conflict, Store, StoredFile, Unreadable, Version, address

__all__ = [
    "Conflict",
    "StoredFile",
    "Unreadable",
    "Version",
    "check_swaps",
    "download",
    "exists",
    "is_remote",
    "join",
    "list_files",
    "local_path",
    "read_bytes",
    "read_versioned",
    "replace",
    "upload_folder",
    "write_bytes",
]

_DISK = LocalDisk()
_BUCKETS: dict[str, Buckets] = {"gs": GoogleStorage(), "s3": S3(), "minio": S3()}


def is_remote(uri: str) -> bool:
    """Whether `uri` names an object store and not a local path."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        return False
    if scheme not in _BUCKETS:
        raise UserError(
            f"{uri} is not an address lesionflow can read; expected a local path, gs://bucket/prefix or "
            "s3://bucket/prefix."
        )
    return True


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI or local path."""
    if is_remote(uri):
        return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])
    return str(local_path(uri).joinpath(*parts))


def exists(uri: str) -> bool:
    """Whether there is a file or a non-empty folder at `uri`.

    Raises:
        UserError: the bucket cannot be read.
    """
    return _store(uri).exists(uri)


def read_bytes(uri: str) -> bytes:
    """The content of the file at `uri`.

    Raises:
        UserError: it cannot be read.
    """
    data = _store(uri).read(uri)
    if data is None:
        raise UserError(f"{uri} cannot be read: it does not exist; check its name.")
    return data


def read_versioned(uri: str) -> tuple[bytes, Version] | None:
    """The content of the file at `uri` and the version of exactly this content; None if there is no file.

    Raises:
        UserError: it cannot be read.
    """
    return _store(uri).read_versioned(uri)


def write_bytes(uri: str, data: bytes) -> None:
    """Write `data` to `uri`, whole or not at all, replacing what is there.

    Raises:
        UserError: it cannot be written.
    """
    _store(uri).write(uri, data)


def replace(uri: str, data: bytes, expected: Version | None) -> None:
    """Write `data` to `uri` if nobody has changed it meanwhile: compare and swap.

    Args:
        uri: of the file.
        data: its new content.
        expected: what `read_versioned` gave; None if there was no file.

    Raises:
        Conflict: it was changed, and stays as it is.
        UserError: it cannot be written.
    """
    _store(uri).replace(uri, data, expected)


def check_swaps(uri: str) -> None:
    """Make sure that `replace` below the folder or prefix `uri` can be relied on, before anything does.

    In an S3 store this leaves an empty object there; other kinds are known to be right, and are not asked.

    Raises:
        UserError: the store ignores conditions, or cannot be written.
    """
    store = _store(uri)
    if isinstance(store, S3):
        store.check_swaps(uri)


def list_files(uri: str, unreadable: list[Unreadable] | None = None) -> list[StoredFile]:
    """All files below the folder or prefix `uri`, at any depth, sorted by name.

    Args:
        uri: of the folder or prefix.
        unreadable: receives the folders and files of a local disk that may not be looked into.

    Raises:
        UserError: there is no such folder or prefix, or it cannot be read; or something in it cannot, and nobody
            wants to be told.
    """
    files = _store(uri).list_files(uri) if is_remote(uri) else _DISK.list_files(uri, unreadable)
    if not files and is_remote(uri):
        raise UserError(f"There is nothing below {uri}; expected a prefix with objects below it.")
    return files


def download(uri: str, folder: str | Path, names: Collection[str] | None = None) -> Path:
    """Fetch the object or prefix at `uri` as `folder/<its last name>`, in parallel, whole or not at all.

    Args:
        uri: what to fetch.
        folder: where to put it.
        names: of a prefix, only these objects (names as `list_files` gives them); None for all.

    Returns:
        Where it lies now; a local `uri` is returned as it is, without a copy.

    Raises:
        UserError: there is nothing at `uri`, or the bucket cannot be read.
    """
    if not is_remote(uri):
        return local_path(uri)
    store = _BUCKETS[_scheme(uri)]
    bucket, path = address(uri)
    target = Path(folder) / (PurePosixPath(path).name or bucket)
    if names is None and store.is_file(uri):
        with whole_file(target) as temporary:
            store.fetch(uri, {"": temporary})
        return target
    if names is None:
        names = [file.name for file in list_files(uri)]
    with whole_folder(target) as temporary:
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise UserError(f"The object {join(uri, name)} has a name that leads out of its folder; rename it.")
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        store.fetch(uri, {name: temporary / name for name in names})
    return target


def upload_folder(folder: str | Path, uri: str) -> None:
    """Copy everything in the local `folder` to `uri`, in parallel.

    A local target is replaced, whole or not at all; in a bucket, objects appear one by one.

    Raises:
        UserError: the bucket cannot be written.
    """
    if not is_remote(uri):
        with whole_folder(local_path(uri)) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
        return
    _BUCKETS[_scheme(uri)].send(uri, {file.name: Path(folder, file.name) for file in list_files(str(folder))})


def _store(uri: str) -> Store:
    return _BUCKETS[_scheme(uri)] if is_remote(uri) else _DISK


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]
