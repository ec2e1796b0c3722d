"""Addresses: where a file, a folder or a prefix lies, on this machine's disk or in an object store."""

import re
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lesionflow.errors import UserError
from lesionflow.storage.buckets import schemes

LOCAL = "file"
"""The scheme of this machine's disk, which nobody needs to write."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A place; nothing needs to be there.

    >>> Address.parse("gs://bucket/registry/") / "versions" / "one"
    gs://bucket/registry/versions/one
    """

    scheme: str
    """`file`, or that of an object store: a module of `storage.buckets`."""
    bucket: str
    """Empty locally."""
    path: str
    """As the system writes it, relative or absolute; within a bucket without slashes at its ends."""

    @classmethod
    def parse(cls, place: "AnyAddress") -> "Address":
        """Understand what a user wrote: a path, `~/path`, `file:///path`, `gs://bucket/path`, `s3://bucket/path`.

        Args:
            place: text; a `Path` is taken as it is, an address too.

        Raises:
            UserError: it is empty, of a scheme that there is no store for, or names no bucket.
        """
        if isinstance(place, Address):
            return place
        if not isinstance(place, str):
            return cls(LOCAL, "", fspath(place))
        if not place:
            raise UserError(f"The address is empty; expected {_expected()}.")
        url = _URL.fullmatch(place)
        if url is None:
            return cls(LOCAL, "", str(_with_home(Path(place))))
        scheme, rest = url[1].lower(), url[2]
        if scheme == LOCAL:
            return cls(LOCAL, "", str(Path(unquote(urlsplit(place).path))))
        if scheme not in schemes():
            raise UserError(f"{place} is not an address lesionflow can read; expected {_expected()}.")
        bucket, _, path = rest.partition("/")
        if not bucket:
            raise UserError(f"{place} names no bucket; expected {scheme}://bucket/prefix.")
        return cls(scheme, bucket, path.strip("/"))

    @property
    def is_remote(self) -> bool:
        """Whether it is in an object store, and not a path of this machine."""
        return self.scheme != LOCAL

    @property
    def is_s3(self) -> bool:
        """Whether its store speaks S3's protocol: Amazon's, or one that the environment names."""
        return self.scheme in ("s3", "minio")

    @property
    def local(self) -> Path:
        """The path of a local address.

        Raises:
            ValueError: it is remote.
        """
        if self.is_remote:
            raise ValueError(f"{self} is no path of this machine")
        return Path(self.path)

    @property
    def name(self) -> str:
        """The last part: that of the file, the folder or the prefix; the bucket's if there is nothing else."""
        return PurePosixPath(self.path).name or self.bucket

    @property
    def suffix(self) -> str:
        """The ending of the name with its dot, in lower case; empty if it has none."""
        return PurePosixPath(self.path).suffix.lower()

    @property
    def parent(self) -> "Address":
        """The folder or prefix that it lies in; the top lies in itself."""
        above = self.path.rpartition("/")[0] if self.is_remote else str(Path(self.path).parent)
        return replace(self, path=above)

    def absolute(self) -> "Address":
        """The same place, whatever the working directory is later."""
        return self if self.is_remote else replace(self, path=str(Path(self.path).absolute()))

    def __truediv__(self, below: str | PathLike[str]) -> "Address":
        """What lies below: a name, or several with `/` between them."""
        name = fspath(below).strip("/")
        if self.is_remote:
            return replace(self, path="/".join(part for part in (self.path, name) if part))
        return replace(self, path=str(Path(self.path, name)))

    def __str__(self) -> str:
        """As a user would write it, and `parse` understands it."""
        if not self.is_remote:
            return self.path
        return f"{self.scheme}://{self.bucket}/{self.path}" if self.path else f"{self.scheme}://{self.bucket}"

    __repr__ = __str__


AnyAddress = Address | str | PathLike[str]
"""What functions take that read or write somewhere."""


def _with_home(path: Path) -> Path:
    """A path with `~` and `~name` as a shell takes them, which it does not everywhere on a command line."""
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user, so that is what the folder is called
        return path


def _expected() -> str:
    return " or ".join(["a local path", *(f"{scheme}://bucket/prefix" for scheme in schemes())])
