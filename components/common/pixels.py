"""Encoded images to arrays of pixels: the one way in which training, evaluation and prediction see an image."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.common.errors import UserError
from components.common.image_table import read_images

Pixels = NDArray[np.uint8]


def decode(encoded: bytes, size: int) -> Pixels:
    """Decode an image and resize its full frame to a square.

    Args:
        encoded: a JPEG, PNG or other file that Pillow reads.
        size: side of the result in pixels.

    Returns:
        uint8 RGB, shape (size, size, 3).

    Raises:
        OSError: the bytes are not a readable image.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("RGB", (size, size))  # a JPEG decoder can halve for free; never below `size`
        resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def load_pixels(folder: str | Path, image_ids: Sequence[str], size: int) -> Pixels:
    """Decode the named images of an images artifact, on all cores.

    Returns:
        uint8 RGB, shape (len(image_ids), size, size, 3), in the order of `image_ids`.

    Raises:
        UserError: an id is not among the images or comes twice, or an image cannot be decoded.
    """
    rows: dict[str, int] = {image_id: row for row, image_id in enumerate(image_ids)}
    if len(rows) != len(image_ids):
        raise UserError(
            f"{len(image_ids) - len(rows)} image ids come twice (the first: {_first_repeated(image_ids)}); "
            "expected each image once in a table, with its number of draws in a column."
        )
    pixels = np.empty((len(image_ids), size, size, 3), np.uint8)
    missing = set(rows)

    def place(item: tuple[str, bytes]) -> str:
        image_id, encoded = item
        try:
            pixels[rows[image_id]] = decode(encoded, size)
        except OSError as error:
            raise UserError(
                f"The image {image_id} in {folder} cannot be decoded ({error}); run the ingest step again."
            ) from error
        return image_id

    images = read_images(folder, rows.keys())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(images, 512)):  # bounds the encoded bytes in memory
            missing.difference_update(pool.map(place, chunk))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(rows)} images are not in {folder} (the first: {min(missing)}); "
            "expected the images artifact from which the table was split."
        )
    return pixels


def _first_repeated(values: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(value for value in values if value in seen or seen.add(value))
