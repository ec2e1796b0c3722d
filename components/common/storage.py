"""Files behind a URI: a local path or a `gs://` address, read and written the same way.

Objects of a bucket that cannot be reached, does not exist or may not be read raise a `UserError`
within some ten seconds. `STORAGE_EMULATOR_HOST` in the environment sends everything to an emulator.
"""

import os
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from components.common.errors import UserError
from components.common.files import whole_file, whole_folder

_SCHEME = "gs://"
_FIRST_CONTACT = 6.0  # seconds to go on trying a bucket that does not answer
_TRANSFER = 60.0  # seconds to go on trying one object of a bucket that did answer
_TIMEOUTS = (3.05, 60.0)  # seconds to connect, seconds between two bytes


class Conflict(Exception):
    """An object is no longer the one that was to be replaced."""


@dataclass(frozen=True)
class StoredFile:
    """One file below a URI."""

    name: str
    """Relative to the URI that was listed, with `/` between folders."""
    size: int
    """Bytes."""
    digest: str | None
    """Of the content, where the store knows it without reading (CRC32C on gs://); None on a local disk."""


def is_remote(uri: str) -> bool:
    """Whether `uri` names an object store and not a local path."""
    if uri.startswith(_SCHEME):
        return True
    if "://" in uri and not uri.startswith("file://"):
        raise UserError(f"{uri} is not an address lesionflow can read; expected a local path or gs://bucket/prefix.")
    return False


def local_path(uri: str) -> Path:
    """The path that a local `uri` (a path, or file://...) names."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)


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
    if not is_remote(uri):
        return local_path(uri).exists()
    bucket, path = _bucket(uri)
    with _explained(uri):
        if path and bucket.blob(path).exists(timeout=_TIMEOUTS, retry=_retry(_FIRST_CONTACT)):
            return True
        return any(_list(bucket, path, max_results=1))


def read_bytes(uri: str) -> bytes:
    """The content of the file at `uri`.

    Raises:
        UserError: it cannot be read.
    """
    if not is_remote(uri):
        try:
            return local_path(uri).read_bytes()
        except OSError as error:
            raise UserError(f"{uri} cannot be read: {error.strerror}; expected a file.") from None
    bucket, path = _bucket(uri)
    with _explained(uri):
        return bucket.blob(path).download_as_bytes(timeout=_TIMEOUTS, retry=_retry(_FIRST_CONTACT))


def write_bytes(uri: str, data: bytes, if_generation: int | None = None) -> None:
    """Write `data` to `uri`, whole or not at all, replacing what is there.

    Args:
        uri: of the file.
        data: its new content.
        if_generation: on gs://, write only if this still is the object's `generation`.

    Raises:
        Conflict: it no longer is.
        UserError: the bucket cannot be written.
    """
    if not is_remote(uri):
        with whole_file(local_path(uri)) as temporary:
            temporary.write_bytes(data)
        return
    from google.api_core.exceptions import PreconditionFailed

    bucket, path = _bucket(uri)
    with _explained(uri):
        try:
            bucket.blob(path).upload_from_string(
                data,
                content_type="application/octet-stream",
                if_generation_match=if_generation,
                timeout=_TIMEOUTS,
                retry=_retry(_FIRST_CONTACT),
            )
        except PreconditionFailed:
            raise Conflict(f"{uri} was changed by somebody else meanwhile") from None


def generation(uri: str) -> int:
    """A number that changes whenever the object at `uri` is written; 0 if there is none, and on a local disk.

    Raises:
        UserError: the bucket cannot be read.
    """
    if not is_remote(uri):
        return 0
    bucket, path = _bucket(uri)
    with _explained(uri):
        blob = bucket.get_blob(path, timeout=_TIMEOUTS, retry=_retry(_FIRST_CONTACT))
    return blob.generation if blob else 0


def list_files(uri: str) -> list[StoredFile]:
    """All files below the folder or prefix `uri`, at any depth, sorted by name.

    Raises:
        UserError: there is no such folder or prefix, or the bucket cannot be read.
    """
    if not is_remote(uri):
        folder = local_path(uri)
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise UserError(f"The folder {uri} {what}; expected a folder or a gs:// prefix.")
        files: list[StoredFile] = []
        for parent, _, names in os.walk(folder, followlinks=True):  # data is often linked in from a larger disk
            paths = [Path(parent, name) for name in names]
            files += [
                StoredFile(path.relative_to(folder).as_posix(), path.stat().st_size, None)
                for path in paths
                if path.is_file()
            ]
        return sorted(files, key=lambda file: file.name)
    bucket, path = _bucket(uri)
    prefix = f"{path}/" if path else ""
    with _explained(uri):
        blobs = [blob for blob in _list(bucket, path) if not blob.name.endswith("/")]
    if not blobs:
        raise UserError(f"There is nothing below {uri}; expected a gs:// prefix with objects below it.")
    return sorted(
        (StoredFile(blob.name[len(prefix) :], blob.size or 0, blob.crc32c or str(blob.generation)) for blob in blobs),
        key=lambda file: file.name,
    )


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
    from google.cloud.storage import transfer_manager

    bucket, path = _bucket(uri)
    target = Path(folder) / (PurePosixPath(path).name or bucket.name)
    options: dict[str, Any] = {"timeout": _TIMEOUTS, "retry": _retry(_TRANSFER)}
    with _explained(uri):
        if path and names is None and (blob := bucket.get_blob(path, timeout=_TIMEOUTS, retry=_retry(_FIRST_CONTACT))):
            with whole_file(target) as temporary:
                blob.download_to_filename(str(temporary), **options)
            return target
    if names is None:
        names = [file.name for file in list_files(uri)]
    with _explained(uri), whole_folder(target) as temporary:
        for name in names:
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise UserError(f"The object {join(uri, name)} has a name that leads out of its folder; rename it.")
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        prefix = f"{path}/" if path else ""
        transfer_manager.download_many(
            [(bucket.blob(prefix + name), str(temporary / name)) for name in names],
            download_kwargs=options,
            raise_exception=True,
            worker_type=transfer_manager.THREAD,
        )
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
    from google.cloud.storage import transfer_manager

    bucket, _ = _bucket(uri)
    names = [file.name for file in list_files(str(folder))]
    with _explained(uri):
        any(_list(bucket, "", max_results=1))  # an unreachable bucket shows here, before 8 threads wait for it
        transfer_manager.upload_many(
            [(str(Path(folder, name)), bucket.blob(_bucket(join(uri, name))[1])) for name in names],
            upload_kwargs={"timeout": _TIMEOUTS, "retry": _retry(_TRANSFER)},
            raise_exception=True,
            worker_type=transfer_manager.THREAD,
        )


def _bucket(uri: str) -> tuple[Any, str]:
    """The bucket (a client's handle, not contacted yet) and the path within it, without slashes at its ends."""
    name, _, path = uri.removeprefix(_SCHEME).partition("/")
    if not name:
        raise UserError(f"{uri} names no bucket; expected gs://bucket/prefix.")
    with _explained(uri):
        return _client(os.environ.get("STORAGE_EMULATOR_HOST")).bucket(name), path.strip("/")


@cache
def _client(emulator: str | None) -> Any:
    """One client per process, and per emulator when tests start several."""
    # Away from Google's machines, looking for their metadata server takes 3 tries of 3 s by default.
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "1")
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if emulator:
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    return storage.Client(project=None)


def _retry(seconds: float) -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(seconds)


def _list(bucket: Any, path: str, max_results: int | None = None) -> Any:
    return bucket.list_blobs(
        prefix=f"{path}/" if path else None,
        max_results=max_results,
        timeout=_TIMEOUTS,
        retry=_retry(_FIRST_CONTACT),
        fields="items(name,size,crc32c,generation),nextPageToken",
    )


@contextmanager
def _explained(uri: str) -> Generator[None]:
    """Turn what the client raises about a bucket into one sentence."""
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.exceptions import NotFound

    bucket = uri.removeprefix(_SCHEME).partition("/")[0]
    try:
        yield
    except NotFound:
        raise UserError(f"{uri} does not exist; check the bucket's name and the path within it.") from None
    except (api.Forbidden, api.Unauthorized):
        raise UserError(
            f"Access to {uri} was denied; give this account read (and, to publish, write) access to bucket {bucket}."
        ) from None
    except auth.DefaultCredentialsError:
        raise UserError(
            f"No Google credentials were found to read {uri}; run 'gcloud auth application-default login' "
            "or set GOOGLE_APPLICATION_CREDENTIALS."
        ) from None
    except (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException, ConnectionError) as error:
        raise UserError(
            f"The bucket {bucket} of {uri} cannot be reached ({type(error).__name__}); "
            "check the network and the bucket's name, then run again."
        ) from None
