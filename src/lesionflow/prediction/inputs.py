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
from lesionflow.data.image_kind import ENDINGS_TEXT, IMAGE_ENDINGS
from lesionflow.data.image_problem import unreadable
from lesionflow.data.image_reader import read_file
from lesionflow.data.source import UNREADABLE, Entry, Source, open_source
from lesionflow.errors import UserError


@dataclass(frozen=True)
class Picture:
    """An image to classify."""

    image_id: str
    """Its file's name without folders and suffix."""
    address: str
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

    def __init__(self, uris: Sequence[str]) -> None:
        """List them.

        Args:
            uris: image files, zips, folders (searched at any depth) and prefixes; local, gs:// or s3://.

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
            self.pictures = _distinct(picture for uri in uris for picture in self._found(uri))
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

    def _found(self, uri: str) -> list[Picture]:
        is_zip = uri.lower().endswith(".zip")
        if storage.is_remote(uri):
            if is_zip:
                return self._of_zip(uri)
            name = uri.rsplit("/", 1)[-1]
            if _is_image(name) and (found := storage.read_versioned(uri)):
                return [Picture(PurePosixPath(name).stem, uri, str(found[1]), partial(storage.read_bytes, uri))]
        else:
            path = storage.local_path(uri)
            if path.is_file():
                return self._of_zip(uri) if is_zip else [_of_file(path)]
            if not path.is_dir():
                raise UserError(f"There is no image, zip or folder {uri}.")
        return self._of_folder(uri)

    def _of_folder(self, uri: str) -> list[Picture]:
        source = open_source(uri)
        self.notes += source.notes(tables=False)
        found = [self._of_entry(source, entry) for entry in source.images]
        if storage.is_remote(uri):  # those of a local source are opened already
            for entry in source.zips:
                found += self._of_zip(storage.join(uri, entry.path))
        if not found:
            raise UserError(f"There are no images below {uri}; expected files ending in {ENDINGS_TEXT}, or zips.")
        return sorted(found, key=lambda picture: picture.address)

    def _of_zip(self, uri: str) -> list[Picture]:
        """Through a folder that holds nothing else, so that `open_source` does its checks on this zip alone."""
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        path = storage.download(uri, folder)
        if path.parent != folder:
            (folder / path.name).symlink_to(path.absolute())
        above = uri.rsplit("/", 1)[0] if "/" in uri else "."
        source = open_source(above, str(folder))
        self.notes += replace(source, uri=uri).notes(tables=False)
        found = [self._of_entry(source, entry) for entry in source.images]
        if not found:
            raise UserError(f"There are no images in {uri}; expected files ending in {ENDINGS_TEXT}.")
        return sorted(found, key=lambda picture: picture.address)

    def _of_entry(self, source: Source, entry: Entry) -> Picture:
        address = storage.join(source.uri, entry.name)
        where = storage.join(source.root, entry.path)
        if entry.member:
            archive = self._archive(Path(where))
            return Picture(entry.stem, address, f"{entry.size} {entry.digest}", partial(archive.read, entry.member))
        if storage.is_remote(where):
            return Picture(entry.stem, address, f"{entry.size} {entry.digest}", partial(storage.read_bytes, where))
        return _of_file(Path(where))

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """One open zip serves all its members, from any thread."""
        if path not in self._archives:
            self._archives[path] = self._stack.enter_context(zipfile.ZipFile(path))
        return self._archives[path]


def _of_file(path: Path) -> Picture:
    status = path.stat()
    return Picture(path.stem, str(path), f"{status.st_size} {status.st_mtime_ns}", partial(read_file, path))


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS


def _distinct(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Each image once, although it was named twice.

    Raises:
        UserError: two have the same id, or there are none.
    """
    by_id: dict[str, Picture] = {}
    seen: set[str] = set()
    for picture in pictures:
        place = picture.address if "://" in picture.address else str(Path(picture.address).resolve())
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
