"""Encoded images to arrays of pixels: the one way in which training, evaluation and prediction see an image."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import Image

from lesionflow.artifacts.images import read_images
from lesionflow.data.image_problem import ImageProblem
from lesionflow.data.image_reader import read_image
from lesionflow.data.pixel_store import MappedPixels, Pixels, allocate
from lesionflow.errors import UserError

__all__ = ["MappedPixels", "Pixels", "decode", "decode_images", "load_pixels"]

_CHUNK_BYTES = 2**25  # decoded at a time; their encoded bytes are fewer


def decode(encoded: bytes, size: int) -> Pixels:
    """Decode an image and resize its full frame to a square.

    Args:
        encoded: a file of any kind that `image_reader` reads.
        size: side of the result in pixels.

    Returns:
        uint8 RGB, shape (size, size, 3).

    Raises:
        ImageProblem: the bytes are no image that is read.
    """
    with read_image(encoded, at_least=size) as read:  # a JPEG decoder can halve for free; never below `size`
        return np.asarray(read.image.resize((size, size), Image.Resampling.BILINEAR))


def load_pixels(folder: str | Path, image_ids: Sequence[str], size: int) -> Pixels | MappedPixels:
    """Decode the named images of an images artifact, to be gathered from in any order.

    Returns:
        uint8 RGB, shape (len(image_ids), size, size, 3), in the order of `image_ids`; in memory or,
        past the budget (see `pixel_store`), in a mapped file.

    Raises:
        UserError: as `decode_images`; or there is no room.
    """
    _refuse_repeated(image_ids)
    pixels = allocate(len(image_ids), size)
    for rows, chunk in decode_images(folder, image_ids, size):
        pixels[rows] = chunk
    return pixels


def decode_images(
    folder: str | Path, image_ids: Sequence[str], size: int
) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
    """Decode the named images of an images artifact chunk by chunk in the order of the shards, on all cores.

    Yields:
        Positions in `image_ids`, and the pixels there: uint8 RGB, shape (positions, size, size, 3).

    Raises:
        UserError: an id is not among the images or comes twice, or an image cannot be decoded.
    """
    _refuse_repeated(image_ids)
    rows: dict[str, int] = {image_id: row for row, image_id in enumerate(image_ids)}
    missing = set(rows)

    def decoded(item: tuple[str, bytes]) -> Pixels:
        image_id, encoded = item
        try:
            return decode(encoded, size)
        except ImageProblem as error:
            raise UserError(
                f"The image {image_id} in {folder} cannot be decoded ({error}); run the ingest step again."
            ) from error

    images = read_images(folder, rows.keys())
    count = max(1, min(512, _CHUNK_BYTES // (size * size * 3)))
    with ThreadPoolExecutor(cpu_count()) as pool:
        while chunk := list(islice(images, count)):
            missing.difference_update(image_id for image_id, _ in chunk)
            yield np.array([rows[image_id] for image_id, _ in chunk]), np.stack(list(pool.map(decoded, chunk)))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(rows)} images are not in {folder} (the first: {min(missing)}); "
            "expected the images artifact from which the table was split."
        )


def _refuse_repeated(image_ids: Sequence[str]) -> None:
    distinct = len(set(image_ids))
    if distinct != len(image_ids):
        raise UserError(
            f"{len(image_ids) - distinct} image ids come twice (the first: {_first_repeated(image_ids)}); "
            "expected each image once in a table, with its number of draws in a column."
        )


def _first_repeated(values: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(value for value in values if value in seen or seen.add(value))
