"""A served model sees the pixels that `predict` sees, whatever kind of JPEG or PNG comes; others it refuses."""

import struct
from typing import Any

import numpy as np
import pytest
from hostile_images import chunk, claims, deep_grey, encoded, orientation, picture, png, rgb16_png
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from lesionflow.components.export import served_image
from lesionflow.data.image_header import orientation as our_orientation
from lesionflow.data.image_kind import Kind
from lesionflow.data.pixels import decode

pytestmark = pytest.mark.slow  # writes a SavedModel

SIZE = 32
SHOWN = picture(200, 150)
GREY = SHOWN.convert("L")


@pytest.fixture(scope="module")
def served() -> Any:
    import tensorflow as tf

    signature = [tf.TensorSpec((), tf.string)]
    decoder = tf.function(lambda encoded: served_image.decode_served(encoded, SIZE), input_signature=signature)
    return lambda content: decoder(tf.constant(content)).numpy()


KINDS = {
    "jpeg": encoded(SHOWN, "JPEG"),
    "progressive": encoded(SHOWN, "JPEG", progressive=True),
    "grey jpeg": encoded(GREY, "JPEG"),
    "cmyk": encoded(SHOWN.convert("CMYK"), "JPEG", quality=98),
    "of a telephone": encoded(SHOWN, "MPO", save_all=True, append_images=[GREY.convert("RGB")]),
    "png": encoded(SHOWN, "PNG"),
    "grey png": encoded(GREY, "PNG"),
    "16 bits grey": encoded(Image.fromarray(deep_grey(np.asarray(GREY)) + np.uint16(0)), "PNG"),
    "16 bits": rgb16_png(np.asarray(SHOWN)),
    "transparent": encoded(Image.fromarray(np.dstack([np.asarray(SHOWN), np.asarray(GREY)])), "PNG"),
    "transparent grey": encoded(GREY.convert("LA"), "PNG"),
    "palette": encoded(SHOWN.quantize(32), "PNG", transparency=bytes(32)),
    "black and white": encoded(SHOWN.convert("1"), "PNG"),
    "animated": encoded(SHOWN, "PNG", save_all=True, append_images=[GREY.convert("RGB")]),
    **{
        f"{kind} {value}": encoded(SHOWN, kind, exif=orientation(value))
        for kind in ("JPEG", "PNG")
        for value in range(10)
    },
    "large, turned": encoded(picture(900, 700), "JPEG", exif=orientation(6)),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_served_pixels_are_those_of_predict_bit_for_bit(served: Any, name: str):
    np.testing.assert_array_equal(served(KINDS[name]), decode(KINDS[name], SIZE))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (encoded(SHOWN, "BMP"), "neither a JPEG nor a PNG"),
        (encoded(SHOWN, "GIF"), "neither a JPEG nor a PNG"),
        (b"", "neither a JPEG nor a PNG"),
        (claims("PNG", 30_000, 30_000), "over 64,000,000 pixels"),
        (claims("JPEG", 30_000, 30_000), "over 64,000,000 pixels"),
    ],
)
def test_what_is_not_served_is_refused_with_the_reason(served: Any, content: bytes, text: str):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        served(content)


@pytest.fixture(scope="module")
def served_orientation() -> Any:
    """The value that the served model finds: pixels of a 2x3 picture tell which of the eight turns was made."""
    import tensorflow as tf

    marks = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    across = marks.transpose(1, 0, 2)
    turned = [marks, marks[:, ::-1], marks[::-1, ::-1], marks[::-1]]
    turned += [across, across[:, ::-1], across[::-1, ::-1], across[::-1]]
    names = {(each.shape, each.tobytes()): value for value, each in enumerate(turned, start=1)}
    assert len(names) == 8

    def turn(content: Any, is_jpeg: bool) -> Any:
        raw = served_image._padded(tf.io.decode_raw(content, tf.uint8))
        block = (served_image._exif_in_jpeg if is_jpeg else served_image._exif_in_png)(raw)
        return served_image._upright(tf.constant(marks), raw, *block)

    signature = [tf.TensorSpec((), tf.string)]
    traced: dict[bool, Any] = {}
    for is_jpeg in (True, False):
        traced[is_jpeg] = tf.function(
            lambda content, is_jpeg=is_jpeg: turn(content, is_jpeg), input_signature=signature
        )

    def find(content: bytes, kind: Kind) -> int:
        found = traced[kind is Kind.JPEG](tf.constant(content)).numpy()
        return names[found.shape, found.tobytes()]

    return find


def exif(order: str, entries: list[tuple[int, int, int, int]]) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    table = b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + table


ENTRIES = st.tuples(
    st.sampled_from([0x0112, 0x0112, 0x0110]), st.sampled_from([3, 3, 4]), st.just(1), st.integers(0, 9)
)


@seed(15)
@settings(max_examples=400, deadline=None, database=None)
@given(
    kind=st.sampled_from([Kind.JPEG, Kind.PNG]),
    order=st.sampled_from(["<", ">"]),
    entries=st.lists(ENTRIES, max_size=4),
    before=st.lists(st.binary(max_size=9), max_size=3),
    damage=st.one_of(st.none(), st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=3))),
    cut=st.one_of(st.none(), st.integers(0, 90)),
)
def test_both_find_the_same_orientation_in_any_header(
    served_orientation: Any,
    kind: Kind,
    order: str,
    entries: list[tuple[int, int, int, int]],
    before: list[bytes],
    damage: tuple[int, bytes] | None,
    cut: int | None,
):
    block = exif(order, entries)
    if kind is Kind.JPEG:
        pieces = [b"\xff\xfe" + struct.pack(">H", 2 + len(text)) + text for text in before]
        name = b"Exif\0\0"
        content = b"\xff\xd8" + b"".join(pieces) + b"\xff\xff\xe1" + struct.pack(">H", 2 + len(name + block)) + name
        content += block + b"\xff\xda\0\2" + bytes(9)
    else:
        content = png(2, 3, 8, 0, bytes(9), *(chunk(b"teSt", text) for text in before), chunk(b"eXIf", block))
    if damage:
        content = content[: damage[0]] + damage[1] + content[damage[0] + len(damage[1]) :]
    content = content[:cut]
    assert served_orientation(content, kind) == our_orientation(content, kind)
