"""The images that `lesionflow predict` was given: files, folders and zips, here or in a bucket."""

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from lesionflow import storage
from lesionflow.data.entry import Entry
from lesionflow.data.image_kind import ENDINGS_TEXT, IMAGE_ENDINGS
from lesionflow.data.image_problem import unreadable
from lesionflow.data.image_reader import read_file
from lesionflow.data.source import Source, open_source
from lesionflow.data.zip_members import UNREADABLE
from lesionflow.errors import UserError
from lesionflow.storage import Address, AnyAddress

_ZIP = ".zip"


@dataclass(frozen=True)
class InputImage:
    """An image to classify."""

    image_id: str
    """Its file's name without folders and suffix."""
    address: Address
    """Where it lies, for messages; in a zip with the zip's name before its own."""
    state: str
    """Changes with its content, as far as can be known without reading it."""
    content: Callable[[], bytes]

    def read(self) -> bytes:
        """Its encoded bytes.

        Raises:
            ImageProblem: they cannot be read.
            UserError: a bucket does not answer.
        """
        try:
            return self.content()
        except UNREADABLE as error:
            raise unreadable(error) from None


class PredictionInputs:
    """The images, in the order in which they were named, folders sorted by path; zips stay open within the block.

    Images in a bucket are read when they are needed; only zips in it are downloaded.
    """

    def __init__(self, places: Sequence[AnyAddress]) -> None:
        """List them.

        Args:
            places: image files, zips, folders (searched at any depth), and prefixes in an object store.

        Raises:
            UserError: there is nothing at one of them, it holds no images, a zip is damaged, or two images
                have the same name.
        """
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._stack = ExitStack()
        self.notes: list[str] = []
        """What was found and is not used, in sentences."""
        self._scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lesionflow-predict-")))
        try:
            self.pictures = _distinct(picture for place in places for picture in self._found(Address.parse(place)))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()

    def digest(self) -> str:
        """Changes with the images, their order, or what is in them."""
        lines = (f"{picture.address}\0{picture.state}\0" for picture in self.pictures)
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def _found(self, place: Address) -> list[InputImage]:
        if place.is_remote:
            if place.suffix == _ZIP:
                return self._of_zip(place)
            if place.suffix in IMAGE_ENDINGS and (found := storage.read_versioned(place)):
                stem = PurePosixPath(place.name).stem
                return [InputImage(stem, place, str(found[1]), partial(storage.read_bytes, place))]
        elif place.local.is_file():
            return self._of_zip(place) if place.suffix == _ZIP else [_of_file(place.local)]
        elif not place.local.is_dir():
            raise UserError(f"There is no image, zip or folder {place}.")
        return self._of_folder(place)

    def _of_folder(self, place: Address) -> list[InputImage]:
        source = open_source(place)
        self.notes += source.notes(tables=False)
        found = [self._of_entry(source, entry) for entry in source.images]
        if place.is_remote:  # those of a local source are opened already
            for entry in source.zips:
                found += self._of_zip(place / entry.path)
        if not found:
            raise UserError(f"There are no images below {place}; expected files ending in {ENDINGS_TEXT}, or zips.")
        return sorted(found, key=lambda picture: str(picture.address))

    def _of_zip(self, place: Address) -> list[InputImage]:
        """Through a folder that holds nothing else, so that `open_source` does its checks on this zip alone."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        path = storage.download(place, folder)
        if path.parent != folder:
            (folder / path.name).symlink_to(path.absolute())
        source = open_source(place.parent, folder)
        self.notes += replace(source, address=place).notes(tables=False)
        found = [self._of_entry(source, entry) for entry in source.images]
        if not found:
            raise UserError(f"There are no images in {place}; expected files ending in {ENDINGS_TEXT}.")
        return sorted(found, key=lambda picture: str(picture.address))

    def _of_entry(self, source: Source, entry: Entry) -> InputImage:
        address, where = source.address / entry.name, source.root / entry.path
        if entry.member:
            archive = self._archive(where.local)
            return InputImage(entry.stem, address, f"{entry.size} {entry.digest}", partial(archive.read, entry.member))
        if where.is_remote:
            return InputImage(entry.stem, address, f"{entry.size} {entry.digest}", partial(storage.read_bytes, where))
        return _of_file(where.local)

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """One open zip serves all its members, from any thread."""
        if path not in self._archives:
            self._archives[path] = self._stack.enter_context(zipfile.ZipFile(path))
        return self._archives[path]


def _of_file(path: Path) -> InputImage:
    status = path.stat()
    return InputImage(
        path.stem, Address.parse(path), f"{status.st_size} {status.st_mtime_ns}", partial(read_file, path)
    )


def _distinct(pictures: Iterable[InputImage]) -> tuple[InputImage, ...]:
    """Each image once, although it was named twice.

    Raises:
        UserError: two have the same id, or there are none.
    """
    by_id: dict[str, InputImage] = {}
    seen: set[Address] = set()
    for picture in pictures:
        place = picture.address
        if not place.is_remote:
            place = Address.parse(place.local.resolve())
        if place in seen:
            continue
        seen.add(place)
        if first := by_id.get(picture.image_id):
            raise UserError(
                f"{first.address} and {picture.address} have the same name, which would be the image_id of both; "
                "rename one, or classify them into two CSVs."
            )
        by_id[picture.image_id] = picture
    if not by_id:
        raise UserError("No images were named; name at least one file, zip or folder.")
    return tuple(by_id.values())
