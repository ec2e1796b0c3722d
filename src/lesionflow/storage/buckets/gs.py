"""Objects on Google Cloud Storage. `STORAGE_EMULATOR_HOST` in the environment sends everything to an emulator."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from lesionflow.compat.process import look_for_googles_machines_once
from lesionflow.errors import UserError
from lesionflow.storage import store
from lesionflow.storage.address import Address
from lesionflow.storage.store import Buckets, Conflict, StoredFile, Version, below

_TIMEOUTS = (store.CONNECT_TIMEOUT, store.READ_TIMEOUT)


class GoogleStorage(Buckets):
    """See `Store`."""

    def exists(self, place: Address) -> bool:
        """Whether there is an object, or one below."""
        if place.path and self.is_file(place):
            return True
        with _bucket(place) as (bucket, path):
            return any(_list(bucket, path, max_results=1))

    def is_file(self, place: Address) -> bool:
        """Whether there is an object."""
        with _bucket(place) as (bucket, path):
            return bool(path) and bucket.blob(path).exists(timeout=_TIMEOUTS, retry=_retry())

    def read(self, place: Address) -> bytes | None:
        """The content; None if there is no object."""
        from google.api_core.exceptions import NotFound

        with _bucket(place) as (bucket, path):
            try:
                return bucket.blob(path).download_as_bytes(timeout=_TIMEOUTS, retry=_retry())
            except NotFound:
                return None

    def read_versioned(self, place: Address) -> tuple[bytes, Version] | None:
        """The content and its generation; None if there is no object."""
        from google.api_core.exceptions import NotFound

        with _bucket(place) as (bucket, path):
            while blob := bucket.get_blob(path, timeout=_TIMEOUTS, retry=_retry()):
                version = Version(str(blob.generation))
                try:
                    # A blob that knows its generation asks for that one only.
                    return blob.download_as_bytes(timeout=_TIMEOUTS, retry=_retry()), version
                except NotFound:  # replaced between the two requests
                    continue
        return None

    def write(self, place: Address, data: bytes) -> None:
        """Create or replace an object, whole or not at all."""
        with _bucket(place) as (bucket, path):
            _upload(bucket.blob(path), data, None)

    def replace(self, place: Address, data: bytes, expected: Version | None) -> None:
        """Write if the object's generation still is `expected`; 0 is that of an object that is not there."""
        from google.api_core.exceptions import PreconditionFailed

        with _bucket(place) as (bucket, path):
            try:
                _upload(bucket.blob(path), data, int(expected or 0))
            except PreconditionFailed:
                raise Conflict(f"{place} was changed by somebody else meanwhile") from None

    def list_files(self, place: Address) -> list[StoredFile]:
        """All objects below, sorted by name; empty if there are none."""
        with _bucket(place) as (bucket, path):
            blobs = [blob for blob in _list(bucket, path) if not blob.name.endswith("/")]
        start = len(path) + 1 if path else 0
        return sorted(
            (StoredFile(blob.name[start:], blob.size or 0, blob.crc32c or str(blob.generation)) for blob in blobs),
            key=lambda file: file.name,
        )

    def fetch(self, place: Address, files: Mapping[str, Path]) -> None:
        """Download in parallel."""
        from google.cloud.storage import transfer_manager

        with _bucket(place) as (bucket, path):
            transfer_manager.download_many(
                [(bucket.blob(below(path, name)), str(target)) for name, target in files.items()],
                download_kwargs={"timeout": _TIMEOUTS, "retry": _retry()},
                raise_exception=True,
                worker_type=transfer_manager.THREAD,
            )

    def send(self, place: Address, files: Mapping[str, Path]) -> None:
        """Upload in parallel."""
        from google.cloud.storage import transfer_manager

        with _bucket(place) as (bucket, path):
            transfer_manager.upload_many(
                [(str(source), bucket.blob(below(path, name))) for name, source in files.items()],
                upload_kwargs={"timeout": _TIMEOUTS, "retry": _retry()},
                raise_exception=True,
                worker_type=transfer_manager.THREAD,
            )


_answered: set[tuple[str | None, str]] = set()
"""Buckets that this process has reached."""


@contextmanager
def _bucket(place: Address) -> Generator[tuple[Any, str]]:
    """The bucket of `place`, which does answer, and the path within; what goes wrong becomes one sentence."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    with _explained(place):
        if (emulator, place.bucket) not in _answered:
            store.first_contact(place, lambda: _look(_client(emulator).bucket(place.bucket)))
            _answered.add((emulator, place.bucket))
        yield _client(emulator).bucket(place.bucket), place.path


def _look(bucket: Any) -> None:
    """Ask a bucket for anything. A refusal is an answer too: what follows may be allowed, or says why not."""
    from google.api_core.exceptions import ClientError

    with suppress(ClientError):
        bucket.blob("lesionflow").exists(timeout=_TIMEOUTS, retry=_retry(store.FIRST_CONTACT / 2))


@cache
def _client(emulator: str | None) -> Any:
    """One client per process, and per emulator when tests start several."""
    look_for_googles_machines_once()
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    if emulator:
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    return storage.Client(project=None)


def _retry(seconds: float = store.RETRY) -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(seconds)


def _upload(blob: Any, data: bytes, generation: int | None) -> None:
    blob.upload_from_string(
        data,
        content_type="application/octet-stream",
        if_generation_match=generation,
        timeout=_TIMEOUTS,
        retry=_retry(),
    )


def _list(bucket: Any, path: str, max_results: int | None = None) -> Any:
    return bucket.list_blobs(
        prefix=f"{path}/" if path else None,
        max_results=max_results,
        timeout=_TIMEOUTS,
        retry=_retry(),
        fields="items(name,size,crc32c,generation),nextPageToken",
    )


@contextmanager
def _explained(place: Address) -> Generator[None]:
    """Turn what the client raises about a bucket into one sentence."""
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except api.NotFound:
        raise store.missing(place) from None
    except (api.Forbidden, api.Unauthorized):
        raise store.denied(place) from None
    except auth.DefaultCredentialsError:
        raise UserError(
            f"No Google credentials were found to read {place}; run 'gcloud auth application-default login' "
            "or set GOOGLE_APPLICATION_CREDENTIALS."
        ) from None
    except (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException, ConnectionError) as error:
        raise store.unreachable(place, type(getattr(error, "cause", None) or error).__name__) from None


STORE = GoogleStorage()
