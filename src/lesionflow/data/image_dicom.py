"""One DICOM file to 8-bit RGB, in the process it is called in: the first frame, as dermatoscopes of hospitals write it.

pydicom (the extra `dicom`) takes the file apart; pixels in JPEG or JPEG 2000 go to our own decoders.
"""

import importlib.util
import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from lesionflow.data.image_decode import Opening, check_size, explained
from lesionflow.data.image_kind import Kind, sniff
from lesionflow.data.image_problem import ImageProblem, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

_JPEG = "1.2.840.10008.1.2.4.50"  # baseline, the only one of DICOM's JPEGs that Pillow reads whole
_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_GREY = ("MONOCHROME1", "MONOCHROME2")


class DicomOpening:
    """As `Opening`. Of grey the bits that are stored count, the 8 highest; no window of brightness is applied."""

    def __init__(self, encoded: bytes) -> None:
        """Read the header.

        Raises:
            ImageProblem: it is damaged, beyond a limit, without pixels, or pydicom is not installed.
        """
        if not importlib.util.find_spec("pydicom"):
            raise ImageProblem(Reason.NOT_READ, "DICOM; install lesionflow with its extra `dicom`")
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError

        try:
            with explained():
                self._dataset = dcmread(io.BytesIO(encoded))
        except InvalidDicomError as error:
            raise ImageProblem(Reason.DAMAGED, str(error)) from None
        if "PixelData" not in self._dataset:
            raise ImageProblem(Reason.NOT_READ, "DICOM without pixels")
        with explained():
            self.size = _whole(self._dataset, "Columns"), _whole(self._dataset, "Rows")
            """Width and height, pixels."""
            check_size(*self.size)

    def load(self) -> Image.Image:
        """Decode the first frame.

        Raises:
            ImageProblem: it is damaged, or there is no rule for its pixels.
        """
        with explained():
            syntax = self._dataset.file_meta.TransferSyntaxUID
            if not syntax.is_little_endian:
                raise ImageProblem(Reason.NOT_READ, f"DICOM with pixels in {syntax.name}, which is retired")
            image = self._decoded() if syntax.is_encapsulated else _raw(self._dataset, *self.size)
            if self._dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # white is zero
                image = image.point(list(range(255, -1, -1)) * 3)
            return image

    def _decoded(self) -> Image.Image:
        from pydicom.encaps import get_frame

        syntax, colours = self._dataset.file_meta.TransferSyntaxUID, self._dataset.get("PhotometricInterpretation")
        frames = int(self._dataset.get("NumberOfFrames") or 1)
        frame = get_frame(self._dataset.PixelData, 0, number_of_frames=frames)
        kind = sniff(frame)
        read = {_JPEG: Kind.JPEG, **dict.fromkeys(_JPEG2000, Kind.JPEG2000)}.get(str(syntax))
        # A JPEG says nothing of colours that are RGB as they are, and would be turned from YCbCr.
        fits = kind is read and (colours != "RGB" if kind is Kind.JPEG else self._is_as_said(frame))
        if read is None or not fits or self._dataset.get("PixelRepresentation"):
            raise ImageProblem(Reason.NOT_READ, f"DICOM with pixels in {syntax.name}, {colours}")
        return Opening(frame, read).load()

    def _is_as_said(self, codestream: bytes) -> bool:
        """Whether a JPEG 2000 has unsigned numbers of as many bits as the header around it says."""
        precision = codestream[42:43]  # of the first component, in the first segment
        return codestream.startswith(b"\xff\x4f\xff\x51") and precision == bytes(
            [_whole(self._dataset, "BitsStored") - 1]
        )


def _raw(dataset: "Dataset", width: int, height: int) -> Image.Image:
    """Pixels that are not compressed."""
    colours, samples = str(dataset.get("PhotometricInterpretation")), _whole(dataset, "SamplesPerPixel")
    bits, stored = _whole(dataset, "BitsAllocated"), _whole(dataset, "BitsStored")
    pixels: Any = dataset.PixelData
    count = width * height
    if len(pixels) < count * samples * bits // 8:
        raise ImageProblem(Reason.DAMAGED, f"{len(pixels):,} bytes for {width}x{height} pixels")
    is_known = not dataset.get("PixelRepresentation") and 8 <= stored <= bits
    match colours, samples, bits:
        case ("RGB" | "YBR_FULL", 3, 8) if is_known:
            mode = "RGB" if colours == "RGB" else "YCbCr"
            if dataset.get("PlanarConfiguration"):
                planes = [pixels[plane * count : (plane + 1) * count] for plane in range(3)]
                return Image.merge(mode, [Image.frombytes("L", (width, height), each) for each in planes]).convert(
                    "RGB"
                )
            return Image.frombytes(mode, (width, height), pixels[: 3 * count]).convert("RGB")
        case (name, 1, 8) if is_known and name in _GREY:
            return Image.frombytes("L", (width, height), pixels[:count]).convert("RGB")
        case (name, 1, 16) if is_known and name in _GREY:
            return _high_bits(pixels[: 2 * count], stored, (width, height))
        case _:
            raise ImageProblem(Reason.NOT_READ, f"DICOM with {samples} x {bits} bits of {colours}, {stored} stored")


def _high_bits(pixels: bytes, stored: int, size: tuple[int, int]) -> Image.Image:
    """The 8 highest of the stored bits."""
    low, high = pixels[0::2], pixels[1::2]
    shift = stored - 8
    grey = bytes((upper << 8 | lower) >> shift & 0xFF for upper, lower in zip(high, low, strict=True))
    return Image.frombytes("L", size, grey).convert("RGB")


def _whole(dataset: "Dataset", name: str) -> int:
    value = dataset.get(name)
    if not isinstance(value, int):
        raise ImageProblem(Reason.DAMAGED, f"DICOM without {name}")
    return value
