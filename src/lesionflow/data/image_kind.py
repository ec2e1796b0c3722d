"""Which files are images, and of which kind: by their first bytes, never by their name."""

from enum import StrEnum


class Kind(StrEnum):
    """The formats that are read; nothing else is ever given to a decoder."""

    JPEG = "JPEG"
    PNG = "PNG"
    TIFF = "TIFF"
    WEBP = "WebP"
    BMP = "BMP"
    JPEG2000 = "JPEG 2000"
    DICOM = "DICOM"


ENDINGS: dict[Kind, tuple[str, ...]] = {
    Kind.JPEG: (".jpg", ".jpeg", ".jpe", ".jfif"),
    Kind.PNG: (".png",),
    Kind.TIFF: (".tif", ".tiff"),
    Kind.WEBP: (".webp",),
    Kind.BMP: (".bmp", ".dib"),
    Kind.JPEG2000: (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"),
    Kind.DICOM: (".dcm", ".dicom"),
}
"""File names under which a folder is searched for images, the usual one first; a zip's members likewise."""

IMAGE_ENDINGS = frozenset(ending for endings in ENDINGS.values() for ending in endings)

OTHER_ENDINGS = frozenset({".heic", ".heif", ".avif", ".gif", ".jxl", ".psd", ".cr2", ".cr3", ".nef", ".arw", ".dng"})
"""Of images that are not read: found all the same, so that each has its reason."""

READ_KINDS = ", ".join(Kind)
"""For messages; likewise `ENDINGS_TEXT`."""
ENDINGS_TEXT = ", ".join(endings[0] for endings in ENDINGS.values())

RULES = 2
"""Counts up whenever the same bytes give other pixels, so that what was made before is not mixed with what comes."""

_SIGNATURES: tuple[tuple[int, bytes, Kind], ...] = (
    (128, b"DICM", Kind.DICOM),  # first, as what precedes it may be the beginning of a TIFF
    (0, b"\xff\xd8\xff", Kind.JPEG),
    (0, b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (0, b"II*\0", Kind.TIFF),
    (0, b"MM\0*", Kind.TIFF),
    (0, b"II+\0", Kind.TIFF),  # with 64-bit offsets
    (0, b"MM\0+", Kind.TIFF),
    (8, b"WEBP", Kind.WEBP),
    (0, b"BM", Kind.BMP),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Kind.JPEG2000),
    (0, b"\xff\x4f\xff\x51", Kind.JPEG2000),
)
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%!", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF", "PDF"),
    (0, b"GIF8", "GIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIC or AVIF"),
    (4, b"ftypmsf1", "HEIC or AVIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"<svg", "SVG"),
    (0, b"PK\x03\x04", "zip"),
)


def sniff(encoded: bytes) -> Kind | None:
    """The kind of an image that is read, by its first bytes; None for everything else."""
    for offset, signature, kind in _SIGNATURES:
        if encoded.startswith(signature, offset) and (kind is not Kind.WEBP or encoded.startswith(b"RIFF")):
            return kind
    return None


def name_other(encoded: bytes) -> str | None:
    """What a file is that is not read, if its first bytes tell: "HEIC"."""
    return next((name for offset, start, name in _OTHERS if encoded.startswith(start, offset)), None)
