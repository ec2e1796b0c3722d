"""Files on a local disk."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_file
from lesionflow.storage.address import Address
from lesionflow.storage.store import Conflict, Store, StoredFile, Unreadable, Version


class LocalDisk(Store):
    """See `Store`."""

    def exists(self, place: Address) -> bool:
        """Whether there is a file or a folder, be it empty."""
        return place.local.exists()

    def read(self, place: Address) -> bytes | None:
        """The content; None if there is no file."""
        try:
            return place.local.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{place} cannot be read: {error.strerror}; expected a file.") from None

    def read_versioned(self, place: Address) -> tuple[bytes, Version] | None:
        """The content and its digest; None if there is no file."""
        data = self.read(place)
        return None if data is None else (data, _version(data))

    def write(self, place: Address, data: bytes) -> None:
        """Create or replace a file, whole or not at all."""
        with _explained(place), whole_file(place.local) as temporary:
            temporary.write_bytes(data)

    def replace(self, place: Address, data: bytes, expected: Version | None) -> None:
        """Compare and write under a lock beside the file; every writer that compares takes the same lock."""
        path = place.local
        with _explained(place):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_name(f".{path.name}.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = self.read_versioned(place)
                if (current[1] if current else None) != expected:
                    raise Conflict(f"{place} was changed by somebody else meanwhile")
                self.write(place, data)

    def list_files(self, place: Address, unreadable: list[Unreadable] | None = None) -> list[StoredFile]:
        """All files below, sorted by name; empty if there are none.

        Args:
            place: of a folder.
            unreadable: receives what may not be looked at or into; None to refuse it.
        """
        folder = place.local
        if not folder.is_dir():
            what = f"{place} is a file" if folder.exists() else f"The folder {place} does not exist"
            raise UserError(f"{what}; expected a folder, or a gs:// or s3:// prefix.")
        files: list[StoredFile] = []

        def note(error: OSError) -> None:
            if isinstance(error, FileNotFoundError):  # another run has just renamed its folder
                return
            reason = error.strerror or type(error).__name__
            if unreadable is None:
                raise UserError(f"{error.filename} cannot be read: {reason}; check its permissions.")
            unreadable.append(Unreadable(Path(error.filename).relative_to(folder).as_posix(), reason))

        # Data is often linked in from a larger disk.
        for parent, _, names in os.walk(folder, followlinks=True, onerror=note):
            for path in (Path(parent, name) for name in names):
                try:
                    status = path.stat()
                except OSError as error:  # also a dangling link
                    note(error)
                    continue
                if stat.S_ISREG(status.st_mode):
                    files.append(StoredFile(path.relative_to(folder).as_posix(), status.st_size, None))
        return sorted(files, key=lambda file: file.name)


def _version(data: bytes) -> Version:
    """Not a time or an inode: those of a file system over a network may be cached, or too coarse."""
    return Version(hashlib.sha256(data).hexdigest())


@contextmanager
def _explained(place: Address) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{place} cannot be written: {error.strerror}; check the folder's permissions and free space."
        ) from None
