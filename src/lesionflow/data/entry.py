"""One file of a source of images."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Entry:
    """One file of a source, loose or in a zip."""

    path: str
    """Of the loose file, or of the zip; relative to the source, with `/` between folders."""
    member: str
    """Name within the zip; empty for a loose file."""
    size: int
    """Bytes, uncompressed."""
    digest: str | None
    """Of the content, where it is known without reading."""

    @property
    def name(self) -> str:
        """What to call it towards users: its path, through the zip if it lies in one."""
        return f"{self.path}/{self.member}" if self.member else self.path

    @property
    def stem(self) -> str:
        """File name without folders and extension: an image's id."""
        return PurePosixPath(self.name).stem
