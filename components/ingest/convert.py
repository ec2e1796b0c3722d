"""Originals to stored images: decode, check, downscale, on all cores."""

import ctypes
import hashlib
import io
import multiprocessing
import os
import struct
import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath

from joblib import cpu_count
from PIL import Image, UnidentifiedImageError

from components.common.source import UNREADABLE, Entry

_QUALITY = 95
_LARGEST_PIXELS = 64_000_000
_BATCH = 16  # images per message between processes: small beside a shard, large beside a message's cost
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_DAMAGED = (*UNREADABLE, SyntaxError, struct.error, Image.DecompressionBombError)  # what Pillow's decoders raise


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
    """Empty unless the image is damaged."""


def convert(encoded: bytes, name: str, stored_size: int) -> Converted:
    """Decode one image and bring its shorter side down to `stored_size` pixels; never up.

    An image that is small enough is stored as it came, byte for byte.

    Args:
        encoded: a JPEG or PNG file.
        name: of that file, for its suffix.
        stored_size: shorter side, pixels.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as opened:
            width, height = opened.size
            if width * height > _LARGEST_PIXELS:
                return Converted(problem=f"{width}x{height} pixels are more than {_LARGEST_PIXELS:,}")
            opened.load()
            image = opened if opened.mode == "RGB" else opened.convert("RGB")  # convert would copy
            digest = hashlib.sha256(f"{width}x{height}".encode())
            digest.update(image.tobytes())
    except UnidentifiedImageError:  # its own text is the address of the buffer
        return Converted(problem="not a JPEG or PNG")
    except _DAMAGED as error:
        return Converted(problem=" ".join(str(error).split()))
    sha256, original = digest.hexdigest(), (width, height)
    shorter = min(width, height)
    if shorter <= stored_size:
        return Converted(encoded, PurePosixPath(name).suffix.lower(), width, height, original, sha256)
    size = (round(width * stored_size / shorter), round(height * stored_size / shorter))
    # Hamming: nearly bicubic's quality when downscaling, at bilinear's price (Pillow, "Filters comparison table").
    image = image.resize(size, Image.Resampling.HAMMING)
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=_QUALITY)
    return Converted(stored.getvalue(), ".jpg", *size, original, sha256)


def convert_all(root: str, entries: Sequence[Entry], stored_size: int) -> Iterator[Converted]:
    """Convert the images below the local folder `root` on all cores, in the order of `entries`.

    Processes, not threads: Pillow's encoder and much of its decoder hold the interpreter's lock.
    """
    # Forked, because a spawned worker would import the main module again (in a pod: all of kfp).
    # joblib knows a container's CPU quota, which os.cpu_count() does not.
    pool = ProcessPoolExecutor(
        min(cpu_count(), -(-len(entries) // _BATCH)),
        mp_context=multiprocessing.get_context("fork"),
        initializer=_start_worker,
    )
    try:
        yield from pool.map(partial(_convert_entry, root, stored_size), entries, chunksize=_BATCH)
    finally:
        pool.shutdown(cancel_futures=True)


def _convert_entry(root: str, stored_size: int, entry: Entry) -> Converted:
    try:
        if entry.member:
            encoded = _open_zip(f"{root}/{entry.path}").read(entry.member)
        else:
            encoded = Path(root, entry.path).read_bytes()
    except UNREADABLE as error:
        return Converted(problem=" ".join(str(error).split()))
    return convert(encoded, entry.name, stored_size)


@cache
def _open_zip(path: str) -> zipfile.ZipFile:
    """A zip of this worker's own: a handle shared between processes would share its position too."""
    return zipfile.ZipFile(path)


def _start_worker() -> None:
    _keep_memory()
    _die_with_parent()


def _keep_memory() -> None:
    """Let glibc keep freed memory instead of handing every image's megabytes back to the system.

    Fetching them again, page by page, costs a fifth of the whole conversion.
    """
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_TRIM_THRESHOLD, 2**28)


def _die_with_parent() -> None:
    """End this worker when the step's process is gone; a killed parent cannot tell its workers to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
