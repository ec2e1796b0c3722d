"""What the frame of a JPEG, PNG or WebP file says before a pixel is decoded: its orientation, and how costly it is.

Own code, because Pillow keeps every segment that it meets: a file of nothing but segments takes it gigabytes.
"""

import re
import struct
from collections.abc import Iterator

from lesionflow.data.image_kind import Kind
from lesionflow.data.image_problem import ImageProblem, Reason

_MOST_SEGMENTS = 20_000  # of a JPEG; colour profiles and long metadata take some hundreds
_MOST_SCANS = 1_000
_MOST_CHUNKS = 100_000  # of a PNG; encoders cut its pixels into pieces of some kilobytes
_MOST_SCANNED = 1_500_000_000  # pixels, each counted once a scan; a progressive JPEG has some ten scans
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends the pixels of a scan
_ORIENTATION = 0x0112
_SHORT = 3


def orientation(encoded: bytes, kind: Kind) -> int:
    """How the picture is to be turned to stand upright, as EXIF counts: 1 (as it is) to 8.

    Of a JPEG, its first EXIF segment counts; of a PNG and a WebP, its first chunk of EXIF. A damaged one counts as 1.
    A TIFF is turned by its decoder; other formats know no orientation.

    Raises:
        ImageProblem: there are more segments than any image has.
    """
    match kind:
        case Kind.JPEG:
            blocks = [data[6:] for marker, data in _segments(encoded) if marker == 0xE1 and data[:6] == b"Exif\0\0"]
        case Kind.PNG:
            blocks = [data for name, data in _chunks(encoded, 8, ">I4s", 4) if name == b"eXIf"]
        case Kind.WEBP:
            named = [data for name, data in _chunks(encoded, 12, "<4sI", 0) if name == b"EXIF"]
            blocks = [data.removeprefix(b"Exif\0\0") for data in named]
        case _:
            return 1
    return _read_orientation(blocks[0]) if blocks else 1


def count_scans(encoded: bytes) -> int:
    """How often the decoder of a JPEG goes over its pixels: once, or some ten times in a progressive one.

    Raises:
        ImageProblem: there are more segments or scans than any image has.
    """
    scans = sum(marker == _SCAN for marker, _ in _segments(encoded, scans=True))
    if scans > _MOST_SCANS:
        raise ImageProblem(Reason.TOO_COSTLY, f"{scans:,} scans; save it anew")
    return scans


def check_scans(scans: int, pixels: int) -> None:
    """Refuse a JPEG that is small, and yet would keep its decoder busy for minutes.

    Raises:
        ImageProblem: it goes over its pixels too often.
    """
    if scans > 1 and scans * pixels > _MOST_SCANNED:
        raise ImageProblem(Reason.TOO_COSTLY, f"{scans:,} scans over {pixels:,} pixels; save it anew")


def webp_size(encoded: bytes) -> tuple[int, int]:
    """Width and height of a WebP, pixels, by its first chunk.

    Raises:
        ImageProblem: it is none of the three that begin one.
    """
    head = encoded[:30].ljust(30, b"\0")
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case _:
            raise ImageProblem(Reason.DAMAGED, "a WebP that begins with no picture")


def _segments(encoded: bytes, scans: bool = False) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment of a JPEG, up to its first scan; with `scans`, up to its end."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        while encoded[place : place + 2] == b"\xff\xff":  # padding
            place += 1
        head = encoded[place : place + 4]
        if len(head) < 4 or head[0] != 0xFF or head[1] == _END or (head[1] == _SCAN and not scans):
            return
        if head[1] == 0x01 or 0xD0 <= head[1] <= 0xD8:  # these stand alone
            place += 2
            continue
        length = max(2, int.from_bytes(head[2:]))
        yield head[1], encoded[place + 4 : place + 2 + length]
        place += 2 + length
        if head[1] == _SCAN:
            if not (found := _MARKER.search(encoded, place)):
                return
            place = found.start()
    raise ImageProblem(Reason.TOO_COSTLY, f"over {_MOST_SEGMENTS:,} segments; save it anew")


def _chunks(encoded: bytes, place: int, form: str, trailer: int) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG or WebP.

    Args:
        encoded: the file.
        place: of the first chunk.
        form: of a chunk's head, for `struct`.
        trailer: bytes after a chunk's content: a checksum; WebP pads to even lengths instead.
    """
    for _ in range(_MOST_CHUNKS):
        if len(encoded) < place + 8:
            return
        one, other = struct.unpack_from(form, encoded, place)
        name, length = (other, one) if isinstance(other, bytes) else (one, other)
        yield name, encoded[place + 8 : place + 8 + length] if name in (b"eXIf", b"EXIF") else b""
        place += 8 + length + (trailer or length % 2)
    raise ImageProblem(Reason.TOO_COSTLY, f"over {_MOST_CHUNKS:,} chunks; save it anew")


def _read_orientation(block: bytes) -> int:
    """The orientation in a block of EXIF: a small TIFF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if len(block) < start + 2:
        return 1
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1
