"""A source of images: a folder or bucket prefix, loose files and zips in any nesting."""

import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lesionflow import storage
from lesionflow.data.entry import Entry
from lesionflow.data.image_kind import IMAGE_ENDINGS, OTHER_ENDINGS
from lesionflow.data.zip_members import UNREADABLE, zip_members
from lesionflow.errors import UserError
from lesionflow.storage import Address, AnyAddress

SYNTHETIC_MARKER = "SYNTHETIC.txt"
"""The file that `lesionflow synth` leaves to say that a folder holds no real patients."""

_TABLE_SUFFIXES = frozenset({"", ".csv", ".tab", ".tsv", ".txt"})
_MASK_ENDINGS = ("_segmentation", "_superpixels")  # distributed beside the images, named after them
_LARGEST_TABLE = 16 * 2**20  # bytes; HAM10000's is half a megabyte, Kaggle's tables of raw pixels are not metadata


@dataclass(frozen=True)
class PassedOver:
    """Something in a source that is not used."""

    name: str
    reason: str
    """In words that count it with others of its kind."""


@dataclass(frozen=True)
class Source:
    """What a folder or prefix holds, sorted by name."""

    address: Address
    """As the user gave it, for messages."""
    root: Address
    """Where to read it: `address`, or a local copy."""
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
        return [f"Not used in {self.address}: {reasons}."]


def open_source(place: AnyAddress, copy: Path | None = None) -> Source:
    """List a source. Zips in a bucket are listed, but not opened.

    Args:
        place: folder, or prefix in an object store.
        copy: a local copy of it, if there is one.

    Raises:
        UserError: there is nothing at `place`, or a zip is damaged or dangerous.
    """
    if not place:
        raise UserError("The source is empty; expected a folder, or a gs:// or s3:// prefix, with images and metadata.")
    address = Address.parse(place)
    root = Address.parse(copy) if copy else address
    unreadable: list[storage.Unreadable] = []
    loose = [Entry(file.name, "", file.size, file.digest) for file in storage.list_files(root, unreadable)]
    if not loose:
        raise _nothing_in(address, unreadable)
    zips = [entry for entry in loose if _suffix(entry) == ".zip" and not _is_junk(entry)]
    entries = loose
    if not root.is_remote:
        entries = loose + [member for entry in zips for member in zip_members(address, root, entry)]
    junk = [entry for entry in entries if _is_junk(entry)]
    entries = [entry for entry in entries if not _is_junk(entry)]
    images = _images(entries)
    masks = [entry for entry in images if entry.stem.endswith(_MASK_ENDINGS)]
    tables = [entry for entry in entries if _suffix(entry) in _TABLE_SUFFIXES and entry.size <= _LARGEST_TABLE]
    used = {*images, *tables, *zips}
    return Source(
        address=address,
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


def _nothing_in(address: Address, unreadable: list[storage.Unreadable]) -> UserError:
    if unreadable:
        first = unreadable[0]
        return UserError(f"{address} cannot be read: {first.reason} ({first.name}); check its permissions.")
    return UserError(
        f"The folder {address} is empty; expected images (or zips of images), and to learn from them a metadata table."
    )


@contextmanager
def local_source(place: AnyAddress) -> Generator[Source]:
    """A source with all its files on a local disk; what a bucket holds is fetched for as long as the block runs.

    Raises:
        UserError: as `open_source`.
    """
    source = open_source(place)
    if not source.address.is_remote:
        yield source
        return
    names = sorted({entry.path for entry in (*source.images, *source.tables, *source.zips)})
    with tempfile.TemporaryDirectory(prefix="lesionflow-source-") as folder:
        local = open_source(source.address, storage.download(source.address, folder, names))
        yield replace(local, passed_over=tuple(dict.fromkeys((*source.passed_over, *local.passed_over))))


def read(source: Source, entry: Entry) -> bytes:
    """The content of one file of a source.

    Raises:
        UserError: it cannot be read.
    """
    if not entry.member:
        return storage.read_bytes(source.root / entry.path)
    try:
        with zipfile.ZipFile((source.root / entry.path).local) as archive:
            return archive.read(entry.member)
    except UNREADABLE as error:
        raise UserError(f"{entry.name} in {source.address} cannot be read ({error}); download the zip again.") from None


def entry_digest(source: Source, entry: Entry) -> str:
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
