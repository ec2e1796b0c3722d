"""Looking into a zip without unpacking it, and refusing what no honest data set holds."""

import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from lesionflow.data.entry import Entry
from lesionflow.errors import UserError
from lesionflow.storage import Address

UNREADABLE = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What reading from a damaged zip raises."""

_LARGEST_IMAGE = 64 * 2**20  # bytes, uncompressed
_LARGEST_RATIO = 200  # of a member's two sizes; deflate reaches 1032, images and tables stay below 20


def zip_members(address: Address, root: Address, entry: Entry) -> Iterator[Entry]:
    """The files in a local zip, by its directory.

    Args:
        address: of the source, as the user gave it, for messages.
        root: where the source can be read on this machine.
        entry: the zip.

    Raises:
        UserError: the zip is damaged, or a member is one that an honest data set does not have.
    """
    path = address / entry.path
    try:
        with zipfile.ZipFile((root / entry.path).local) as archive:
            infos = archive.infolist()
    except UNREADABLE as error:
        raise UserError(
            f"The zip {path} is truncated or damaged ({str(error).rstrip('.')}); download it again."
        ) from None
    for info in infos:
        if info.is_dir():
            continue
        if danger := _danger(info):
            raise UserError(
                f"The member {info.filename} of the zip {path} {danger}; remove it, or get the zip from its source."
            )
        yield Entry(entry.path, info.filename, info.file_size, f"{info.CRC:08x}")


def _danger(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not to be read; None if it may be."""
    name = info.filename
    if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts or os.path.splitdrive(name)[0]:
        return "has a name that leads out of its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > _LARGEST_IMAGE:
        return f"is {info.file_size / 2**20:,.0f} MB uncompressed (at most {_LARGEST_IMAGE // 2**20} are read)"
    if info.file_size > 2**20 and info.file_size > _LARGEST_RATIO * info.compress_size:
        return f"is compressed {info.file_size // max(info.compress_size, 1)} times (a decompression bomb)"
    return None
