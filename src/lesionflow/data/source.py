"""A source of images: a folder or bucket prefix, loose files and zips in any nesting."""

import lzma
import os
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from lesionflow import storage
from lesionflow.data.image_kind import IMAGE_ENDINGS, OTHER_ENDINGS
from lesionflow.errors import UserError

SYNTHETIC_MARKER = "SYNTHETIC.txt"
"""The file that `lesionflow synth` leaves to say that a folder holds no real patients."""

_TABLE_SUFFIXES = frozenset({"", ".csv", ".tab", ".tsv", ".txt"})
_MASK_ENDINGS = ("_segmentation", "_superpixels")  # distributed beside the images, named after them
_LARGEST_TABLE = 16 * 2**20  # bytes; HAM10000's is half a megabyte, Kaggle's tables of raw pixels are not metadata
_LARGEST_IMAGE = 64 * 2**20  # bytes, uncompressed
_LARGEST_RATIO = 200  # of a zip member's two sizes; deflate reaches 1032, images and tables stay below 20


UNREADABLE = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What reading from a damaged zip raises."""


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


@dataclass(frozen=True)
class PassedOver:
    """Something in a source that is not used."""

    name: str
    reason: str
    """In words that count it with others of its kind."""


@dataclass(frozen=True)
class Source:
    """What a folder or prefix holds, sorted by name."""

    uri: str
    """As the user gave it, for messages."""
    root: str
    """Where to read it: `uri`, or a local copy."""
    images: tuple[Entry, ...]
    tables: tuple[Entry, ...]
    """Files that may be metadata."""
    zips: tuple[Entry, ...]
    """The zips themselves. Those of a local source are opened: `images` and `tables` include what is in them."""
    masks: int
    """Number of segmentation masks, which are left aside."""
    synthetic: bool
    passed_over: tuple[PassedOver, ...] = ()
    """What else was found."""

    def notes(self, tables: bool = True) -> list[str]:
        """What is not used, by reason, in a sentence; none if there is nothing.

        Args:
            tables: whether the caller reads the tables; if not, they are among what is not used.
        """
        unused = list(self.passed_over)
        if not tables:
            unused += [PassedOver(entry.name, f"table ({_suffix(entry) or 'no ending'})") for entry in self.tables]
        if not unused:
            return []
        counts = Counter(each.reason for each in unused)
        firsts = {each.reason: each.name for each in reversed(unused)}
        reasons = ", ".join(f"{count:,} x {reason} ({firsts[reason]})" for reason, count in counts.most_common())
        return [f"Not used in {self.uri}: {reasons}."]


def open_source(uri: str, root: str = "") -> Source:
    """List a source. Zips in a bucket are listed, but not opened.

    Args:
        uri: folder, or gs:// or s3:// prefix.
        root: a local copy of it, if there is one.

    Raises:
        UserError: there is nothing at `uri`, or a zip is damaged or dangerous.
    """
    root = root or uri
    if not root:
        raise UserError("The source is empty; expected a folder, or a gs:// or s3:// prefix, with images and metadata.")
    unreadable: list[storage.Unreadable] = []
    loose = [Entry(file.name, "", file.size, file.digest) for file in storage.list_files(root, unreadable)]
    if not loose and unreadable:
        raise UserError(f"{uri} cannot be read: {unreadable[0].reason} ({unreadable[0].name}); check its permissions.")
    if not loose:
        expected = "expected images (or zips of images), and to learn from them a metadata table"
        raise UserError(f"The folder {uri} is empty; {expected}.")
    zips = [entry for entry in loose if _suffix(entry) == ".zip" and not _is_junk(entry)]
    entries = loose
    if not storage.is_remote(root):
        entries = loose + [member for entry in zips for member in _members(uri, root, entry)]
    junk = [entry for entry in entries if _is_junk(entry)]
    entries = [entry for entry in entries if not _is_junk(entry)]
    images = _images(entries)
    masks = [entry for entry in images if entry.stem.endswith(_MASK_ENDINGS)]
    tables = [entry for entry in entries if _suffix(entry) in _TABLE_SUFFIXES and entry.size <= _LARGEST_TABLE]
    used = {*images, *tables, *zips}
    return Source(
        uri=uri,
        root=root,
        images=tuple(entry for entry in images if not entry.stem.endswith(_MASK_ENDINGS)),
        tables=tuple(tables),
        zips=tuple(zips),
        masks=len(masks),
        synthetic=any(PurePosixPath(entry.name).name == SYNTHETIC_MARKER for entry in tables),
        passed_over=(
            *(PassedOver(each.name, f"unreadable ({each.reason})") for each in sorted(unreadable, key=str)),
            *(PassedOver(entry.name, _why_not(entry)) for entry in entries if entry not in used),
            *(PassedOver(entry.name, "segmentation mask") for entry in masks),
            *(PassedOver(entry.name, "hidden file") for entry in junk),
        ),
    )


@contextmanager
def local_source(uri: str) -> Generator[Source]:
    """A source with all its files on a local disk; what a bucket holds is fetched for as long as the block runs.

    Raises:
        UserError: as `open_source`.
    """
    source = open_source(uri)
    if not storage.is_remote(uri):
        yield source
        return
    names = sorted({entry.path for entry in (*source.images, *source.tables, *source.zips)})
    with tempfile.TemporaryDirectory(prefix="lesionflow-source-") as folder:
        local = open_source(uri, str(storage.download(uri, folder, names)))
        yield replace(local, passed_over=tuple(dict.fromkeys((*source.passed_over, *local.passed_over))))


def read(source: Source, entry: Entry) -> bytes:
    """The content of one file of a source.

    Raises:
        UserError: it cannot be read.
    """
    if not entry.member:
        return storage.read_bytes(storage.join(source.root, entry.path))
    try:
        with zipfile.ZipFile(storage.join(source.root, entry.path)) as archive:
            return archive.read(entry.member)
    except UNREADABLE as error:
        raise UserError(f"{entry.name} in {source.uri} cannot be read ({error}); download the zip again.") from None


def content_digest(source: Source, entry: Entry) -> str:
    """The digest of a file's content, read if it is not known; a loose file's is that of the same file in a zip.

    Raises:
        UserError: the file cannot be read.
    """
    return entry.digest or f"{zlib.crc32(read(source, entry)):08x}"


def _images(entries: Sequence[Entry]) -> list[Entry]:
    """What is to be read as an image: also one of a format that is not read, so that it has its row and its reason.

    Not if the same picture lies there in a format that is read, as cameras and telephones leave it.
    """
    stems = {entry.stem for entry in entries if _suffix(entry) in IMAGE_ENDINGS}
    return [
        entry
        for entry in entries
        if _suffix(entry) in IMAGE_ENDINGS or (_suffix(entry) in OTHER_ENDINGS and entry.stem not in stems)
    ]


def _why_not(entry: Entry) -> str:
    suffix = _suffix(entry)
    if suffix in OTHER_ENDINGS:
        return f"{suffix} beside an image of the same name"
    if suffix in _TABLE_SUFFIXES:
        return f"table of more than {_LARGEST_TABLE // 2**20} MB"
    return "zip within a zip" if suffix == ".zip" else f"{suffix} file"


def _suffix(entry: Entry) -> str:
    return PurePosixPath(entry.name).suffix.lower()


def _is_junk(entry: Entry) -> bool:
    """Hidden files, and the resource forks that macOS puts into zips under the images' own names."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(entry.name).parts)


def _members(uri: str, root: str, entry: Entry) -> Iterator[Entry]:
    """The files in a local zip, by its directory.

    Raises:
        UserError: the zip is damaged, or a member is one that an honest data set does not have.
    """
    path = storage.join(uri, entry.path)
    try:
        with zipfile.ZipFile(storage.join(root, entry.path)) as archive:
            infos = archive.infolist()
    except UNREADABLE as error:
        raise UserError(
            f"The zip {path} is truncated or damaged ({str(error).rstrip('.')}); download it again."
        ) from None
    for info in infos:
        if info.is_dir():
            continue
        name = info.filename
        danger = None
        if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts or os.path.splitdrive(name)[0]:
            danger = "has a name that leads out of its folder"
        elif stat.S_ISLNK(info.external_attr >> 16):
            danger = "is a symbolic link"
        elif info.flag_bits & 1:
            danger = "is encrypted"
        elif info.file_size > _LARGEST_IMAGE:
            danger = f"is {info.file_size / 2**20:,.0f} MB uncompressed (at most {_LARGEST_IMAGE // 2**20} are read)"
        elif info.file_size > 2**20 and info.file_size > _LARGEST_RATIO * info.compress_size:
            danger = f"is compressed {info.file_size // max(info.compress_size, 1)} times (a decompression bomb)"
        if danger:
            raise UserError(f"The member {name} of the zip {path} {danger}; remove it, or get the zip from its source.")
        yield Entry(entry.path, name, info.file_size, f"{info.CRC:08x}")
