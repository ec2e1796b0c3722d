"""DICOM: the first frame as pydicom itself understands it, where there is a rule for it; elsewhere the reason."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_images import dicom, encoded, picture
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from lesionflow.data.image_problem import ImageProblem, Reason
from lesionflow.data.image_reader import read_image

PICTURE = picture()
PIXELS = np.asarray(PICTURE)
GREY = np.asarray(PICTURE.convert("L"))
JPEG = encoded(PICTURE, "JPEG", quality=98, subsampling=0)


def pixels_of(content: bytes) -> np.ndarray:
    with read_image(content) as read:
        assert read.image.mode == "RGB"
        assert read.size == (60, 45)
        return np.asarray(read.image)


@pytest.mark.parametrize(
    ("content", "most"),
    [
        pytest.param(dicom(PIXELS), 0, id="RGB"),
        pytest.param(
            dicom(PIXELS, PlanarConfiguration=1, PixelData=PIXELS.transpose(2, 0, 1).tobytes()), 0, id="RGB in planes"
        ),
        pytest.param(dicom(np.asarray(PICTURE.convert("YCbCr")), PhotometricInterpretation="YBR_FULL"), 3, id="YBR"),
        pytest.param(
            dicom(PIXELS, frame=JPEG, syntax=JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"), 6, id="JPEG"
        ),
        pytest.param(
            dicom(
                PIXELS,
                frame=encoded(PICTURE, "JPEG2000", no_jp2=True),
                syntax=JPEG2000Lossless,
                PhotometricInterpretation="YBR_RCT",
            ),
            0,
            id="JPEG 2000",
        ),
        pytest.param(
            dicom(PIXELS, NumberOfFrames="2", PixelData=PIXELS.tobytes() + bytes(60 * 45 * 3)), 0, id="frames"
        ),
    ],
)
def test_colours_are_read(content: bytes, most: int):
    assert np.abs(pixels_of(content).astype(int) - PIXELS).max() <= most


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(dicom(GREY), id="8 bits"),
        pytest.param(dicom(GREY.astype(np.uint16) * 257), id="16 bits"),
        pytest.param(dicom(GREY.astype(np.uint16) * 16 + 5, 12), id="12 bits"),
        pytest.param(dicom(GREY.astype(np.uint16), 8), id="8 bits of 16"),
        pytest.param(dicom(255 - GREY, PhotometricInterpretation="MONOCHROME1"), id="white is zero"),
    ],
)
def test_grey_is_scaled_by_the_bits_that_are_stored(content: bytes):
    np.testing.assert_array_equal(pixels_of(content), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("content", "reason", "text"),
    [
        (dicom(GREY.astype(np.uint16), PixelRepresentation=1), Reason.NOT_READ, "1 x 16 bits of MONOCHROME2"),
        (dicom(GREY, PhotometricInterpretation="PALETTE COLOR"), Reason.NOT_READ, "PALETTE COLOR"),
        (dicom(GREY, Rows=60_000, Columns=60_000), Reason.TOO_LARGE, "60000x60000 pixels"),
        (dicom(GREY, Rows=6_000, Columns=6_000), Reason.DAMAGED, "bytes for 6000x6000 pixels"),
        (dicom(GREY, frame=JPEG, syntax=JPEGLosslessSV1), Reason.NOT_READ, "JPEG Lossless"),
        (dicom(PIXELS, frame=JPEG, syntax=JPEGBaseline8Bit), Reason.NOT_READ, "RGB"),
        (dicom(PIXELS, frame=JPEG, syntax=JPEG2000), Reason.NOT_READ, "JPEG 2000"),
        (dicom(PIXELS)[:800], Reason.DAMAGED, "bytes for 60x45 pixels"),
        (bytes(128) + b"DICM" + bytes(200), Reason.NOT_READ, "without pixels"),
        (bytes(128) + b"DICM" + b"\xff" * 200, Reason.NOT_READ, "without pixels"),
    ],
)
def test_what_no_rule_is_stated_for_has_its_reason(content: bytes, reason: Reason, text: str):
    with pytest.raises(ImageProblem) as caught, read_image(content):
        pass
    assert caught.value.reason is reason
    assert text in str(caught.value)


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    from lesionflow.data import image_dicom

    monkeypatch.setattr(image_dicom.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageProblem, match="install lesionflow with its extra `dicom`"):
        image_dicom.DicomOpening(dicom(PIXELS))


REAL = sorted(Path(str(get_testdata_file("CT_small.dcm"))).parent.glob("*.dcm"))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_files_of_real_programs_are_seen_as_pydicom_sees_them_or_refused(path: Path):
    """Those that pydicom is tested with and brings along, damaged ones among them."""
    content = path.read_bytes()
    try:
        with read_image(content) as read:
            found = np.asarray(read.image)
    except ImageProblem:
        return
    dataset: Any = dcmread(io.BytesIO(content))
    expected = dataset.pixel_array
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        expected = expected[0]
    if dataset.SamplesPerPixel == 1:
        expected = np.repeat((expected >> (dataset.BitsStored - 8))[..., None], 3, axis=2)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            expected = 255 - expected
    elif dataset.PhotometricInterpretation == "YBR_FULL" and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        expected = convert_color_space(expected, "YBR_FULL", "RGB")
    assert np.abs(found.astype(int) - expected).max() <= 2
