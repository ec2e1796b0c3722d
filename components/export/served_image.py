"""Encoded images to pixels in TensorFlow's own operations, so that a served model decodes and resizes by itself.

Its pixels are those of `lesionflow.data.pixels.decode`, bit for bit: Pillow and TensorFlow share libjpeg-turbo, the
picture is turned by the same rule, and Pillow's bilinear resize is computed here as Pillow does, in fixed-point
numbers. `tf.image.resize` with antialiasing rounds otherwise; with it the probabilities of real images moved by up to
0.12, and by up to 0.27 without the decoder's own halving.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from lesionflow.data.image_decode import LARGEST_PIXELS

_FRACTION = 22  # bits after the point of Pillow's weights (PRECISION_BITS in its Resample.c)
_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION, _SHORT = 0x0112, 3
_MOST_SEGMENTS, _MOST_CHUNKS = 20_000, 100_000  # as in src/lesionflow/data/image_header.py


def decode_served(encoded: Any, size: int) -> Any:
    """One encoded JPEG or PNG to upright RGB in 0..255, float32 (size, size, 3); anything else fails the request."""
    import tensorflow as tf

    raw = _padded(tf.io.decode_raw(encoded, tf.uint8))

    def jpeg() -> Any:
        shape = tf.image.extract_jpeg_shape(encoded)
        with tf.control_dependencies([_within_limit(shape[0], shape[1])]):
            shape = tf.identity(shape)
        halvings = tf.reduce_min(shape[:2]) // size  # Pillow's draft mode: by 2, 4 or 8, not below `size`
        # INTEGER_ACCURATE is Pillow's; TensorFlow's default is a faster and coarser one.
        decode: Any = partial(tf.io.decode_jpeg, encoded, channels=3, dct_method="INTEGER_ACCURATE")
        branches: list[Any] = [partial(decode, ratio=ratio) for ratio in (1, 2, 4, 8)]
        pixels = tf.switch_case(sum(tf.cast(halvings >= ratio, tf.int32) for ratio in (2, 4, 8)), branches)
        return _upright(pixels, raw, *_exif_in_jpeg(raw))

    def png() -> Any:
        known = tf.debugging.Assert(
            tf.strings.substr(encoded, 0, len(_PNG)) == _PNG, ["image_bytes: neither a JPEG nor a PNG file"]
        )
        with tf.control_dependencies([known, _within_limit(_number(raw, 20, 4), _number(raw, 16, 4))]):
            # Of 16 bits it keeps the 8 highest, and it leaves transparency aside, as our own reader does.
            pixels = tf.io.decode_png(encoded, channels=3)
        return _upright(pixels, raw, *_exif_in_png(raw))

    pixels = tf.cast(tf.cond(tf.io.is_jpeg(encoded), jpeg, png), tf.float64)
    shape = tf.shape(pixels)
    height, width = shape[0], shape[1]

    def across(rows: Any) -> Any:
        return _rounded(tf.einsum("hwc,ws->hsc", rows, _weights(width, size)))

    def down(columns: Any) -> Any:
        return _rounded(tf.einsum("hwc,hs->swc", columns, _weights(height, size)))

    # The order matters for the rounding in between. Pillow 13 begins with the height where it shrinks more than
    # twice as much as the width (python-pillow/Pillow#9549).
    tall = (height > size) & (height - size > 2 * (width - size))

    def height_first() -> Any:
        return across(down(pixels))

    def width_first() -> Any:
        return down(across(pixels))

    resized = tf.cond(tall, height_first, width_first)
    return tf.cast(tf.ensure_shape(resized, (size, size, 3)), tf.float32)


def _weights(length: Any, size: int) -> Any:
    """Pillow's bilinear weights, (length, size), as whole numbers: 2 ** 22 times the share of each source pixel.

    Whole numbers of this size add up without an error in float64. After Pillow's `precompute_coeffs` and
    `normalize_coeffs_8bpc` (Resample.c).
    """
    import tensorflow as tf

    scale = tf.cast(length, tf.float64) / size
    reach = tf.maximum(scale, 1.0)
    centre = (tf.range(size, dtype=tf.float64) + 0.5) * scale
    place = tf.cast(tf.range(length)[:, tf.newaxis], tf.float64)
    inside = (place >= tf.floor(centre - reach + 0.5)) & (place < tf.floor(centre + reach + 0.5))
    weights = tf.where(inside, tf.maximum(1 - tf.abs((place - centre + 0.5) / reach), 0.0), 0.0)
    return tf.floor(weights / tf.reduce_sum(weights, axis=0) * 2.0**_FRACTION + 0.5)


def _rounded(sums: Any) -> Any:
    """Back from fixed point to 0..255; Pillow rounds so after each of the two passes."""
    import tensorflow as tf

    return tf.clip_by_value(tf.floor(sums / 2.0**_FRACTION + 0.5), 0.0, 255.0)


def _within_limit(height: Any, width: Any) -> Any:
    import tensorflow as tf

    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.debugging.Assert(pixels <= LARGEST_PIXELS, [f"image_bytes: over {LARGEST_PIXELS:,} pixels", pixels])


def _padded(raw: Any) -> Any:
    """With a zero at the end, which stands for all beyond it."""
    import tensorflow as tf

    return tf.concat([raw, tf.zeros([1], tf.uint8)], axis=0)


def _length(raw: Any) -> Any:
    """Length of padded bytes, without that zero."""
    import tensorflow as tf

    return tf.size(raw, tf.int64) - 1


def _number(raw: Any, place: Any, count: int, little: Any = False) -> Any:
    """An unsigned number of `count` bytes at `place`, or at each of several; beyond the end there are zeros."""
    import tensorflow as tf

    places = tf.cast(place, tf.int64)
    each = [
        tf.cast(tf.gather(raw, tf.clip_by_value(places + index, 0, _length(raw))), tf.int64) for index in range(count)
    ]
    upwards = sum(byte * 256**index for index, byte in enumerate(each))
    downwards = sum(byte * 256**index for index, byte in enumerate(reversed(each)))
    return tf.where(little, upwards, downwards)


def _exif_in_jpeg(raw: Any) -> tuple[Any, Any]:
    """Where the EXIF of a JPEG begins and ends; twice 0 if it has none. As `image_header` walks through it."""
    import tensorflow as tf

    length = _length(raw)

    def step(place: Any, start: Any, end: Any, going: Any) -> tuple[Any, ...]:
        first, marker, size = _number(raw, place, 1), _number(raw, place + 1, 1), _number(raw, place + 2, 2)
        size = tf.maximum(size, 2)
        padding = (first == 0xFF) & (marker == 0xFF)
        alone = (marker == 0x01) | ((marker >= 0xD0) & (marker <= 0xD8))
        ends = ~padding & ((place + 4 > length) | (first != 0xFF) | (marker == 0xD9) | (marker == 0xDA))
        name = (_number(raw, place + 4, 4) == int.from_bytes(b"Exif")) & (_number(raw, place + 8, 2) == 0)
        whole = (size >= 8) & (place + 10 <= length)
        found = ~padding & ~ends & ~alone & (marker == 0xE1) & name & whole
        onwards = tf.where(padding, tf.constant(1, tf.int64), tf.where(alone, tf.constant(2, tf.int64), 2 + size))
        stop = tf.minimum(place + 2 + size, length)
        return (
            place + onwards,
            tf.where(found, place + 10, start),
            tf.where(found, stop, end),
            ~ends & ~found,
        )

    return _walk(step, 2, _MOST_SEGMENTS)


def _exif_in_png(raw: Any) -> tuple[Any, Any]:
    """Likewise of a PNG."""
    import tensorflow as tf

    length = _length(raw)

    def step(place: Any, start: Any, end: Any, going: Any) -> tuple[Any, ...]:
        size = _number(raw, place, 4)
        ends = place + 8 > length
        found = ~ends & (_number(raw, place + 4, 4) == int.from_bytes(b"eXIf"))
        stop = tf.minimum(place + 8 + size, length)
        return place + 12 + size, tf.where(found, place + 8, start), tf.where(found, stop, end), ~ends & ~found

    return _walk(step, 8, _MOST_CHUNKS)


def _walk(step: Any, first: int, most: int) -> tuple[Any, Any]:
    import tensorflow as tf

    zero = tf.constant(0, tf.int64)
    begin = (tf.constant(first, tf.int64), zero, zero, tf.constant(True))
    goes_on: Callable[..., Any] = lambda *state: state[-1]  # noqa: E731
    _, start, end, _ = tf.while_loop(goes_on, step, begin, maximum_iterations=most, parallel_iterations=1)
    return start, end


def _upright(pixels: Any, raw: Any, start: Any, end: Any) -> Any:
    """Turn a picture as the block of EXIF between two places says."""
    import tensorflow as tf

    block, length = _padded(raw[start:end]), end - start
    little = _number(block, 0, 4) == int.from_bytes(b"II*\0")
    known = little | (_number(block, 0, 4) == int.from_bytes(b"MM\0*"))
    first = _number(block, 4, 4, little)
    count = tf.where(known & (length >= 8) & (length >= first + 2), _number(block, first, 2, little), 0)
    entries = first + 2 + 12 * tf.range(count, dtype=tf.int64)
    entries = tf.boolean_mask(entries, entries < length - 11)
    entries = tf.boolean_mask(entries, _number(block, entries, 2, little) == _ORIENTATION)
    kinds, values = _number(block, entries + 2, 2, little), _number(block, entries + 8, 2, little)
    valid = (kinds == _SHORT) & (values >= 1) & (values <= 8)
    turn = tf.concat([tf.where(valid, values, 1), tf.ones([1], tf.int64)], axis=0)[0]
    # Of 1 to 8: whether rows become columns, and which sides are then reversed.
    turns = [(across, sides) for across in (False, True) for sides in ([], [1], [0, 1], [0])]
    return tf.switch_case(tf.cast(turn - 1, tf.int32), [partial(_turned, pixels, *each) for each in turns])


def _turned(pixels: Any, across: bool, sides: list[int]) -> Any:
    import tensorflow as tf

    laid = tf.transpose(pixels, [1, 0, 2]) if across else pixels
    return tf.reverse(laid, sides) if sides else tf.identity(laid)
