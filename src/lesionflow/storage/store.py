"""What every kind of storage can do, and what it says when it cannot."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NewType, TypeVar

from lesionflow.errors import UserError
from lesionflow.storage.address import Address

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
    """One file below an address."""

    name: str
    """Relative to the address that was listed, with `/` between folders."""
    size: int
    """Bytes."""
    digest: str | None
    """Of the content, where the store knows it without reading (CRC32C on gs://, ETag on s3://); None locally."""


@dataclass(frozen=True)
class Unreadable:
    """A folder, or a file in one, that may not be looked into."""

    name: str
    """Relative to the address that was listed; `.` for that itself."""
    reason: str
    """What the system says: "Permission denied"."""


class Store(ABC):
    """Files by address. Every method raises UserError if the store cannot be used."""

    @abstractmethod
    def exists(self, place: Address) -> bool:
        """Whether there is a file or a non-empty folder."""

    @abstractmethod
    def read(self, place: Address) -> bytes | None:
        """The content; None if there is no file."""

    @abstractmethod
    def read_versioned(self, place: Address) -> tuple[bytes, Version] | None:
        """The content and the version of exactly this content; None if there is no file."""

    @abstractmethod
    def write(self, place: Address, data: bytes) -> None:
        """Create or replace a file, whole or not at all."""

    @abstractmethod
    def replace(self, place: Address, data: bytes, expected: Version | None) -> None:
        """Write if the file still is `expected` (None: if there still is none); otherwise raise Conflict."""

    def check_swaps(self, place: Address) -> None:
        """Make sure that `replace` below a folder or prefix can be relied on; the store may have to be asked."""
        return  # known to be right

    @abstractmethod
    def list_files(self, place: Address) -> list[StoredFile]:
        """All files below, sorted by name."""


class Buckets(Store):
    """Objects, which are brought here and there in parallel. Prefixes have no slash at their ends."""

    @abstractmethod
    def is_file(self, place: Address) -> bool:
        """Whether there is a file."""

    @abstractmethod
    def fetch(self, place: Address, files: Mapping[str, Path]) -> None:
        """Download in parallel: name below `place` ("" for `place` itself) -> where to put it."""

    @abstractmethod
    def send(self, place: Address, files: Mapping[str, Path]) -> None:
        """Upload in parallel: name below `place` -> what to put there."""


def below(path: str, name: str) -> str:
    """The key of the object `name` below `path`; of `path` itself if `name` is empty."""
    return "/".join(part for part in (path, name) if part)


def first_contact(place: Address, look: Callable[[], object]) -> None:
    """Run `look`, which asks the bucket of `place` for anything, and wait no longer than FIRST_CONTACT.

    The libraries' own limits hold for one address and one read. Where a firewall drops packets, the
    name's lookup and a host of a dozen addresses add up to minutes.

    Raises:
        UserError: no answer in time; and whatever `look` raises.
    """
    try:
        answer_within(FIRST_CONTACT, look)
    except NoAnswer:
        raise unreachable(place, f"no answer within {FIRST_CONTACT:g} s") from None


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


def missing(place: Address) -> UserError:
    """For a bucket or object that is not there."""
    return UserError(f"{place} does not exist; check the bucket's name and the path within it.")


def denied(place: Address) -> UserError:
    """For an account that may not."""
    return UserError(
        f"Access to {place} was denied; give this account read (and, to publish, write) access "
        f"to bucket {place.bucket}."
    )


def unreachable(place: Address, why: str) -> UserError:
    """For a store that does not answer, or only with errors of its own."""
    return UserError(
        f"The bucket {place.bucket} of {place} cannot be reached ({why}); "
        "check the network and the bucket's name, then run again."
    )
