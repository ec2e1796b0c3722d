"""The one reader of images: what it reads, by which rules, and why not; on any bytes at all."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hostile_images import (
    AVIF,
    POSTSCRIPT_NEVER_ENDS,
    POSTSCRIPT_WRITES,
    chunk,
    claims,
    deep_grey,
    dicom,
    encoded,
    many_chunks,
    many_scans,
    many_segments,
    orientation,
    picture,
    png,
    rgb16_png,
    tiff,
)
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lesionflow.data.image_decode import LARGEST_PIXELS
from lesionflow.data.image_kind import Kind
from lesionflow.data.image_problem import ImageProblem, Reason
from lesionflow.data.image_reader import LARGEST_BYTES, read_file, read_image

PICTURE = picture()
PIXELS = np.asarray(PICTURE)
GREY = np.asarray(PICTURE.convert("L"))
FORMATS = {
    Kind.JPEG: encoded(PICTURE, "JPEG", quality=98, subsampling=0),
    Kind.PNG: encoded(PICTURE, "PNG"),
    Kind.TIFF: encoded(PICTURE, "TIFF", compression="tiff_lzw"),
    Kind.WEBP: encoded(PICTURE, "WEBP", lossless=True),
    Kind.BMP: encoded(PICTURE, "BMP"),
    Kind.JPEG2000: encoded(PICTURE, "JPEG2000"),
    Kind.DICOM: dicom(PIXELS),
}


def pixels_of(content: bytes) -> np.ndarray:
    with read_image(content) as read:
        assert read.image.mode == "RGB"
        return np.asarray(read.image)


def problem_with(content: bytes) -> ImageProblem:
    with pytest.raises(ImageProblem) as caught, read_image(content):
        pass
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", Kind)
def test_a_picture_is_the_same_in_every_format(kind: Kind):
    with read_image(FORMATS[kind]) as read:
        assert (read.kind, read.size) == (kind, (60, 45))
        assert read.plain == (kind in (Kind.JPEG, Kind.PNG))
        most = 4 if kind is Kind.JPEG else 0
        assert np.abs(np.asarray(read.image).astype(int) - PIXELS).max() <= most


def grey_of(content: bytes) -> np.ndarray:
    pixels = pixels_of(content)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(Image.fromarray(deep_grey(GREY)), "PNG"), id="PNG, 16 bits"),
        pytest.param(encoded(Image.fromarray(deep_grey(GREY)), "TIFF"), id="TIFF, 16 bits"),
        pytest.param(encoded(Image.fromarray(deep_grey(GREY)), "JPEG2000"), id="JPEG 2000, 16 bits"),
        pytest.param(tiff(deep_grey(GREY), {}), id="TIFF, 16 bits, made by hand"),
        pytest.param(tiff(65535 - deep_grey(GREY), {262: 0}), id="TIFF, 16 bits, white is zero"),
        pytest.param(tiff(255 - GREY, {262: 0}), id="TIFF, 8 bits, white is zero"),
        pytest.param(encoded(PICTURE.convert("L"), "BMP"), id="BMP, grey"),
    ],
)
def test_wider_numbers_are_scaled_and_never_clipped(content: bytes):
    np.testing.assert_array_equal(grey_of(content), GREY)


def test_twelve_bits_are_scaled_by_their_own_range():
    twelve = GREY[:, :40].astype(np.uint16) * 16 + 7
    packed = bytearray()
    for one, other in twelve.reshape(-1, 2).tolist():
        packed += bytes([one >> 4, (one & 15) << 4 | other >> 8, other & 255])
    content = tiff(np.frombuffer(bytes(packed), np.uint8).reshape(45, 60), {256: 40, 258: 12})
    np.testing.assert_array_equal(grey_of(content), GREY[:, :40])


def test_16_bit_colours_count_by_their_high_bits():
    np.testing.assert_array_equal(pixels_of(rgb16_png(PIXELS)), PIXELS)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_turned_upright_as_viewers_do(kind: str, value: int):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    content = encoded(PICTURE, kind, exif=orientation(value), **options)
    expected = PICTURE.copy()
    expected.getexif()[0x0112] = value
    upright = np.asarray(ImageOps.exif_transpose(expected))
    with read_image(content) as read:
        assert read.size == (upright.shape[1], upright.shape[0])
        assert np.abs(np.asarray(read.image).astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)
        assert read.plain == (value == 1 and kind in ("JPEG", "PNG"))


def test_transparency_is_left_aside():
    pixels = np.dstack([PIXELS, np.zeros(GREY.shape, np.uint8)])
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels_of(encoded(Image.fromarray(pixels), kind)), PIXELS)
    palette = PICTURE.quantize(64)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(encoded(palette, "PNG", transparency=bytes(64))), expected)


def test_cmyk_becomes_rgb():
    for kind, options in (("JPEG", {"quality": 98, "subsampling": 0}), ("TIFF", {})):
        found = pixels_of(encoded(PICTURE.convert("CMYK"), kind, **options))
        assert np.abs(found.astype(int) - PIXELS).max() <= 6


def test_the_first_picture_of_several_counts():
    for kind in ("MPO", "TIFF", "WEBP", "PNG"):
        options = {"WEBP": {"lossless": True}, "MPO": {"quality": 98}}.get(kind, {})
        content = encoded(PICTURE, kind, save_all=True, append_images=[Image.new("RGB", (60, 45))], **options)
        assert np.abs(pixels_of(content).astype(int) - PIXELS).max() <= (8 if kind == "MPO" else 0)


@pytest.mark.parametrize(
    ("content", "reason", "text"),
    [
        pytest.param(b"", Reason.NO_IMAGE, "empty", id="empty"),
        pytest.param(b"<html>404</html>", Reason.NO_IMAGE, "content is not that of any image", id="web page"),
        pytest.param(POSTSCRIPT_WRITES, Reason.NOT_READ, "PostScript", id="PostScript"),
        pytest.param(b"\xc5\xd0\xd3\xc6" + bytes(30) + POSTSCRIPT_WRITES, Reason.NOT_READ, "PostScript", id="binary"),
        pytest.param(AVIF, Reason.NOT_READ, "AVIF", id="AVIF"),
        pytest.param(encoded(PICTURE, "GIF"), Reason.NOT_READ, "GIF; expected one of JPEG, PNG, TIFF", id="GIF"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(90), Reason.NOT_READ, "HEIC", id="HEIC"),
        pytest.param(encoded(PICTURE, "PPM"), Reason.NO_IMAGE, "expected one of", id="PPM"),
        pytest.param(tiff(GREY.astype(np.float32), {339: 3}), Reason.NOT_READ, "pixels of the kind F", id="floats"),
        pytest.param(tiff(GREY.astype(np.int16), {339: 2}), Reason.NOT_READ, "pixels of the kind I", id="signed"),
        pytest.param(tiff(GREY.astype(np.int32), {339: 2}), Reason.NOT_READ, "pixels of the kind I", id="32 bits"),
        pytest.param(tiff(GREY, {254: 1}), Reason.NOT_READ, "its first page is a preview", id="raw"),
        pytest.param(tiff(GREY, {258: 64}), Reason.DAMAGED, "unknown pixel mode", id="64 bits"),
    ],
)
def test_what_is_not_read_has_its_reason(content: bytes, reason: Reason, text: str):
    problem = problem_with(content)
    assert problem.reason is reason
    assert text in str(problem)


@pytest.mark.parametrize(
    ("content", "raised"),
    [
        pytest.param(FORMATS[Kind.PNG][:200], OSError, id="OSError"),
        pytest.param(FORMATS[Kind.JPEG][:2] + b"\xff\xff\0\0" + bytes(30), SyntaxError, id="SyntaxError"),
        pytest.param(png(60, 45, 8, 2, b"", chunk(b"PLTE", b"abc"))[:29] + bytes(9), SyntaxError, id="checksum"),
        pytest.param(b"\xff\x4f\xff\x51\0\5" + bytes(20), ValueError, id="ValueError"),
        pytest.param(
            FORMATS[Kind.TIFF][:9],
            SyntaxError,
            id="of struct.error",
            marks=pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning"),  # Pillow's, on the way
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b""), ValueError, id="ValueError, in this process"),
    ],
)
def test_damaged_files_are_damaged_images(content: bytes, raised: type[Exception]):
    from lesionflow.data import image_decode
    from lesionflow.data.image_kind import sniff

    kind = sniff(content)
    assert kind
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_decode, "explained", nullcontext)
        with pytest.raises(raised) as caught:
            image_decode.Opening(content, kind).load()
    assert caught.type is raised
    assert problem_with(content).reason is Reason.DAMAGED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "JPEG2000"])
def test_too_many_pixels_are_refused_by_the_header(kind: str):
    side = 16_000 if kind == "WEBP" else 30_000  # WebP knows no larger ones
    problem = problem_with(claims(kind, side, side))
    assert str(problem) == f"image too large: {side}x{side} pixels are more than {LARGEST_PIXELS:,}"


def test_one_side_has_a_limit_too():
    # A run of a compressed BMP may be 255 lines long: 16 GB of a picture of one line.
    assert problem_with(claims("BMP", 60_000_000, 1)).reason is Reason.TOO_LARGE


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path):
    path = tmp_path / "x.jpg"
    with path.open("wb") as file:
        file.write(FORMATS[Kind.JPEG])
        file.truncate(2**40)  # a hole: it takes no room on the disk
    content = read_file(path)
    assert len(content) == LARGEST_BYTES + 1
    assert "bytes are more than" in str(problem_with(content))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: many_scans(8000, 8000, 400), id="scans"),
        pytest.param(lambda: many_scans(16, 16, 2000), id="scans of a small one"),
        pytest.param(lambda: many_segments(2_000_000), id="segments"),
        pytest.param(lambda: many_chunks(500_000), id="chunks"),
    ],
)
def test_files_that_would_take_minutes_are_refused_at_once(make: Callable[[], bytes]):
    content = make()
    before = os.times()
    assert problem_with(content).reason is Reason.TOO_COSTLY
    assert os.times().user - before.user < 5


def test_progressive_pictures_and_motion_photos_are_no_bombs():
    np.testing.assert_array_equal(pixels_of(many_scans(64, 64, 90))[0, 0], [128, 128, 128])
    film = b"\xff\xda" * 5000  # a film after the picture's end, as telephones append it
    assert pixels_of(encoded(PICTURE, "JPEG", progressive=True) + film).shape == (45, 60, 3)


def test_no_program_runs_and_nothing_but_our_decoders_is_loaded(tmp_path: Path):
    """In a fresh interpreter, with a Ghostscript on the PATH that would tell."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/a-program-ran\nsleep 100\n")
    program.chmod(0o755)
    contents = {"writes.jpg": POSTSCRIPT_WRITES, "never-ends.jpg": POSTSCRIPT_NEVER_ENDS}
    contents |= {f"{kind.name}.jpg": content for kind, content in FORMATS.items()}
    (tmp_path / "images").mkdir()
    for name, content in contents.items():
        (tmp_path / "images" / name).write_bytes(content)
    reading = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lesionflow.data.image_reader import read_image\n"
        "from lesionflow.data.image_problem import ImageProblem\n"
        "for path in sorted(Path('images').iterdir()):\n"
        "    try:\n"
        "        with read_image(path.read_bytes()) as read:\n"
        "            print(path.name, read.kind)\n"
        "    except ImageProblem as problem:\n"
        "        print(path.name, problem)\n"
        "from PIL import Image\n"
        "print(sorted(Image.OPEN))\n"
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", reading], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    *lines, registered = done.stdout.splitlines()
    assert sum("format not read: PostScript" in line for line in lines) == 2, done.stderr
    assert len(lines) == 2 + len(Kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "images"]
    assert "EPS" not in registered


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_threads(tmp_path: Path):
    """Sixteen pictures of 36 megapixels, decoded by sixteen threads, take little more than one."""
    (tmp_path / "large.jpg").write_bytes(many_scans(6000, 6000, 0))
    program = (
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from lesionflow.data import image_reader\n"
        "from lesionflow.data.pixel_budget import PixelBudget\n"
        "image_reader.share_budget(PixelBudget(64_000_000))\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "def one(_):\n"
        "    with image_reader.read_image(content, at_least=96) as read:\n"
        "        return read.image.size\n"
        "with ThreadPoolExecutor(int(sys.argv[2])) as pool:\n"
        "    assert set(pool.map(one, range(int(sys.argv[2])))) == {(750, 750)}\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])\n"
    )

    def kilobytes(threads: int) -> int:
        command = [sys.executable, "-c", program, str(tmp_path / "large.jpg"), str(threads)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    one, sixteen = kilobytes(1), kilobytes(16)
    assert one > 70_000  # libjpeg's coefficients: what would come sixteen times
    assert sixteen < 2 * one


def _whole_png(content: bytes) -> bytes:
    """With the checksums set right, so that a damage reaches what is behind them."""
    fixed, place = content[:8], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        fixed += chunk(content[place + 4 : place + 8], content[place + 8 : place + 8 + length])
        place += 12 + length
    return fixed + content[place:]


SEEDS = [
    *FORMATS.values(),
    encoded(PICTURE, "JPEG", progressive=True, exif=orientation(6)),
    encoded(PICTURE.convert("CMYK"), "JPEG"),
    encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE]),
    encoded(PICTURE.quantize(16), "PNG", transparency=bytes(16), exif=orientation(3)),
    encoded(PICTURE, "PNG", save_all=True, append_images=[Image.new("RGB", (60, 45))]),
    png(60, 45, 8, 2, bytes(45 * 181), chunk(b"iCCP", b"a\0\0x"), chunk(b"zTXt", b"a\0\0x"), chunk(b"gAMA", b"\0\0")),
    encoded(Image.fromarray(deep_grey(GREY)), "PNG"),
    encoded(Image.fromarray(deep_grey(GREY)), "TIFF", compression="tiff_deflate"),
    encoded(PICTURE.convert("1"), "TIFF", compression="group4"),
    encoded(PICTURE, "TIFF", compression="jpeg"),
    encoded(PICTURE.quantize(16), "BMP"),
    encoded(PICTURE, "WEBP", exif=orientation(8)),
    encoded(PICTURE, "JPEG2000", no_jp2=True, tile_size=(32, 32)),
    POSTSCRIPT_WRITES,
]
"""What is damaged below."""
PLACES = st.one_of(st.integers(0, 120), st.integers(0, 10_000))
DAMAGES = st.one_of(
    st.tuples(st.just("set"), PLACES, st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("set"), PLACES, st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\x80"])),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=12)),
    st.tuples(st.just("remove"), PLACES, st.binary(min_size=1, max_size=24)),
    st.tuples(st.just("cut"), PLACES, st.just(b"")),
)


def damaged(content: bytes, damages: list[tuple[str, int, bytes]]) -> bytes:
    for what, place, text in damages:
        place %= len(content) + 1
        end = {"set": place + len(text), "insert": place, "remove": place + len(text), "cut": len(content)}[what]
        content = content[:place] + (text if what in ("set", "insert") else b"") + content[end:]
    return content


def look(content: bytes, at_least: int, grey: bool) -> None:
    """Read it: an image within the limits, or a reason on one line, and soon."""
    before, said = os.times(), None
    try:
        with read_image(content, at_least, grey) as read:
            assert read.image.mode == "RGB" or (grey and read.image.mode == "L")
            assert read.size[0] * read.size[1] <= LARGEST_PIXELS
            read.image.tobytes()
    except ImageProblem as problem:
        said = str(problem)
    if said is not None:
        assert said.partition(": ")[0] in list(Reason)
        assert "\n" not in said
        assert " at 0x" not in said
    assert os.times().user - before.user < 10


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@seed(15)
@settings(max_examples=int(os.environ.get("LESIONFLOW_FUZZ", "1500")), deadline=None, database=None)
@given(
    content=st.sampled_from(SEEDS),
    damages=st.lists(DAMAGES, min_size=1, max_size=6),
    whole=st.booleans(),
    at_least=st.sampled_from([0, 32]),
    grey=st.booleans(),
)
def test_damaged_files_are_an_image_or_a_reason(
    content: bytes, damages: list[tuple[str, int, bytes]], whole: bool, at_least: int, grey: bool
):
    content = damaged(content, damages)
    look(_whole_png(content) if whole and content.startswith(b"\x89PNG") else content, at_least, grey)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@seed(15)
@settings(max_examples=500, deadline=None, database=None)
@given(start=st.sampled_from([content[:length] for content in SEEDS for length in (0, 4, 12, 26)]), more=st.binary())
def test_any_bytes_are_an_image_or_a_reason(start: bytes, more: bytes):
    look(start + more, 0, False)
