"""Files behind an address: a local path or one in an object store, read and written the same way.

A bucket that cannot be reached, does not exist or may not be read raises a `UserError` within some
ten seconds. Every address may be given as text; text that is no address raises a `UserError` too.
"""

import shutil
from collections.abc import Collection
from functools import cache
from pathlib import Path, PurePosixPath

from lesionflow.errors import UserError
from lesionflow.runtime.discover import find_one
from lesionflow.runtime.files import whole_file, whole_folder
from lesionflow.storage import buckets
from lesionflow.storage.address import Address, AnyAddress
from lesionflow.storage.local import LocalDisk
from lesionflow.storage.store import Buckets, Conflict, Store, StoredFile, Unreadable, Version

__all__ = [
    "Address",
    "AnyAddress",
    "Conflict",
    "StoredFile",
    "Unreadable",
    "Version",
    "check_swaps",
    "download",
    "exists",
    "list_files",
    "read_bytes",
    "read_versioned",
    "replace",
    "upload_folder",
    "write_bytes",
]

_DISK = LocalDisk()


def exists(place: AnyAddress) -> bool:
    """Whether there is a file or a non-empty folder at `place`.

    Raises:
        UserError: the bucket cannot be read.
    """
    return _store(place).exists(Address.parse(place))


def read_bytes(place: AnyAddress) -> bytes:
    """The content of the file at `place`.

    Raises:
        UserError: it cannot be read.
    """
    data = _store(place).read(Address.parse(place))
    if data is None:
        raise UserError(f"{place} cannot be read: it does not exist; check its name.")
    return data


def read_versioned(place: AnyAddress) -> tuple[bytes, Version] | None:
    """The content of the file at `place` and the version of exactly this content; None if there is no file.

    Raises:
        UserError: it cannot be read.
    """
    return _store(place).read_versioned(Address.parse(place))


def write_bytes(place: AnyAddress, data: bytes) -> None:
    """Write `data` to `place`, whole or not at all, replacing what is there.

    Raises:
        UserError: it cannot be written.
    """
    _store(place).write(Address.parse(place), data)


def replace(place: AnyAddress, data: bytes, expected: Version | None) -> None:
    """Write `data` to `place` if nobody has changed it meanwhile: compare and swap.

    Args:
        place: of the file.
        data: its new content.
        expected: what `read_versioned` gave; None if there was no file.

    Raises:
        Conflict: it was changed, and stays as it is.
        UserError: it cannot be written.
    """
    _store(place).replace(Address.parse(place), data, expected)


def check_swaps(place: AnyAddress) -> None:
    """Make sure that `replace` below the folder or prefix `place` can be relied on, before anything does.

    In an S3 store this leaves an empty object there; other kinds are known to be right, and are not asked.

    Raises:
        UserError: the store ignores conditions, or cannot be written.
    """
    _store(place).check_swaps(Address.parse(place))


def list_files(place: AnyAddress, unreadable: list[Unreadable] | None = None) -> list[StoredFile]:
    """All files below the folder or prefix `place`, at any depth, sorted by name.

    Args:
        place: of the folder or prefix.
        unreadable: receives the folders and files of a local disk that may not be looked into.

    Raises:
        UserError: there is no such folder or prefix, or it cannot be read; or something in it cannot, and nobody
            wants to be told.
    """
    address = Address.parse(place)
    if not address.is_remote:
        return _DISK.list_files(address, unreadable)
    files = _buckets(address.scheme).list_files(address)
    if not files:
        raise UserError(f"There is nothing below {place}; expected a prefix with objects below it.")
    return files


def download(place: AnyAddress, folder: str | Path, names: Collection[str] | None = None) -> Path:
    """Fetch the object or prefix at `place` as `folder/<its last name>`, in parallel, whole or not at all.

    Args:
        place: what to fetch.
        folder: where to put it.
        names: of a prefix, only these objects (names as `list_files` gives them); None for all.

    Returns:
        Where it lies now; a local `place` is returned as it is, without a copy.

    Raises:
        UserError: there is nothing at `place`, or the bucket cannot be read.
    """
    address = Address.parse(place)
    if not address.is_remote:
        return address.local
    store = _buckets(address.scheme)
    target = Path(folder) / address.name
    if names is None and store.is_file(address):
        with whole_file(target) as temporary:
            store.fetch(address, {"": temporary})
        return target
    if names is None:
        names = [file.name for file in list_files(address)]
    with whole_folder(target) as temporary:
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise UserError(f"The object {address}/{name} has a name that leads out of its folder; rename it.")
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        store.fetch(address, {name: temporary / name for name in names})
    return target


def upload_folder(folder: str | Path, place: AnyAddress) -> None:
    """Copy everything in the local `folder` to `place`, in parallel.

    A local target is replaced, whole or not at all; in a bucket, objects appear one by one.

    Raises:
        UserError: the bucket cannot be written.
    """
    address = Address.parse(place)
    if not address.is_remote:
        with whole_folder(address.local) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
        return
    files = {file.name: Path(folder, file.name) for file in list_files(Path(folder))}
    _buckets(address.scheme).send(address, files)


def _store(place: AnyAddress) -> Store:
    address = Address.parse(place)
    return _buckets(address.scheme) if address.is_remote else _DISK


@cache
def _buckets(scheme: str) -> Buckets:
    return find_one(buckets.__name__, scheme, "STORE", Buckets)
