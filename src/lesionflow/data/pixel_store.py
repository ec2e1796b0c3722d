"""Decoded images: in memory up to a budget, beyond it in a file that is mapped into memory piece by piece.

Both hold the same bytes and give the same rows, so the budget decides how much memory a step takes
and nothing about its result: it is no part of a recipe, of a cache key or of a checkpoint's key.
"""

import errno
import hashlib
import math
import mmap
import os
import shutil
import tempfile
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lesionflow.errors import UserError
from lesionflow.runtime.memory import available_memory

Pixels = NDArray[np.uint8]

VARIABLE = "LESIONFLOW_PIXEL_MEMORY"
"""Bytes that a step's decoded images may take in memory; unset: half of what the process may still take."""

_MOST_OF_DISK = 0.9
_MAPPED_AT_ONCE = 2**21  # bytes, aligned: the most that Linux maps around one that is touched


class MappedPixels:
    """Decoded images in a mapped file without a name: it goes with the process, however that ends.

    Rows are copied out and unmapped at once. The kernel's file cache keeps what it has room for; but what
    stays mapped counts as this process' memory, and a touched byte maps up to two megabytes around it.
    """

    def __init__(self, file: mmap.mmap, pixels: Pixels, first: int) -> None:
        """Wrap `pixels`, which lie in `file` from byte `first` on."""
        self._file = file
        self._pixels = pixels
        self._first = first
        self._row_bytes = math.prod(pixels.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, size, size, 3), or what else was asked for."""
        return self._pixels.shape

    def __len__(self) -> int:
        return len(self._pixels)

    @overload
    def __getitem__(self, rows: slice) -> "MappedPixels": ...
    @overload
    def __getitem__(self, rows: NDArray[np.integer[Any]]) -> Pixels: ...
    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> "MappedPixels | Pixels":
        """As NumPy does: a view of a slice (of step 1), a copy of numbered rows."""
        if isinstance(rows, slice):
            first = self._first + rows.indices(len(self))[0] * self._row_bytes
            return MappedPixels(self._file, self._pixels[rows], first)
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for row in rows:  # asks the disk for the whole batch at once, instead of page after page
            self._advise(mmap.MADV_WILLNEED, row, mmap.PAGESIZE)
        for place, row in enumerate(rows):
            found[place] = self._pixels[row]
            self._advise(mmap.MADV_DONTNEED, row, _MAPPED_AT_ONCE)
        return found

    def __setitem__(self, rows: NDArray[np.integer[Any]], values: Pixels) -> None:
        for row, value in zip(rows, values, strict=True):
            self._pixels[row] = value
            self._advise(mmap.MADV_DONTNEED, row, _MAPPED_AT_ONCE)  # of a mapped file, nothing written is lost

    def _advise(self, advice: int, row: np.integer[Any], unit: int) -> None:
        """Tell the kernel about the bytes of a row, in whole units of the file."""
        start = self._first + int(row) * self._row_bytes
        low = start // unit * unit
        self._file.madvise(advice, low, -(-(start + self._row_bytes) // unit) * unit - low)


def pixel_budget() -> int:
    """Bytes of decoded images that may be in memory.

    Raises:
        UserError: the environment says something that is not a number of bytes.
    """
    given = os.environ.get(VARIABLE, "")
    if not given:
        return available_memory() // 2
    if not (given.isascii() and given.isdecimal()):
        raise UserError(f"{VARIABLE} is {given!r}; expected a whole number of bytes, such as 2000000000.")
    return int(given)


def allocate(count: int, size: int) -> Pixels | MappedPixels:
    """Step for `count` images of `size` pixels a side, as `allocate_rows` finds it.

    Raises:
        UserError: the images fit neither in memory nor on the disk; or the budget is not a number.
    """
    what = f"{count:,} decoded images of {size} pixels"
    return allocate_rows((count, size, size, 3), what, ", or choose a smaller input_size")


def allocate_rows(shape: tuple[int, ...], what: str, remedy: str = "") -> Pixels | MappedPixels:
    """Step for rows of bytes, in memory if the budget allows it, else in a file.

    The file lies in the folder for temporary files (TMPDIR) and its room is reserved at once.

    Args:
        shape: rows first.
        what: they are, for messages: "100 decoded images".
        remedy: what else helps if there is no room, as the end of a sentence.

    Raises:
        UserError: the rows fit neither; or the budget is not a number.
    """
    needed, budget = math.prod(shape), pixel_budget()
    if needed <= budget:
        return np.empty(shape, np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    too_large = UserError(
        f"The {what} need {_gigabytes(needed)}, but may take only {_gigabytes(budget)} of memory and find "
        f"{_gigabytes(free)} free in {folder}; give the step more memory, let TMPDIR name a larger disk{remedy}."
    )
    if needed > free * _MOST_OF_DISK:
        raise too_large
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # Else a disk that fills up later would kill the process (SIGBUS) instead of raising an error.
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise too_large from None
        mapped = mmap.mmap(file.fileno(), needed)
    print(
        f"{what[0].upper()}{what[1:]} ({_gigabytes(needed)}) are kept in a file in {folder}, "
        f"as they may take only {_gigabytes(budget)} of memory.",
        flush=True,
    )
    return MappedPixels(mapped, np.frombuffer(mapped, np.uint8).reshape(shape), 0)


def pixels_digest(pixels: Pixels | MappedPixels) -> str:
    """SHA-256 of shape and content, in hexadecimal; the same in memory and in a file."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    for start in range(0, len(pixels), 256):
        digest.update(pixels[np.arange(start, min(start + 256, len(pixels)))].data)
    return digest.hexdigest()


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.1f} MB"
