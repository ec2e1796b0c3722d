"""Originals to stored images: decode, check, downscale, on all cores."""

import hashlib
import io
import multiprocessing
import os
import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath

from joblib import cpu_count
from PIL import Image

from lesionflow.compat.process import keep_freed_memory
from lesionflow.data.entry import Entry
from lesionflow.data.image_kind import ENDINGS
from lesionflow.data.image_problem import ImageProblem, unreadable
from lesionflow.data.image_reader import ReadImage, read_file, read_image, share_budget
from lesionflow.data.pixel_budget import PixelBudget
from lesionflow.data.zip_members import UNREADABLE

_QUALITY = 95
_BATCH = 16  # images per message between processes: small beside a shard, large beside a message's cost


@dataclass(frozen=True)
class Converted:
    """One image, ready to be stored, or the reason why it cannot be."""

    encoded: bytes = b""
    suffix: str = ".jpg"
    width: int = 0
    """Of the stored image, pixels; likewise `height`."""
    height: int = 0
    original: tuple[int, int] = (0, 0)
    """Width and height as it came, pixels."""
    sha256: str = ""
    """Of the original's width, height and decoded RGB pixels."""
    problem: str = ""
    """Why it cannot be stored, as in `ImageProblem`; empty if it can."""


def convert(encoded: bytes, name: str, stored_size: int) -> Converted:
    """Decode one image and bring its shorter side down to `stored_size` pixels; never up.

    A JPEG or PNG that is small enough and that any program sees alike is stored as it came, byte for byte; another
    small image as a PNG of its pixels.

    Args:
        encoded: a file of any kind that `image_reader` reads.
        name: of that file, for its suffix.
        stored_size: shorter side, pixels.
    """
    try:
        with read_image(encoded) as read:
            return _convert(encoded, name, read, stored_size)
    except ImageProblem as problem:
        return Converted(problem=str(problem))


def _convert(encoded: bytes, name: str, read: ReadImage, stored_size: int) -> Converted:
    image, (width, height) = read.image, read.size
    digest = hashlib.sha256(f"{width}x{height}".encode())
    digest.update(image.tobytes())
    sha256, original = digest.hexdigest(), (width, height)
    shorter = min(width, height)
    if shorter <= stored_size and read.plain:
        suffix = PurePosixPath(name).suffix.lower()
        named_right = suffix in ENDINGS[read.kind]
        return Converted(encoded, suffix if named_right else ENDINGS[read.kind][0], width, height, original, sha256)
    stored = io.BytesIO()
    if shorter <= stored_size:
        image.save(stored, "PNG")
        return Converted(stored.getvalue(), ".png", width, height, original, sha256)
    size = (round(width * stored_size / shorter), round(height * stored_size / shorter))
    # Hamming: nearly bicubic's quality when downscaling, at bilinear's price (Pillow, "Filters comparison table").
    image.resize(size, Image.Resampling.HAMMING).save(stored, "JPEG", quality=_QUALITY)
    return Converted(stored.getvalue(), ".jpg", *size, original, sha256)


def convert_all(root: Path, entries: Sequence[Entry], stored_size: int) -> Iterator[Converted]:
    """Convert the images below the local folder `root` on all cores, in the order of `entries`.

    Processes, not threads: Pillow's encoder and much of its decoder hold the interpreter's lock.
    """
    forked = multiprocessing.get_context("fork")
    # Forked, because a spawned worker would import the main module again (in a pod: all of kfp).
    # joblib knows a container's CPU quota, which os.cpu_count() does not.
    pool = ProcessPoolExecutor(
        min(cpu_count(), -(-len(entries) // _BATCH)),
        mp_context=forked,
        initializer=_start_worker,
        initargs=(PixelBudget(context=forked),),
    )
    try:
        yield from pool.map(partial(_convert_entry, root, stored_size), entries, chunksize=_BATCH)
    finally:
        pool.shutdown(cancel_futures=True)


def _convert_entry(root: Path, stored_size: int, entry: Entry) -> Converted:
    try:
        path = root / entry.path
        encoded = _open_zip(path).read(entry.member) if entry.member else read_file(path)
    except UNREADABLE as error:
        return Converted(problem=str(unreadable(error)))
    return convert(encoded, entry.name, stored_size)


@cache
def _open_zip(path: Path) -> zipfile.ZipFile:
    """A zip of this worker's own: a handle shared between processes would share its position too."""
    return zipfile.ZipFile(path)


def _start_worker(budget: PixelBudget) -> None:
    share_budget(budget)
    keep_freed_memory()
    _die_with_parent()


def _die_with_parent() -> None:
    """End this worker when the step's process is gone; a killed parent cannot tell its workers to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
