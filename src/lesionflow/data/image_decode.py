"""One image file to upright 8-bit RGB, by an explicit list of decoders and by stated rules; in the calling process.

`image_reader` is what others call: it decides where this runs, and how many images are decoded at once.
"""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from lesionflow.data.image_header import check_scans, count_scans, orientation, webp_size
from lesionflow.data.image_kind import Kind
from lesionflow.data.image_problem import ImageProblem, Reason

LARGEST_PIXELS = 64_000_000
"""Width times height, by the header: before anything is decoded."""

LONGEST_SIDE = 32_767
"""Pixels; no camera's, and what follows then needs no 64-bit sums."""

# Pillow's own classes instead of `Image.open`, which offers the bytes to some forty decoders (one of them runs
# Ghostscript) and to whatever else the process has registered there.
_DECODERS: dict[Kind, Callable[[io.BytesIO], ImageFile]] = {
    Kind.JPEG: JpegImageFile,  # of several pictures in one file (MPO) the first, as everywhere
    Kind.PNG: PngImageFile,
    Kind.TIFF: TiffImageFile,
    Kind.WEBP: WebPImageFile,
    Kind.BMP: BmpImageFile,
    Kind.JPEG2000: Jpeg2KImageFile,
}
_FAILURES = (OSError, SyntaxError, ValueError)
"""What Pillow's decoders raise at damaged files: each is raised in test_image_reader.py, and nothing else
by JPEG and PNG there. What the others raise beside ends the helper process."""

_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"})
_SUBFILE, _BITS, _PHOTOMETRIC = 254, 258, 262  # TIFF's tags
_PREVIEW, _WHITE_IS_ZERO = 1, 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Opening:
    """An image whose header is read and within the limits, and whose pixels are not decoded yet.

    The rules, for all who read images:
    - the first picture or page of a file counts; a colour profile is not applied;
    - the picture is turned upright as its EXIF orientation says;
    - numbers of more than 8 bits are scaled by their own range: the 8 highest bits count, nothing is clipped;
    - transparency is left aside: the colours count that are stored, whatever would be seen of them;
    - grey, palette and CMYK become RGB as Pillow does it.
    """

    def __init__(self, encoded: bytes, kind: Kind, at_least: int = 0, grey: bool = False) -> None:
        """Read the header.

        Args:
            encoded: the file.
            kind: as sniffed.
            at_least: a JPEG may be decoded at a half, a quarter or an eighth of its size while both sides keep so
                many pixels; 0 for its full size.
            grey: a JPEG's brightness will do, without its colours.

        Raises:
            ImageProblem: it is damaged, or beyond a limit.
        """
        self._kind = kind
        with explained():
            self._turn = orientation(encoded, kind)
            scans = count_scans(encoded) if kind is Kind.JPEG else 1
            if kind is Kind.WEBP:  # its decoder takes eight bytes a pixel before it tells the size
                check_size(*webp_size(encoded))
            self._image = _DECODERS[kind](io.BytesIO(encoded))
            width, height = self._image.size
            check_size(width, height)
            check_scans(scans, width * height)
            self.size = (height, width) if self._turn >= 5 else (width, height)
            """Width and height of the whole picture, upright."""
            if kind is Kind.JPEG and (at_least or grey):
                self._image.draft("L" if grey else "RGB", (at_least, at_least) if at_least else None)
            drafted = self._image.size[0] * self._image.size[1]
            self.cost = width * height if scans > 1 else drafted
            """Pixels that are in memory while it is decoded: libjpeg holds all of a progressive one."""
            self.plain = self._turn == 1 and not self._image.mode.startswith("I")
            """Whether any decoder of its kind gives the same picture."""

    def load(self, grey: bool = False) -> Image.Image:
        """Decode it.

        Returns:
            8-bit RGB, upright; with `grey`, grey where the file itself is.

        Raises:
            ImageProblem: it is damaged, or there is no rule for its pixels.
        """
        with explained():
            self._image.load()
            upright = _eight_bit(self._image, self._kind, grey)
            if self._turn == 1:
                return upright
            return upright.transpose(_TURNS[self._turn])


def check_size(width: int, height: int) -> None:
    """Refuse by the header.

    Raises:
        ImageProblem: there are no pixels, or too many.
    """
    if width < 1 or height < 1:
        raise ImageProblem(Reason.DAMAGED, f"its header says {width}x{height} pixels")
    if width * height > LARGEST_PIXELS:
        raise ImageProblem(Reason.TOO_LARGE, f"{width}x{height} pixels are more than {LARGEST_PIXELS:,}")
    if max(width, height) > LONGEST_SIDE:
        raise ImageProblem(Reason.TOO_LARGE, f"{width}x{height} pixels have a side of more than {LONGEST_SIDE:,}")


def _eight_bit(image: ImageFile, kind: Kind, grey: bool) -> Image.Image:
    """The pixels as 8-bit RGB; or grey, if they are and that is welcome."""
    tags: dict[int, object] = {}
    if isinstance(image, TiffImageFile):
        tags = {tag: image.tag_v2.get(tag) for tag in (_SUBFILE, _BITS, _PHOTOMETRIC)}
    subfile = tags.get(_SUBFILE)
    if isinstance(subfile, int) and subfile & _PREVIEW:
        raise ImageProblem(Reason.NOT_READ, "its first page is a preview, as in a camera's raw file; export it as TIFF")
    if image.mode.startswith("I;16"):
        result = _high_bits(image, tags)
    elif image.mode in ("RGB", *_EIGHT_BIT):
        image.info.pop("transparency", None)  # else Pillow warns
        result = image
    else:
        raise ImageProblem(
            Reason.NOT_READ, f"{kind} with pixels of the kind {image.mode}; expected 8 or 16 bits of grey or RGB"
        )
    if result.mode == "RGB" or (grey and result.mode == "L"):
        return result
    return result.convert("RGB")


def _high_bits(image: Image.Image, tags: dict[int, object]) -> Image.Image:
    """The 8 highest bits of 16-bit grey; of 12-bit grey in a TIFF, which Pillow leaves in the low 12."""
    pixels = image.tobytes()
    high = pixels[0::2] if image.mode == "I;16B" else pixels[1::2]
    if tags.get(_BITS) == (12,):
        low = pixels[1::2] if image.mode == "I;16B" else pixels[0::2]
        high = bytes((upper << 4 | lower >> 4) & 0xFF for upper, lower in zip(high, low, strict=True))
    grey = Image.frombytes("L", image.size, high)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns 8 bits round, and leaves these
        grey = grey.point(range(255, -1, -1))
    return grey


@contextmanager
def explained() -> Generator[None]:
    """Turn what decoders raise into one reason, an `ImageProblem`."""
    try:
        yield
    except MemoryError:
        raise ImageProblem(Reason.TOO_COSTLY, "there is not enough memory to decode it") from None
    except _FAILURES as error:
        said = str(error)
        known = said if any(letter.isalpha() for letter in said) else f"{type(error).__name__} {said}"
        raise ImageProblem(Reason.DAMAGED, known) from None
