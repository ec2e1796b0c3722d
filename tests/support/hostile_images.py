"""Images made by code: one picture in every format, and small files that are hard on whoever reads them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 40\n%%EndComments\n"
POSTSCRIPT_WRITES = (
    POSTSCRIPT + b"(a-program-ran) (w) file dup (an image wrote this) writestring closefile\nshowpage\n%%EOF\n"
)
POSTSCRIPT_NEVER_ENDS = POSTSCRIPT + b"{} loop\n%%EOF\n"
AVIF = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200)


def picture(width: int = 60, height: int = 45) -> Image.Image:
    """A smooth picture without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    red = 230 - 140 * np.exp(-((x / width - 0.35) ** 2 + (y / height - 0.4) ** 2) * 14)
    green, blue = 60 + 120 * x / width, 200 - 120 * y / height
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of Pillow's format `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def orientation(value: int) -> Image.Exif:
    """EXIF that says how the picture is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, lines: bytes, *more: bytes) -> bytes:
    """A PNG with what Pillow does not write: 16-bit colours, or sizes that are not true; `more` chunks in between."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def rgb16_png(pixels: NDArray[np.uint8]) -> bytes:
    """16-bit RGB of the same picture."""
    deep = (pixels.astype(np.uint16) * 257).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    return png(pixels.shape[1], pixels.shape[0], 16, 2, lines)


def tiff(pixels: NDArray[Any], tags: dict[int, int]) -> bytes:
    """An uncompressed grey TIFF, little-endian, of the array's own numbers.

    Args:
        pixels: (height, width), of any type.
        tags: more tags, or others than the usual; all short numbers.
    """
    height, width = pixels.shape
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    usual = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries = {**usual, 279: len(content), **tags}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + struct.pack("<H", len(entries)) + table + bytes(4)


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more: 95 bytes each, a fifth of a second at 64 MP."""
    first, *rest = encoded(Image.new("L", (width, height), 128), "JPEG", progressive=True).split(b"\xff\xda")
    again = rest[-1].removesuffix(b"\xff\xd9")
    return b"\xff\xda".join([first, *rest[:-1], again, *[again] * scans]) + b"\xff\xd9"


def many_segments(count: int) -> bytes:
    """A JPEG with so many empty comments before its pixels, and an orientation in front of them."""
    whole = encoded(picture(), "JPEG", exif=orientation(1))
    end = whole.index(b"\xff\xdb")
    return whole[:end] + b"\xff\xfe\0\2" * count + whole[end:]


def many_chunks(count: int) -> bytes:
    """A PNG with so many empty chunks before its pixels."""
    pixels = np.asarray(picture())
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    return png(pixels.shape[1], pixels.shape[0], 8, 2, lines, chunk(b"teSt", b"") * count)


def claims(kind: str, width: int, height: int) -> bytes:
    """A small file whose header says that it has so many pixels."""
    small = encoded(picture(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    match kind:
        case "JPEG":
            place = small.index(b"\xff\xc0") + 5
            return small[:place] + struct.pack(">HH", height, width) + small[place + 4 :]
        case "PNG":
            return png(width, height, 8, 2, bytes(1000))
        case "TIFF":
            return tiff(np.zeros((9, 9), np.uint8), {256: width, 257: height})
        case "WEBP":
            size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
            body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + small[12:]
            return b"RIFF" + struct.pack("<I", len(body)) + body
        case "BMP":
            return small[:18] + struct.pack("<ii", width, height) + small[26:]
        case _:
            old = struct.pack(">II", 60, 45)
            stream, box = small.index(b"\xff\x51") + 6, small.index(b"ihdr") + 4
            assert small[stream : stream + 8] == old
            changed = small[:stream] + struct.pack(">II", width, height) + small[stream + 8 :]
            return changed[:box] + struct.pack(">II", height, width) + changed[box + 8 :]


def dicom(pixels: NDArray[Any], stored: int = 0, **more: Any) -> bytes:
    """A DICOM of the array's numbers, uncompressed: (height, width) of grey, or (height, width, 3) of RGB.

    Args:
        pixels: uint8 or uint16.
        stored: bits that count; 0 for all.
        **more: other elements, or others than the usual, by name. `frame` is a whole JPEG or JPEG 2000 instead of the
            pixels, `syntax` the UID that says so.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, VLPhotographicImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = more.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = VLPhotographicImageStorage, "1.2.3"
    bits, colours = 8 * pixels.itemsize, pixels.ndim == 3
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored = 3 if colours else 1, bits, stored or bits
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        dataset.PlanarConfiguration = 0
    frame = more.pop("frame", None)
    dataset.PixelData = encapsulate([frame]) if frame else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if frame or bits == 8 else "OW"
    for name, value in more.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def unusable() -> dict[str, tuple[bytes, str]]:
    """Files named as images that cannot be used: name -> content, and how its reason begins."""
    whole = encoded(picture(300, 200), "JPEG")
    return {
        "postscript-writes.jpg": (POSTSCRIPT_WRITES, "format not read: PostScript"),
        "postscript-never-ends.png": (POSTSCRIPT_NEVER_ENDS, "format not read: PostScript"),
        "postscript-in-tiff-clothes.tif": (b"\xc5\xd0\xd3\xc6" + POSTSCRIPT_WRITES, "format not read: PostScript"),
        "avif.jpg": (AVIF, "format not read: AVIF"),
        "film.webp": (encoded(picture(), "GIF"), "format not read: GIF"),
        "empty.jpg": (b"", "not an image: the file is empty"),
        "page.jpg": (b"<html>404</html>", "not an image: "),
        "half.jpg": (whole[: len(whole) // 2], "damaged image: image file is truncated"),
        "half.tif": (encoded(picture(), "TIFF", compression="tiff_lzw")[:3000], "damaged image: "),
        "half.jp2": (encoded(picture(), "JPEG2000")[:300], "damaged image: "),
        "half.webp": (encoded(picture(), "WEBP", lossless=True)[:300], "damaged image: "),
        "half.bmp": (encoded(picture(), "BMP")[:300], "damaged image: "),
        "bomb-webp.jpg": (
            claims("WEBP", 13_300, 13_300),
            "image too large: 13300x13300 pixels are more than 64,000,000",
        ),
        "bomb.png": (claims("PNG", 30_000, 30_000), "image too large: "),
        "bomb.bmp": (claims("BMP", 60_000_000, 1), "image too large: "),
        "scans.jpeg": (many_scans(4000, 4000, 200), "image too costly: "),
        "float.tif": (tiff(np.zeros((9, 9), np.float32), {339: 3}), "format not read: TIFF with pixels of the kind F"),
    }


def deep_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same brightness in 16 bits."""
    return pixels.astype(np.uint16) * 257
