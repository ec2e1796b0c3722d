"""What every kind of storage can do, and what it says when it cannot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NewType, Protocol, TypeVar

from lesionflow.errors import UserError

FIRST_CONTACT = 10.0
"""Seconds within which a bucket has to answer for the first time."""
RETRY = 60.0
"""Seconds to go on trying what a bucket that did answer fails to do."""
CONNECT_TIMEOUT = 3.05
READ_TIMEOUT = 60.0
"""Seconds between two bytes."""

T = TypeVar("T")

Version = NewType("Version", str)
"""Of a file's content at one moment; what it looks like is the store's affair."""


class NoAnswer(Exception):
    """Somebody was asked and said nothing in time."""


class Conflict(Exception):
    """A file is no longer the one that was to be replaced."""


@dataclass(frozen=True)
class StoredFile:
    """One file below a URI."""

    name: str
    """Relative to the URI that was listed, with `/` between folders."""
    size: int
    """Bytes."""
    digest: str | None
    """Of the content, where the store knows it without reading (CRC32C on gs://, ETag on s3://); None locally."""


@dataclass(frozen=True)
class Unreadable:
    """A folder, or a file in one, that may not be looked into."""

    name: str
    """Relative to the URI that was listed; `.` for that itself."""
    reason: str
    """What the system says: "Permission denied"."""


class Store(Protocol):
    """Files by URI. Every method raises UserError if the store cannot be used."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file or a non-empty folder."""
        ...

    def read(self, uri: str) -> bytes | None:
        """The content; None if there is no file."""
        ...

    def read_versioned(self, uri: str) -> tuple[bytes, Version] | None:
        """The content and the version of exactly this content; None if there is no file."""
        ...

    def write(self, uri: str, data: bytes) -> None:
        """Create or replace a file, whole or not at all."""
        ...

    def replace(self, uri: str, data: bytes, expected: Version | None) -> None:
        """Write if the file still is `expected` (None: if there still is none); otherwise raise Conflict."""
        ...

    def list_files(self, uri: str) -> list[StoredFile]:
        """All files below, sorted by name."""
        ...


class Buckets(Store, Protocol):
    """Objects, which are brought here and there in parallel."""

    def is_file(self, uri: str) -> bool:
        """Whether there is a file."""
        ...

    def fetch(self, uri: str, files: Mapping[str, Path]) -> None:
        """Download in parallel: name below `uri` ("" for `uri` itself) -> where to put it."""
        ...

    def send(self, uri: str, files: Mapping[str, Path]) -> None:
        """Upload in parallel: name below `uri` -> what to put there."""
        ...


def address(uri: str) -> tuple[str, str]:
    """Bucket, and the path within it without slashes at its ends.

    Raises:
        UserError: there is no bucket in `uri`.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise UserError(f"{uri} names no bucket; expected {scheme}://bucket/prefix.")
    return bucket, path.strip("/")


def below(path: str, name: str) -> str:
    """The key of the object `name` below `path`; of `path` itself if `name` is empty."""
    return "/".join(part for part in (path, name) if part)


def first_contact(uri: str, look: Callable[[], object]) -> None:
    """Run `look`, which asks the bucket of `uri` for anything, and wait no longer than FIRST_CONTACT.

    The libraries' own limits hold for one address and one read. Where a firewall drops packets, the
    name's lookup and a host of a dozen addresses add up to minutes.

    Raises:
        UserError: no answer in time; and whatever `look` raises.
    """
    try:
        answer_within(FIRST_CONTACT, look)
    except NoAnswer:
        raise unreachable(uri, f"no answer within {FIRST_CONTACT:g} s") from None


def answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """What `ask` returns or raises, if it does so in time.

    Raises:
        NoAnswer: it did not.
    """
    from multiprocessing import TimeoutError as Late
    from multiprocessing.pool import ThreadPool

    pool = ThreadPool(1)  # its thread is a daemon: one that hangs does not keep the process alive
    try:
        return pool.apply_async(ask).get(seconds)
    except Late:
        raise NoAnswer from None
    finally:
        pool.close()


def missing(uri: str) -> UserError:
    """For a bucket or object that is not there."""
    return UserError(f"{uri} does not exist; check the bucket's name and the path within it.")


def denied(uri: str) -> UserError:
    """For an account that may not."""
    return UserError(
        f"Access to {uri} was denied; give this account read (and, to publish, write) access "
        f"to bucket {address(uri)[0]}."
    )


def unreachable(uri: str, why: str) -> UserError:
    """For a store that does not answer, or only with errors of its own."""
    return UserError(
        f"The bucket {address(uri)[0]} of {uri} cannot be reached ({why}); "
        "check the network and the bucket's name, then run again."
    )
